#!/bin/sh
# The venv is in a volume, which outlives images: before anything starts it is brought up to the lock that
# lies in the project now. LOCK_FILES are one or several names, with spaces between.
set -eu
stamp="$VIRTUAL_ENV/.made-from"
wanted=$(sha256sum $LOCK_FILES)
if [ "$(cat "$stamp" 2>/dev/null || true)" != "$wanted" ]; then
  echo "follow-lock: what the venv was made from differs from $LOCK_FILES; installing" >&2
  /bin/sh -c "$INSTALL_COMMAND" >&2 || {
    echo "follow-lock: that failed. Without a network: rebuild the image, and remove the venv volume." >&2
    exit 1
  }
  echo "$wanted" > "$stamp"
fi
exec "$@"
