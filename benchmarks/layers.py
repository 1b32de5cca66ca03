"""Write each wheel named on standard input (`{filename: path}` as JSON) as a layer, and throw it away.

    python layers.py copy|zlib-ng|zlib

`copy` is shipwheel's way. The others unpack the wheel into a tar and compress that at level 6, hashing
both as an image needs it. The last line of the output is the number of bytes written. A process of its
own, so that its CPU time and memory are those of this work.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tarfile
import tempfile
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any, BinaryIO

LEVEL = 6
_GZIP = 31
_CHUNK = 1 << 18


def main() -> None:
    way = sys.argv[1]
    total = 0
    for filename, path in json.load(sys.stdin).items():
        with tempfile.TemporaryFile() as file:
            if way == "copy":
                _copy(filename, Path(path), file)
            else:
                _compress(Path(path), file, _compressor(way))
            total += file.tell()
    print(total)


def _copy(filename: str, path: Path, file: BinaryIO) -> None:
    from shipwheel.wheel.archive import open_wheel
    from shipwheel.wheel.layer import LayerWheel, write_wheel_layer

    wheel = open_wheel(path, filename=filename, sha256=path.name)
    write_wheel_layer([LayerWheel(wheel=wheel)], prefix="/app/.venv", python="3.13", file=file)
    file.seek(0, 2)


def _compressor(way: str) -> Any:
    if way == "zlib":
        return zlib.compressobj(LEVEL, zlib.DEFLATED, _GZIP)
    from zlib_ng import zlib_ng

    return zlib_ng.compressobj(LEVEL, zlib_ng.DEFLATED, _GZIP)


class _Hashed:
    """What tarfile writes to: hashes, compresses, hashes again, writes."""

    def __init__(self, file: BinaryIO, compressor: Any) -> None:
        self._file, self._compressor = file, compressor
        self._plain, self._packed = hashlib.sha256(), hashlib.sha256()

    def write(self, data: bytes) -> int:
        self._plain.update(data)
        self._put(self._compressor.compress(data))
        return len(data)

    def finish(self) -> None:
        self._put(self._compressor.flush())

    def _put(self, data: bytes) -> None:
        self._packed.update(data)
        self._file.write(data)


def _compress(path: Path, file: BinaryIO, compressor: Any) -> None:
    out = _Hashed(file, compressor)
    with (
        zipfile.ZipFile(path) as wheel,
        # Blocks as large as those that are read: many small writes would be the tar's cost, not zlib's.
        tarfile.open(fileobj=_as_file(out), mode="w|", bufsize=_CHUNK) as tar,
    ):
        for member in sorted(wheel.infolist(), key=lambda item: item.filename):
            if not member.is_dir():
                info = tarfile.TarInfo(f"app/.venv/lib/python3.13/site-packages/{member.filename}")
                info.size = member.file_size
                with wheel.open(member) as content:
                    tar.addfile(info, content)
    out.finish()


def _as_file(out: Any) -> IO[bytes]:
    return out  # type: ignore[no-any-return] # tarfile's stream mode asks for `write` alone


if __name__ == "__main__":
    main()
