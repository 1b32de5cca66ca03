"""Programs for linux/arm64 run by QEMU, for one command alone: no other process of the machine sees the emulator.

    python tests/helpers/emulator.py QEMU COMMAND…

Linux 6.7 gave each user namespace its own binfmt_misc. As root, COMMAND is started in one that has all users;
QEMU is Debian's qemu-aarch64-static.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

# unshare(2), mount(2)
_CLONE_NEWNS, _CLONE_NEWUSER = 0x00020000, 0x10000000
_BINFMT: Final = Path("/proc/sys/fs/binfmt_misc")
_MAGIC: Final = r"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00"
_MASK: Final = r"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff"


def debian_qemu(folder: Path) -> Path:
    """Return QEMU for arm64, unpacked into `folder` and not installed: that would register it for the whole machine.

    Without root the running test ends by `missing`. Raises CalledProcessError where Debian's package cannot be had.
    """
    if os.geteuid() != 0:
        from helpers.tools import missing  # not there when this file is the program

        missing("only root may give a user namespace all users")
    apt = shutil.which("apt-get") or "apt-get"
    subprocess.run([apt, "-qq", "download", "qemu-user-static"], cwd=folder, check=True)
    [package] = folder.glob("qemu-user-static_*.deb")
    subprocess.run(["dpkg-deb", "-x", package, folder / "qemu"], check=True)
    return folder / "qemu/usr/bin/qemu-aarch64-static"


def main() -> None:
    qemu, *command = sys.argv[1:]
    libc = ctypes.CDLL(None, use_errno=True)
    ready, done = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        _check(libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNS))
        os.write(ready[1], b".")
        os.read(done[0], 1)
        _check(libc.mount(b"none", str(_BINFMT).encode(), b"binfmt_misc", 0, None))
        # F: opened here and now, so that it works in a container that has no such file.
        (_BINFMT / "register").write_text(f":qemu-aarch64:M::{_MAGIC}:{_MASK}:{qemu}:F")
        os.execvp(command[0], command)
    os.read(ready[0], 1)
    for name in ("uid_map", "gid_map"):
        Path(f"/proc/{child}/{name}").write_text("0 0 4294967295\n")
    os.write(done[1], b".")
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


def _check(answer: int) -> None:
    if answer != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


if __name__ == "__main__":
    main()
