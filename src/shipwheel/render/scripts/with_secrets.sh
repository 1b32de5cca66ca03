#!/bin/sh
# Runs a command with what the build secrets say in its environment: no layer keeps them.
set -eu
if [ -s /run/secrets/ca ]; then
  export PIP_CERT=/run/secrets/ca SSL_CERT_FILE=/run/secrets/ca REQUESTS_CA_BUNDLE=/run/secrets/ca
fi
if [ -s /run/secrets/index ]; then
  set -a
  . /run/secrets/index
  set +a
fi
code=0
"$@" || code=$?
if [ "$code" != 0 ] && [ ! -s /run/secrets/index ]; then
  echo "hint: if an index wanted a login, give it: --secret id=index,src=FILE with lines NAME=value" >&2
fi
exit "$code"
