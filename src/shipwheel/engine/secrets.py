"""What a build may know and no image may keep: certificates to trust, and logins of package indexes."""

from __future__ import annotations

import re
import shlex
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from shipwheel.errors import UsageError

_CA_VARIABLES: Final = ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
# What says where packages are, with whose login. Folders of this machine would say nothing in a container.
_INDEX_VARIABLES: Final = (
    "PIP_INDEX_URL",
    "PIP_EXTRA_INDEX_URL",
    "PIP_TRUSTED_HOST",
    "POETRY_PYPI_MIRROR_URL",
)
_INDEX_PREFIXES: Final = (
    "UV_INDEX",
    "UV_DEFAULT_INDEX",
    "UV_EXTRA_INDEX_URL",
    "POETRY_HTTP_BASIC_",
    "PDM_PYPI_",
)
# https://${USER}:${PASSWORD}@index.example: PDM, Pipenv and pip put variables into such addresses.
_ADDRESS: Final = re.compile(r"://[^\s\"'/@]*\$\{\w+\}[^\s\"'/@]*@")


def variables_of_addresses(files: Iterable[Path]) -> frozenset[str]:
    """Return the names of the variables that logins in these files' addresses are made of; the lost are skipped."""
    texts = (path.read_text("utf-8", errors="replace") for path in files if path.is_file())
    return frozenset(
        name
        for text in texts
        for address in _ADDRESS.findall(text)
        for name in re.findall(r"\$\{(\w+)\}", address)
    )


@contextmanager
def build_secrets(
    words: Sequence[str], environ: Mapping[str, str], named: Iterable[str] = ()
) -> Iterator[dict[str, Path]]:
    """Yield the files to give as secrets: those of `words`, and what this machine's own pip or uv would use.

    `named` are further variables that the secret `index` is to have. Raises UsageError `bad-secret`.
    """
    wanted = {*_INDEX_VARIABLES, *named}
    found: dict[str, Path] = {}
    for word in words:
        fields = dict(part.partition("=")[::2] for part in word.split(","))
        path = fields.get("src") or fields.get("source")
        if not fields.get("id") or path is None or not Path(path).is_file():
            hint = "--secret id=index,src=FILE, where FILE is there"
            raise UsageError("bad-secret", f"no such secret: {word}", place="--secret", hint=hint)
        found[fields["id"]] = Path(path).absolute()
    bundle = next((environ[name] for name in _CA_VARIABLES if environ.get(name)), None)
    if bundle is not None and Path(bundle).is_file():
        found.setdefault("ca", Path(bundle))
    logins = [
        f"{name}={shlex.quote(value)}\n"
        for name, value in sorted(environ.items())
        if name in wanted or name.startswith(_INDEX_PREFIXES)
    ]
    if not logins or "index" in found:
        yield found
        return
    # Readable by its owner alone, and gone with the build.
    with tempfile.NamedTemporaryFile("w", prefix="shipwheel-", suffix=".env") as file:
        file.write("".join(logins))
        file.flush()
        yield {**found, "index": Path(file.name)}
