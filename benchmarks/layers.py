"""Write each wheel named on standard input (`{filename: path}` as JSON) as a layer, and throw it away.

A process of its own, so that its CPU time and memory are those of this work.
"""

import json
import sys
import tempfile
from pathlib import Path

from shipwheel.wheel.archive import open_wheel
from shipwheel.wheel.layer import LayerWheel, write_wheel_layer


def main() -> None:
    for filename, path in json.load(sys.stdin).items():
        wheel = open_wheel(Path(path), filename=filename, sha256=Path(path).name)
        with tempfile.TemporaryFile() as file:
            write_wheel_layer([LayerWheel(wheel=wheel)], prefix="/app/.venv", python="3.13", file=file)


if __name__ == "__main__":
    main()
