"""Images that break one rule of `shipwheel check` each, by its code."""

import random
import tarfile
from collections.abc import Callable

from helpers.bases import elf
from helpers.elf import native
from helpers.zoo import (
    CONFIG,
    HASHED_PYC,
    SITE,
    clean_image,
    compiled,
    distribution,
    entry,
    foreign_layer,
    layer,
    program,
    with_config,
    with_files,
    with_history,
)
from shipwheel.oci.model import Image
from shipwheel.oci.tar import Entry

# Put together here, so that no scanner takes this file for a leak.
# Put together here, so that no scanner takes this file for a leak.
GITHUB = "ghp_" + "aB3dE5gH7jK9mN1pQ3sT5vW7yZ9bC1dF3gH5"
TOKEN_FILE = f"token = '{GITHUB}'\n".encode()
KEY = (
    b"-----BEGIN RSA " + b"PRIVATE KEY-----\n"
    + b"MIIEowIBAAKCAQEAx7Vq0pZ3mKfT9cWnY5sLdHgRjBvUeAoXiQwNzMhCkDyPlFuJ\n"
    + b"tGbSaErVO1I2nX8cZ4qW6yU0pL9kM3jH5gF7dS2aQ8wE4rT6yU1iO3pA5sD7fG9h\n"
    + b"J2kL4zX6cV8bN0mQ1wE3rT5yU7iO9pA2sD4fG6hJ8kL0zX1cV3bN5mQ7wE9rT2yU\n"
    + b"-----END RSA " + b"PRIVATE KEY-----\n"
)  # fmt: skip
MEGABYTES = random.Random(1).randbytes(3_000_000)
BIG_SOURCE = b"value = 1\n" * 20_000
DEAD_PYC = (
    HASHED_PYC[:4] + bytes(4) + (1_700_000_000).to_bytes(4, "little") + len(BIG_SOURCE).to_bytes(4, "little")
)


def venv(name: str, files: dict[str, bytes]) -> Image:
    return with_files(distribution(name, "1.0", files))


def capable() -> Image:
    info = tarfile.TarInfo("usr/bin/ping")
    info.mode = 0o755
    info.pax_headers = {"SCHILY.xattr.security.capability": "\x01\x00\x00\x02"}
    return clean_image(foreign_layer([(info, program())]))


def collision() -> Image:
    one = distribution("one", "1.0", {"shared.py": b"ONE = 1\n"})
    two = distribution("two", "1.0", {"shared.py": b"TWO = 2\n"})
    return with_files({**one, **two})


def incomplete() -> Image:
    files = distribution("partly", "1.0", {"partly.py": b"X = 1\n", "gone.py": b"Y = 1\n"})
    del files[f"{SITE}/gone.py"]
    return with_files(files)


def changed() -> Image:
    files = distribution("patched", "1.0", {"patched.py": b"X = 1\n"})
    return with_files({**files, f"{SITE}/patched.py": b"X = 2\n"})


def without_record() -> Image:
    files = distribution("bare", "1.0", {"bare.py": b"X = 1\n"})
    del files[f"{SITE}/bare-1.0.dist-info/RECORD"]
    return with_files(files)


def editable() -> Image:
    files = distribution("mine", "1.0", {"mine.py": b"X = 1\n"})
    link = b'{"url": "file:///home/ann/mine", "dir_info": {"editable": true}}'
    return with_files({**files, f"{SITE}/mine-1.0.dist-info/direct_url.json": link})


def loose() -> Image:
    files = distribution("far", "1.0", {"far.py": b"X = 1\n"})
    link = b'{"url": "https://files.example/far.zip", "archive_info": {}}'
    return with_files({**files, f"{SITE}/far-1.0.dist-info/direct_url.json": link})


def buried_secret() -> Image:
    return clean_image(layer({"srv/token.py": TOKEN_FILE}), layer({"srv/.wh.token.py": b""}))


def hidden() -> Image:
    return clean_image(layer({"srv/data.bin": MEGABYTES}), layer({"srv/.wh.data.bin": b""}))


def shared_layer() -> Image:
    files = distribution("huge", "1.0", {"huge.bin": MEGABYTES})
    return with_files({**files, "app/more.py": b"X = 1\n"})


def dependencies_above() -> Image:
    return with_files(distribution("huge", "1.0", {"huge.bin": MEGABYTES}), created_by="RUN make install")


def no_bytecode() -> Image:
    return venv("slow", {"slow/__init__.py": BIG_SOURCE})


def dead_bytecode() -> Image:
    files = distribution("slow", "1.0", {"slow/__init__.py": BIG_SOURCE})
    return with_files({**files, **compiled(f"{SITE}/slow/__init__.py", DEAD_PYC)})


def build_packages() -> Image:
    return with_files(
        {
            "var/lib/dpkg/status.d/zlib1g-dev": b"Package: zlib1g-dev\nStatus: install ok installed\nVersion: 1\n",
            "var/lib/dpkg/status.d/zlib1g-dev.md5sums": b"0  srv/zlib.bin\n",
            "srv/zlib.bin": MEGABYTES,
        }
    )


def broken_script() -> Image:
    # As in an environment that was made in /build and copied.
    files = distribution("tool", "1.0", {"../../../bin/tool": b"#!/build/.venv/bin/python\n"})
    content = files.pop(f"{SITE}/../../../bin/tool")
    return with_files({**files, "app/.venv/bin/tool": content})


def unreadable() -> Image:
    files: dict[str, bytes | tuple[Entry, bytes]] = {**distribution("shy", "1.0", {"shy.py": b"X = 1\n"})}
    files[f"{SITE}/shy.py"] = entry(f"{SITE}/shy.py", b"X = 1\n", mode=0o600)
    return with_files(files)


ZOO: dict[str, Callable[[], Image]] = {
    "runs-as-root": lambda: with_config(user=None),
    "user-by-name": lambda: with_config(user="nonroot"),
    "user-unknown": lambda: with_config(user="4711"),
    "code-writable": lambda: with_files({"app/more.py": entry("app/more.py", b"X = 1\n", uid=65532)}),
    "world-writable": lambda: with_files({"srv/all": entry("srv/all", b"x", mode=0o666)}),
    "set-id": lambda: with_files({"usr/bin/passwd": entry("usr/bin/passwd", program(), mode=0o4755)}),
    "file-capability": capable,
    "privilege-tool": lambda: with_files({"usr/bin/sudo": program()}),
    "shell": lambda: with_files({"bin/sh": program()}),
    "compiler": lambda: with_files({"usr/bin/x86_64-linux-gnu-gcc-14": program()}),
    "package-manager": lambda: with_files({"usr/bin/apt-get": program()}),
    "installer": lambda: venv("pip", {"pip/__init__.py": b"X = 1\n"}),
    "downloader": lambda: with_files({"usr/bin/curl": program()}),
    "entry-missing": lambda: with_config(entrypoint=("gone",)),
    "low-port": lambda: with_config(exposed_ports=("80/tcp",)),
    "secret-in-file": lambda: with_files({"srv/settings.py": TOKEN_FILE}),
    "secret-in-lower-layer": buried_secret,
    "private-key": lambda: with_files({"srv/server.pem": KEY}),
    "secret-in-package": lambda: venv("leaky", {"leaky.py": TOKEN_FILE}),
    "secret-in-history": lambda: with_history(f"RUN |1 TOKEN={GITHUB} /install.sh"),
    "secret-in-environment": lambda: with_config(env=(*(CONFIG.env or ()), ("DB_PASSWORD", "tr0ub4dor&3x"))),
    "repository": lambda: with_files({"app/.git/HEAD": b"ref: refs/heads/main\n"}),
    "credentials-file": lambda: with_files({"app/.env": b"DEBUG=1\n"}),
    "package-changed": changed,
    "package-incomplete": incomplete,
    "package-collision": collision,
    "package-without-record": without_record,
    "hidden-bytes": hidden,
    "duplicate-files": lambda: with_files({"srv/one": MEGABYTES, "srv/two": MEGABYTES}),
    "package-cache": lambda: with_files({"root/.cache/pip/http/body": MEGABYTES}),
    "build-only-packages": build_packages,
    "tests-in-packages": lambda: venv("tested", {"tested/tests/data.bin": MEGABYTES}),
    "documentation": lambda: with_files({"usr/share/doc/bash/book.ps": MEGABYTES}),
    "development-files": lambda: with_files({"usr/lib/libz.a": MEGABYTES}),
    "debug-symbols": lambda: with_files(
        {"usr/lib/libbig.so": native({".text": 10, ".debug_info": 3_000_000})}
    ),
    "bytecode-missing": no_bytecode,
    "bytecode-dead": dead_bytecode,
    "edit-pushes-dependencies": shared_layer,
    "dependencies-above-code": dependencies_above,
    "wrong-platform": lambda: with_files({"srv/arm": elf(architecture="arm64")}),
    "host-path": editable,
    "broken-script": broken_script,
    "not-readable": unreadable,
    "no-time-zones": lambda: clean_image(without=["usr/share/zoneinfo/Europe/Berlin"]),
    "no-certificates": lambda: clean_image(without=["etc/ssl/certs/ca-certificates.crt"]),
    "locale-missing": lambda: with_config(env=(*(CONFIG.env or ()), ("LC_ALL", "de_DE.UTF-8"))),
    "unpinned-python-packages": lambda: with_history("RUN pip install --no-cache-dir -U requests"),
    "unpinned-node-packages": lambda: with_history("RUN cd /app && npm install"),
    "unpinned-system-packages": lambda: with_history("RUN apt-get update && apt-get install -y libpq5"),
    "piped-to-shell": lambda: with_history("RUN curl -sSL https://files.example/install | sh"),
    "remote-add": lambda: with_history("ADD https://files.example/tool /srv/"),
    "loose-source": loose,
    "project-files": lambda: with_files({"app/poetry.lock": b"# lock\n"}),
    "starts-no-program": lambda: with_config(entrypoint=("python",), cmd=("--version",)),
    "path-entry-missing": lambda: with_config(
        env=(("PATH", "/opt/pipx/bin:/app/.venv/bin:/usr/bin:/bin"), ("LANG", "C.UTF-8"))
    ),
    "python-end-of-life": lambda: with_files(
        {"opt/bin/python3.9": program(), "opt/lib/python3.9/os.py": b"import sys\n"}
    ),
    "system-end-of-life": lambda: with_files({"etc/os-release": b'ID=debian\nVERSION_ID="10"\n'}),
}
