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
# uv stands in for pip where tools are installed: one of the two has to be told of an index.
if [ "${FOR_TOOLS:-}" ]; then
  if [ -z "${UV_DEFAULT_INDEX:-}${UV_INDEX_URL:-}" ] && [ "${PIP_INDEX_URL:-}" ]; then
    export UV_DEFAULT_INDEX="$PIP_INDEX_URL"
  fi
  if [ -z "${PIP_INDEX_URL:-}" ] && [ "${UV_DEFAULT_INDEX:-${UV_INDEX_URL:-}}" ]; then
    export PIP_INDEX_URL="${UV_DEFAULT_INDEX:-$UV_INDEX_URL}"
  fi
fi
code=0
"$@" || code=$?
if [ "$code" != 0 ] && [ ! -s /run/secrets/index ]; then
  echo "hint: if an index wanted a login, give it: --secret id=index,src=FILE with lines NAME=value" >&2
fi
exit "$code"
