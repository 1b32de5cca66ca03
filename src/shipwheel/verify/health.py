"""An image's health check: the command, and how long an engine would wait for it. Runs nothing.

The OCI image specification has none; it is Docker's (moby image specification 1.2, "Healthcheck"), and kept by
Docker, Podman and Buildah in images of Docker's format. Durations there are whole nanoseconds, 0 means inherited.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from shipwheel.oci.model import Image
from shipwheel.oci.read import LoadedImage

# Docker's own, where the image says nothing.
_INTERVAL: Final = 30.0
_TIMEOUT: Final = 30.0
_RETRIES: Final = 3
_NANOSECONDS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthCheck:
    """A command that passes with exit code 0; `source` says who wants it. Times are in seconds.

    `within` is how long after the start a container that never passes is taken for starting or healthy.
    """

    test: tuple[str, ...]
    timeout: float
    within: float
    source: str


def image_health_check(image: Image | LoadedImage) -> HealthCheck | None:
    """Return the health check of an image's configuration, or None."""
    if not isinstance(image, LoadedImage):
        return None
    try:
        config = json.loads(image.config).get("config") or {}
        data = config.get("Healthcheck")
        shell = config.get("Shell")
    except (ValueError, AttributeError):
        return None
    if not isinstance(data, dict):
        return None
    return read_health_check(
        data.get("Test"),
        interval=_seconds(data, "Interval", _INTERVAL),
        timeout=_seconds(data, "Timeout", _TIMEOUT),
        start=_seconds(data, "StartPeriod", 0.0),
        retries=data.get("Retries") or _RETRIES,
        shell=tuple(shell) if isinstance(shell, list) and shell else ("/bin/sh", "-c"),
        source="HEALTHCHECK",
    )


def read_health_check(
    test: object,
    *,
    source: str,
    interval: float = _INTERVAL,
    timeout: float = _TIMEOUT,
    start: float = 0.0,
    retries: object = _RETRIES,
    shell: tuple[str, ...] = ("/bin/sh", "-c"),
) -> HealthCheck | None:
    """Return the check that `test` describes (`["CMD", …]`, `["CMD-SHELL", line]`, a line), None for none.

    This is also how a compose file says it (compose specification, "healthcheck").
    """
    if isinstance(test, str):
        test = ["CMD-SHELL", test]
    if not isinstance(test, list) or not all(isinstance(word, str) for word in test) or len(test) < 2:
        return None
    kind, *words = test
    if kind == "CMD-SHELL":
        words = [*shell, words[0]]
    elif kind != "CMD":
        return None
    times = retries if isinstance(retries, int) and retries > 0 else _RETRIES
    return HealthCheck(
        test=tuple(words), timeout=timeout, within=start + times * (interval + timeout), source=source
    )


def _seconds(data: Mapping[str, Any], name: str, default: float) -> float:
    value = data.get(name)
    return value / _NANOSECONDS if isinstance(value, int | float) and value > 0 else default
