#!/usr/bin/env bash
# Install the real tools that the tests compare with, from Debian. A second run does nothing, quickly.
#
#   install-tools.sh           install what is missing (root)
#   install-tools.sh --list    print the packages
set -euo pipefail

packages=(
  ca-certificates make python3-venv            # what a machine may lack for `make` itself
  bubblewrap runc uidmap                       # rootless and rootful ways to run an image
  skopeo umoci oci-image-tool docker-registry  # readers and a registry that are not ours
  podman buildah fuse-overlayfs                # the engines of Debian; Docker's is brought up by helpers/docker.py
  iproute2 iptables tini                       # what dockerd and its bridge need
  debian-archive-keyring mmdebstrap xz-utils   # the engine's packages and the stand-in base images
  apache2-utils                                # htpasswd, for a registry that asks who calls
  binutils gcc libc6-dev                       # the programs that the tests' images and wheels hold
  git openssh-server                           # repositories to lock commits of, over ssh too
)

if [ "${1:-}" = --list ]; then
  printf '%s\n' "${packages[@]}"
  exit 0
fi

missing=()
for package in "${packages[@]}"; do
  state=$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null || true)
  [ "$state" = installed ] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

if [ "$(id -u)" != 0 ]; then
  echo "install-tools: not root, so these stay missing: ${missing[*]}" >&2
  exit 1
fi

export DEBIAN_FRONTEND=noninteractive
# A service that starts by itself would hold a port or a data folder that a test wants.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
  trap 'rm -f "$policy"' EXIT
fi

for attempt in 1 2 3; do
  # A third party's source that is down must not stop Debian's packages from coming.
  apt-get -qq -o Acquire::Retries=3 update >&2 || echo "install-tools: apt-get update complained" >&2
  if apt-get -qq -y -o Acquire::Retries=3 -o DPkg::Lock::Timeout=300 \
      install --no-install-recommends "${missing[@]}" >&2; then
    exit 0
  fi
  echo "install-tools: attempt $attempt failed" >&2
  sleep $((attempt * 5))
done
exit 1
