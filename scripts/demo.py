"""The demo: build, run and rebuild the examples with the `shipwheel` beside this Python. Tests nothing."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
OUTPUT = ROOT / ".demo"
SHIPWHEEL = Path(sys.executable).with_name("shipwheel")
START_SECONDS = 90.0
STOP_SECONDS = 15.0


def main() -> None:
    OUTPUT.mkdir(exist_ok=True)
    os.chdir(ROOT)

    title("examples/hello: a command")
    build("hello")
    run("hello", "--", "Ship your wheels!")

    title("examples/shop: a web service")
    build("shop")
    serve("shop")

    title("Once more: everything is there already")
    build("hello")
    build("shop")


def title(text: str) -> None:
    print(f"\n== {text}", flush=True)


def start(*arguments: str, **options: Any) -> subprocess.Popen[str]:
    """Start `shipwheel ARGUMENTS` in the open: what it does is shown as a user would type it."""
    print(f"\n$ shipwheel {' '.join(arguments)}", flush=True)
    return subprocess.Popen([SHIPWHEEL, *arguments], text=True, **options)


def build(example: str) -> None:
    process = start(
        "build", f"examples/{example}", "--output", f".demo/{example}", "--json", stdout=subprocess.PIPE
    )
    output, _ = process.communicate()
    if process.returncode != 0:
        sys.exit(process.returncode)
    image = json.loads(output)
    layers = image["platforms"][0]["layers"]
    print(image["reference"])
    print(f"{image['size'] / 1e6:.1f} MB in {len(layers)} layers, {image['seconds']:.2f} s", flush=True)


def run(example: str, *arguments: str) -> None:
    process = start("run", f"examples/{example}", "--quiet", *arguments)
    if process.wait() != 0:
        sys.exit(process.returncode)


def serve(example: str) -> None:
    """Start the service, ask whether it is well, and stop it as an orchestrator would: with SIGTERM."""
    port = free_port()
    with start(
        "run", f"examples/{example}", "--quiet", "--env", f"PORT={port}", "--publish", f"{port}:{port}"
    ) as process:
        try:
            url = f"http://127.0.0.1:{port}/healthz"
            began = time.monotonic()
            answer = ask(url, process)
            print(f"\n$ curl {url}\n{answer}   (after {time.monotonic() - began:.2f} s)", flush=True)
        finally:
            process.send_signal(signal.SIGTERM)
        code = process.wait(STOP_SECONDS)
        print(f"\nSIGTERM: it stopped with exit code {code}", flush=True)
    if code != 0:
        sys.exit(f"{example} did not stop cleanly")


def ask(url: str, process: subprocess.Popen[str]) -> str:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5) as response:
                return str(response.read().decode())
        except (urllib.error.URLError, ConnectionError) as error:
            if process.poll() is not None:
                sys.exit(f"the service ended with {process.returncode} before it answered")
            if time.monotonic() > deadline:
                sys.exit(f"the service does not answer: {error}")
            time.sleep(0.1)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    main()
