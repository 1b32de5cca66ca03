"""Run one container as `shipwheel run` would: `python driver.py ORDERS`, orders as JSON. Exits with its code."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from functional.engine.images import image_with
from shipwheel.cache import Cache
from shipwheel.engine.detect import find_runner
from shipwheel.engine.spec import Mount, RunSpec
from shipwheel.errors import ShipwheelError
from shipwheel.oci.model import RunConfig


def main() -> int:
    orders = json.loads(sys.argv[1])
    spec = orders["spec"]
    spec["mounts"] = [
        Mount(source=Path(source), target=target, read_only=read_only)
        for source, target, read_only in spec.get("mounts", [])
    ]
    config = RunConfig.from_json(orders["config"]) if orders.get("config") else None
    files = {path: text.encode() for path, text in orders.get("files", {}).items()}
    image = image_with(Path(orders["program"]), config=config, files=files)
    runner = find_runner(os.environ, orders["runner"], cache=Cache(Path(orders["cache"])))
    return runner.run(image, RunSpec(**spec))


if __name__ == "__main__":
    try:
        raise SystemExit(main())
    except ShipwheelError as error:
        print(error, file=sys.stderr)
        raise SystemExit(error.exit_code) from None
