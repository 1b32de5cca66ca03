"""Make a container with plain system calls and be its init. Run as a script; imports nothing of ours.

Usage: python -I -S _userns.py ORDERS STATUS. ORDERS is a descriptor with one JSON object (see
`userns.render_orders`); to STATUS a message is written when the container cannot be made, nothing
otherwise. Two processes stay: the outer one, whose child is the container's process 1, which starts
the program, passes signals on and reaps orphans; without init it becomes the program. Both take the program's exit code for their own,
128+n when signal n killed it.

As root, users are who they are, in a user namespace where the machine allows one. As anyone else, this
user is the image's user in a user namespace, and nobody else exists.
"""

# System calls by their names; and what is started is the image's own program.
# ruff: noqa: PTH102, PTH103, PTH110, PTH112, PTH115, PTH120, PTH123, PTH211, S108, S606

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import json
import os
import re
import select
import signal
import socket
import stat
import struct
import sys
import termios
from typing import Any, NoReturn

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x00020000, 0x04000000, 0x08000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT = 1, 2, 4, 8, 32
MS_BIND, MS_REC, MS_SLAVE = 4096, 16384, 1 << 19
MNT_DETACH = 2
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_CAPBSET_DROP = 1, 4, 24
PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL = 38, 47, 4
CAPABILITY_VERSION_3 = 0x20080522
SIOCSIFFLAGS, IFF_UP = 0x8914, 1
# pivot_root(2) has no wrapper in the C library; its number differs by architecture.
PIVOT_ROOT = {"x86_64": 155, "i686": 217, "armv7l": 218, "s390x": 217, "ppc64le": 203}
PIVOT_ROOT_GENERIC = 41  # aarch64, riscv64 and all newer ones
# statvfs flags that a remount in a user namespace must repeat: they are locked there.
LOCKED = {
    os.ST_NOSUID: MS_NOSUID,
    os.ST_NODEV: MS_NODEV,
    os.ST_NOEXEC: MS_NOEXEC,
    os.ST_NOATIME: 1024,
    os.ST_NODIRATIME: 2048,
    os.ST_RELATIME: 1 << 21,
}
# uid -1 is no user: user_namespaces(7), "Defining user and group ID mappings".
NOBODY_FROM = 2**32 - 1
DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
# The OCI runtimes' defaults: what tells of the host or can act on it.
MASKED_FILES = ("kcore", "keys", "latency_stats", "timer_list", "timer_stats", "sched_debug", "interrupts")
MASKED_FOLDERS = ("acpi", "asound", "scsi")
READ_ONLY = ("bus", "fs", "irq", "sys", "sysrq-trigger")
SIGNALS = {
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGWINCH,
    signal.SIGCHLD,
}

ESCAPE = re.compile(rb"\\([0-7]{3})")

libc = ctypes.CDLL(None, use_errno=True)


class FailedError(Exception):
    """The container cannot be made."""


def call(what: str, result: int) -> int:
    """Return `result` of a C function; raises FailedError, naming `what`, when it is -1."""
    if result == -1:
        raise FailedError(f"{what}: {os.strerror(ctypes.get_errno())}")
    return result


def mount(source: str, target: str, kind: str | None, flags: int, data: str = "") -> None:
    """Call mount(2)."""
    result = libc.mount(
        source.encode(),
        os.fsencode(target),
        None if kind is None else kind.encode(),
        ctypes.c_ulong(flags),
        data.encode() or None,
    )
    call(f"mount {kind or source} on {target}", result)


def prctl(option: int, value: int, third: int = 0) -> int:
    """Call prctl(2); returns -1 on failure."""
    return int(libc.prctl(option, ctypes.c_ulong(value), ctypes.c_ulong(third), 0, 0))


def main() -> int:
    """Read the orders, make the namespaces, and wait for the container's end."""
    orders_fd, status_fd = int(sys.argv[1]), int(sys.argv[2])
    os.set_inheritable(status_fd, False)
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    with os.fdopen(orders_fd, "rb") as file:
        orders = json.load(file)
    try:
        call("prctl", prctl(PR_SET_PDEATHSIG, signal.SIGKILL))
        if os.getppid() != orders["parent"]:  # it died before the line above
            return 128 + signal.SIGKILL
        make_namespaces(orders)
        held, holding = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(holding)
            first_process(orders, held, status_fd)
    except (FailedError, OSError) as error:
        os.write(status_fd, str(error).encode())
        return 125
    os.close(status_fd)
    os.close(held)
    return pass_on_until_end(child)


def make_namespaces(orders: dict[str, Any]) -> None:
    """Leave the host's namespaces; a process cannot leave its own pid namespace, its children do."""
    flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS
    if orders["isolate_network"]:
        flags |= CLONE_NEWNET
    if os.geteuid() == 0:
        map_everybody(flags)
    else:
        map_one(flags, orders)
    # A program that cannot make namespaces of its own has less of the kernel to attack. Ours are made.
    # Where /proc/sys is read-only (in a container), it stays as the host has it.
    with contextlib.suppress(OSError):
        if os.readlink("/proc/self/ns/user") != orders["user_namespace"]:
            write("/proc/sys/user/max_user_namespaces", "0")
    if orders["isolate_network"]:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
            fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))


def map_one(flags: int, orders: dict[str, Any]) -> None:
    """Make a user namespace in which this user is the image's user and nobody else exists."""
    uid, gid = os.geteuid(), os.getegid()
    call("unshare", libc.unshare(flags | CLONE_NEWUSER))
    # user_namespaces(7): without privilege one user and one group can be mapped, and only after
    # setgroups has been given up.
    write("/proc/self/setgroups", "deny")
    write("/proc/self/uid_map", f"{orders['uid']} {uid} 1")
    write("/proc/self/gid_map", f"{orders['gid']} {gid} 1")


def map_everybody(flags: int) -> None:
    """Make a user namespace in which everybody is who they are, or none where the machine allows none."""
    reader, writer = os.pipe()
    outside = os.getpid()
    # Maps of more than one user are written from the namespace around it: by a child that stays there.
    mapper = os.fork()
    if mapper == 0:
        os.close(writer)
        code = 1
        try:
            if os.read(reader, 1):
                for name in ("uid_map", "gid_map"):
                    write(f"/proc/{outside}/{name}", f"0 0 {NOBODY_FROM}")
                code = 0
        finally:
            os._exit(code)
    os.close(reader)
    has_users = libc.unshare(flags | CLONE_NEWUSER) == 0
    if has_users:
        os.write(writer, b"m")
    os.close(writer)
    mapped = os.waitstatus_to_exitcode(os.waitpid(mapper, 0)[1]) == 0
    if has_users and not mapped:
        raise FailedError("the users of a namespace cannot be mapped")
    if not has_users:
        call("unshare", libc.unshare(flags))


def first_process(orders: dict[str, Any], held: int, status_fd: int) -> NoReturn:
    """Be process 1 of the container: set it up, start the program, stay until it ends."""
    code = 125
    try:
        call("prctl", prctl(PR_SET_PDEATHSIG, signal.SIGKILL))
        if select.select([held], [], [], 0)[0]:  # the outer process died before the line above
            os._exit(128 + signal.SIGKILL)
        os.close(held)
        # From here on, Python's library is not there: what were found in its place would be the image's.
        sys.meta_path.clear()
        make_root(orders)
        drop_privileges(orders)
        if not orders["init"]:
            start_program(orders, status_fd)
        program = os.fork()
        if program == 0:
            start_program(orders, status_fd)
        os.close(status_fd)
        # No descriptor of the program's streams may stay open here: who reads them waits for the end.
        for number in range(3):
            os.close(number)
        code = pass_on_until_end(program)
    except (FailedError, OSError) as error:
        os.write(status_fd, str(error).encode())
    except (ImportError, LookupError, ValueError) as error:  # of Python's own, which cannot be imported here
        os.write(status_fd, f"{type(error).__name__}: {error}".encode())
    finally:
        os._exit(code)


def make_root(orders: dict[str, Any]) -> None:
    """Make the image's root this process's root, with nothing of the host but what the orders name."""
    # Nothing mounted here is to be seen by the host. Slave, so that what the host unmounts goes here too.
    mount("none", "/", None, MS_REC | MS_SLAVE)
    root = orders["root"]
    mount(root, root, None, MS_BIND)
    # Opened before the host's root goes; reached through /proc/self/fd once it is gone.
    sources = [os.open(bind["source"], os.O_PATH | os.O_CLOEXEC) for bind in orders["binds"]]
    devices = [os.open(f"/dev/{name}", os.O_PATH | os.O_CLOEXEC) for name in DEVICES]
    old = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    os.chdir(root)
    number = PIVOT_ROOT.get(os.uname().machine, PIVOT_ROOT_GENERIC)
    # pivot_root(2), NOTES: "." and "." stacks the old root under the new one, and needs no folder for it.
    call("pivot_root", libc.syscall(number, b".", b"."))
    mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    make_devices(devices)
    for folder in orders["tmpfs"]:
        mount("tmpfs", folder, "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777")
    for bind, source in zip(orders["binds"], sources, strict=True):
        make_place(bind["target"], is_folder=stat.S_ISDIR(os.fstat(source).st_mode))
        mount(f"/proc/self/fd/{source}", bind["target"], None, MS_BIND | MS_REC)
        if bind["read_only"]:
            remount_read_only(bind["target"])
    for descriptor in (*sources, *devices):
        os.close(descriptor)
    os.fchdir(old)
    call("umount", libc.umount2(b".", MNT_DETACH))
    os.close(old)
    os.chdir("/")
    mask_proc()
    if orders["read_only"]:
        remount_read_only("/", nested=False)


def make_place(target: str, *, is_folder: bool) -> None:
    """Make what is to be mounted on: the root has it, but a folder in memory may hide it."""
    os.makedirs(target if is_folder else os.path.dirname(target), exist_ok=True)
    if not is_folder and not os.path.exists(target):
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o644))


def make_devices(devices: list[int]) -> None:
    """Fill /dev as the OCI runtime specification does (config-linux.md, "Default Devices")."""
    mount("tmpfs", "/dev", "tmpfs", MS_NOSUID | MS_NOEXEC, "mode=755,size=64k")
    for name, source in zip(DEVICES, devices, strict=True):
        os.close(os.open(f"/dev/{name}", os.O_CREAT | os.O_WRONLY, 0o666))
        mount(f"/proc/self/fd/{source}", f"/dev/{name}", None, MS_BIND)
    for name, target in (
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
        ("ptmx", "pts/ptmx"),
    ):
        os.symlink(target, f"/dev/{name}")
    os.mkdir("/dev/pts", 0o755)
    os.mkdir("/dev/shm", 0o1777)
    mount("devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=620")
    mount("tmpfs", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=1777")
    remount_read_only("/dev", nested=False)


def mask_proc() -> None:
    """Hide of /proc what tells of the host, and make read-only what can act on it."""
    for name in MASKED_FILES:
        if os.path.exists(f"/proc/{name}"):
            mount("/dev/null", f"/proc/{name}", None, MS_BIND)
    for name in MASKED_FOLDERS:
        if os.path.isdir(f"/proc/{name}"):
            mount("tmpfs", f"/proc/{name}", "tmpfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC)
    for name in READ_ONLY:
        if os.path.exists(f"/proc/{name}"):
            mount(f"/proc/{name}", f"/proc/{name}", None, MS_BIND | MS_REC)
            remount_read_only(f"/proc/{name}")


def remount_read_only(target: str, *, nested: bool = True) -> None:
    """Make the mount at `target` read-only, and those below it."""
    targets = {target}
    if nested:
        with open("/proc/self/mountinfo", "rb") as lines:
            # proc(5): the fifth field is the mount point, blanks and the like as octal escapes.
            points = [os.fsdecode(ESCAPE.sub(unescape, line.split()[4])) for line in lines]
        targets |= {point for point in points if point.startswith(target.rstrip("/") + "/")}
    for point in sorted(targets):
        has = os.statvfs(point).f_flag
        keep = sum(mount_flag for flag, mount_flag in LOCKED.items() if has & flag)
        mount("none", point, None, MS_REMOUNT | MS_BIND | MS_RDONLY | keep)


def unescape(match: re.Match[bytes]) -> bytes:
    """Return the byte that an octal escape stands for."""
    return bytes([int(match[1], 8)])


def drop_privileges(orders: dict[str, Any]) -> None:
    """Give up every capability for good and become the image's user."""
    call("prctl", prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL))
    for capability in range(64):
        # capabilities(7): EINVAL is the first number that this kernel does not know.
        if prctl(PR_CAPBSET_DROP, capability) == -1:
            if ctypes.get_errno() == errno.EINVAL:
                break
            raise FailedError(f"drop capability {capability}: {os.strerror(ctypes.get_errno())}")
    if orders["privileged"]:
        os.setgroups(orders["groups"])
    os.setresgid(orders["gid"], orders["gid"], orders["gid"])
    os.setresuid(orders["uid"], orders["uid"], orders["uid"])
    header = struct.pack("=Ii", CAPABILITY_VERSION_3, 0)
    call("capset", libc.capset(header, struct.pack("=6I", 0, 0, 0, 0, 0, 0)))
    call("prctl", prctl(PR_SET_NO_NEW_PRIVS, 1))
    # setresuid cleared it. And this process's memory is the host's Python: not for the program's eyes.
    call("prctl", prctl(PR_SET_PDEATHSIG, signal.SIGKILL))
    call("prctl", prctl(PR_SET_DUMPABLE, 0))


def start_program(orders: dict[str, Any], status_fd: int) -> NoReturn:
    """Become the program, in a session of its own and with the default for every signal."""
    code = 126
    try:
        os.setsid()
        if orders["terminal"]:
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them, and that would be inherited
            signal.signal(number, signal.SIG_DFL)
        os.chdir(orders["cwd"])
        os.umask(0o022)
        os.closerange(3, status_fd)
        os.closerange(status_fd + 1, 1 << 16)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.execve(orders["path"], orders["argv"], orders["env"])
    except OSError as error:
        code = 127 if error.errno == errno.ENOENT else 126
        os.write(status_fd, f"{orders['path'] or orders['cwd']}: {error.strerror}".encode())
    finally:
        os._exit(code)


def pass_on_until_end(child: int) -> int:
    """Pass signals on to `child` and reap what ends here, until `child` does; return its exit code."""
    while True:
        got = signal.sigwaitinfo(SIGNALS).si_signo
        if got != signal.SIGCHLD:
            os.kill(child, got)
            continue
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            if pid == child:
                code = os.waitstatus_to_exitcode(status)
                return 128 - code if code < 0 else code


def write(path: str, text: str) -> None:
    """Write a file of /proc in one go, as the kernel wants it."""
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


if __name__ == "__main__":
    raise SystemExit(main())
