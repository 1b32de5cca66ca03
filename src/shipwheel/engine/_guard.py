"""Outlive the runner just long enough to clean up after it. Run as a script; imports nothing of ours.

Reads one line of JSON from stdin: `commands` to run and `folders` to remove. Then waits: for the line
`done`, when the runner cleaned up itself, or for the end of the file, when the runner was killed.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time

# A killed runner may have had an engine's client running that is still about to create the container.
_ATTEMPTS = 10
_PAUSE_SECONDS = 0.3


def main() -> int:
    """Wait for the runner's end and clean up if it could not."""
    # Signals meant for the runner's terminal or group; SIGKILL is the way to end this one.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    orders = json.loads(sys.stdin.readline() or "{}")
    if sys.stdin.readline().strip() == "done":
        return 0
    for command in orders.get("commands", []):
        for _ in range(_ATTEMPTS):
            ended = subprocess.run(
                command,
                check=False,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            if ended.returncode == 0:
                break
            time.sleep(_PAUSE_SECONDS)
    for folder in orders.get("folders", []):
        shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    os.chdir("/")  # keep no folder of the runner's busy
    raise SystemExit(main())
