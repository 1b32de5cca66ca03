"""Run a command and write what it took into a file: seconds, CPU seconds, and KiB of its largest process.

    python -I -S spawn.py FILE COMMAND…

Its own process, and a small one: Linux counts the pages of whoever starts a program among the program's
(execve keeps the high-water mark of the memory that a child of vfork shares). So no figure is below the
9 MB of this one.
"""

import os
import sys
import time


def main() -> None:
    answer, *command = sys.argv[1:]
    began = time.perf_counter()
    child = os.posix_spawn(command[0], command, os.environ)
    # wait4 has the process's own usage, and that of its children and theirs.
    _, status, usage = os.wait4(child, 0)
    seconds = time.perf_counter() - began
    handle = os.open(answer, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.write(handle, f"{seconds} {usage.ru_utime + usage.ru_stime} {usage.ru_maxrss}".encode())
    os.close(handle)
    sys.exit(os.waitstatus_to_exitcode(status) & 0xFF)


if __name__ == "__main__":
    main()
