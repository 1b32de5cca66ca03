"""HTTP for everything in shipwheel: the one place that opens connections (urllib3, imported lazily).

TLS is always verified, credentials never leave the origin they were given for, plain http is for
loopback unless asked for. Knows nothing of indexes, mirrors or registries.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shipwheel.net.address import basic_credentials, is_loopback, origin, redact
    from shipwheel.net.failures import Response, StatusError, retry_after, status_error
    from shipwheel.net.http import Body, Http
    from shipwheel.net.transfer import Download

__all__ = [
    "Body",
    "Download",
    "Http",
    "Response",
    "StatusError",
    "basic_credentials",
    "is_loopback",
    "origin",
    "redact",
    "retry_after",
    "status_error",
]
_MODULES = {
    "address": ("basic_credentials", "is_loopback", "origin", "redact"),
    "failures": ("Response", "StatusError", "retry_after", "status_error"),
    "http": ("Body", "Http"),
    "transfer": ("Download",),
}

if not TYPE_CHECKING:  # or any name at all would pass as imported

    def __getattr__(name: str) -> Any:
        # PEP 562. Whoever only shows or compares addresses does not pay for TLS.
        for module, names in _MODULES.items():
            if name in names:
                return getattr(importlib.import_module(f"{__name__}.{module}"), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
