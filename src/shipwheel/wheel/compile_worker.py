"""Runs inside the image's interpreter (3.8 to 3.14), given with `-c`: sources in, bytecode out.

Stdin: per file the path that tracebacks are to show and the source, each after its length (4 bytes,
big-endian). Stdout: per file one byte and a length, then bytes: `P` and a .pyc (PEP 552, unchecked
hash), or `S` and why there is none. Uses built-in and frozen modules alone, so it starts in 15 ms and
needs no extension module of the image.
"""

import _thread
import sys

# `-c` puts the working directory in front: nothing may be imported from there.
if sys.path and sys.path[0] == "":
    del sys.path[0]

import importlib.util

# PEP 552: bit 0 says hash-based, bit 1 would say that the hash is checked against the source.
_UNCHECKED = (1).to_bytes(4, "little")
# Deep sources need stack, and how much there is must not depend on this machine's `ulimit -s`.
_STACK = 64 * 1024 * 1024


def _pyc(path: str, source: bytes) -> bytes:
    import marshal

    code = compile(source, path, "exec", dont_inherit=True, optimize=0)
    head = importlib.util.MAGIC_NUMBER + _UNCHECKED + importlib.util.source_hash(source)
    return head + marshal.dumps(code)


def _work() -> None:
    read, out = sys.stdin.buffer.read, sys.stdout.buffer
    while True:
        length = read(4)
        if len(length) < 4:
            return
        path = read(int.from_bytes(length, "big")).decode("utf-8", "surrogatepass")
        source = read(int.from_bytes(read(4), "big"))
        try:
            kind, answer = b"P", _pyc(path, source)
        except (
            SyntaxError,
            ValueError,
            OverflowError,
            LookupError,
            RecursionError,
            MemoryError,
            SystemError,
        ) as error:
            kind, answer = b"S", type(error).__name__.encode()
        out.write(kind + len(answer).to_bytes(4, "big") + answer)
        # What is done must have left when a later source brings the process down.
        out.flush()


def _main() -> None:
    done = _thread.allocate_lock()
    done.acquire()

    def work() -> None:
        try:
            _work()
        finally:
            done.release()

    _thread.stack_size(_STACK)
    _thread.start_new_thread(work, ())
    done.acquire()


_main()
