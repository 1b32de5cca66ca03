"""Call one hook of a build back-end (PEP 517) in the process and folder that it is to run in.

Runs in the builder root with the target's Python: standard library alone, nothing of ours to import.
Orders come as JSON in the file that the first argument names; the answer goes into the file beside it.
"""

import importlib
import json
import os
import sys


def main() -> None:
    """Read the orders, call the hook, write what it returns."""
    path = sys.argv[1]  # setuptools puts words of its own there
    with open(path, encoding="utf-8") as file:  # noqa: PTH123 - no need of pathlib
        orders = json.load(file)
    os.umask(0o022)
    del sys.path[0]  # this file's folder; Python 3.11 has -P for it
    # PEP 517, "In-tree build backends": these folders come first on sys.path.
    sys.path[:0] = [os.path.join(os.getcwd(), path) for path in orders["path"]]  # noqa: PTH118, PTH109
    module, _, attribute = orders["back_end"].partition(":")
    back_end = importlib.import_module(module)
    for part in filter(None, attribute.split(".")):
        back_end = getattr(back_end, part)
    hook = getattr(back_end, orders["hook"], None)
    # PEP 517: get_requires_for_build_wheel is optional and stands for no requirements.
    answer = [] if hook is None else hook(*orders["arguments"])
    with open(path + ".answer", "w", encoding="utf-8") as file:  # noqa: PTH123
        json.dump(answer, file)


if __name__ == "__main__":
    main()
