"""The health check that a compose file gives the image under check (compose-spec, "healthcheck"). Runs nothing."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from shipwheel.errors import UsageError
from shipwheel.verify.composefile.read import Value, read_compose
from shipwheel.verify.health import HealthCheck, read_health_check

# compose-spec, "Specifying durations".
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(us|ms|s|m|h)")
_SECONDS: Final = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def compose_health_check(path: Path | None) -> HealthCheck | None:
    """Return the health check of the only service that the compose file builds and gives one.

    None as well where there are several, or the file cannot be read: `composefile.check` tells that.
    """
    if path is None:
        return None
    try:
        file = read_compose(str(path), path.read_bytes().decode("utf-8", "replace"))
    except UsageError:
        return None
    found = []
    for service in file.services:
        given = service.value.get("healthcheck")
        if not service.is_built or service.is_for_development or given is None or given.is_on("disable"):
            continue
        health = _read(given, f"{file.name}:{given.line}")
        if health is not None:
            found.append(health)
    return found[0] if len(found) == 1 else None


def _read(given: Value, source: str) -> HealthCheck | None:
    test = given.get("test")
    if test is None:
        return None
    words: object = [item.text for item in test.items] or test.text
    retries = given.text_at("retries")
    return read_health_check(
        words,
        source=source,
        interval=_duration(given.text_at("interval"), 30.0),
        timeout=_duration(given.text_at("timeout"), 30.0),
        start=_duration(given.text_at("start_period"), 0.0),
        retries=int(retries) if retries.isdecimal() else 3,
    )


def _duration(text: str, default: float) -> float:
    parts = _DURATION.findall(text)
    return sum(float(number) * _SECONDS[unit] for number, unit in parts) if parts else default
