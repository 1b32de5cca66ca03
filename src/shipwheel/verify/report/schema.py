"""The published JSON schema of a report (`--format json`), which other programs may rely on."""

from __future__ import annotations

from typing import Any, Final

from shipwheel.verify.model import PROMISES, SEVERITIES
from shipwheel.verify.report.data import SCHEMA

_SIZE: Final = {"type": "integer", "minimum": 0, "description": "bytes"}
_SIZES: Final = {"type": "object", "additionalProperties": _SIZE, "description": "bytes by kind of file"}
_TEXT: Final = {"type": "string"}
_CODE: Final = {
    "type": "string",
    "pattern": "^[a-z0-9]+(-[a-z0-9]+)*$",
    "description": "a rule's stable name",
}
_PROMISE: Final = {"enum": list(PROMISES)}
_LAYER: Final = {"type": "integer", "minimum": 0, "description": "a layer's number, 0 the lowest"}
_MADE_BY: Final = {
    "type": "string",
    "description": "the Dockerfile's line that made the layer, as Dockerfile:12",
}


def report_schema() -> dict[str, Any]:
    """Return the schema (JSON Schema 2020-12). Members may be added to a report; those named here stay."""
    place = _object(
        {"path": _TEXT},
        {"layer": _LAYER, "size": _SIZE, "package": _TEXT, "detail": _TEXT, "made_by": _MADE_BY},
    )
    finding = {
        "code": _CODE,
        "promise": _PROMISE,
        "severity": {"enum": list(SEVERITIES)},
        "title": _TEXT,
        "why": _TEXT,
        "message": _TEXT,
        "fix": _TEXT,
        "saves": {"type": ["integer", "null"], "minimum": 0, "description": "bytes, unpacked"},
        "command": {"type": "string", "description": "what shows the finding with all its places"},
        "places": _list({"$ref": "#/$defs/place"}),
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A report of `shipwheel check`",
        "$defs": {"place": place, "finding": _object(finding)},
        **_object(
            {
                "schema": {"const": SCHEMA},
                "image": {"type": "string", "description": "as the user called it"},
                "digest": {"type": "string", "pattern": "^sha256:[0-9a-f]{64}$"},
                "platform": _TEXT,
                "size": {**_SIZE, "description": "bytes to pull"},
                "unpacked": {**_SIZE, "description": "bytes of all files that are seen"},
                "findings": _list({"$ref": "#/$defs/finding"}),
                "ignored": _list(_object({**finding, "reason": _TEXT})),
                "not_checked": _list(_object({"code": _CODE, "promise": _PROMISE, "reason": _TEXT})),
                "passed": _list(_object({"code": _CODE, "promise": _PROMISE})),
                "layers": _list(
                    _object(
                        {
                            "digest": _TEXT,
                            "created_by": _TEXT,
                            "size": _SIZE,
                            "unpacked": _SIZE,
                            "files": {"type": "integer", "minimum": 0},
                            "wasted": {**_SIZE, "description": "bytes that nobody sees"},
                            "parts": {**_SIZES, "description": "unpacked bytes by package"},
                        },
                        {"made_by": _MADE_BY},
                    )
                ),
                "packages": _list(
                    _object(
                        {
                            "kind": {"enum": ["python", "deb", "apk"]},
                            "name": _TEXT,
                            "version": _TEXT,
                            "size": _SIZE,
                            "files": {"type": "integer", "minimum": 0},
                            "kinds": _SIZES,
                        }
                    )
                ),
                "kinds": _SIZES,
                "costs": _list(_object({"what": _TEXT, "layers": _list(_LAYER), "size": _SIZE})),
                "measured": _list(
                    _object(
                        {
                            "what": _TEXT,
                            "seconds": {"type": ["number", "null"], "minimum": 0},
                            "size": {
                                "type": ["integer", "null"],
                                "minimum": 0,
                                "description": "bytes that a push sends",
                            },
                            "detail": {"type": ["string", "null"], "description": "how it was measured"},
                            "reason": {"type": ["string", "null"], "description": "why it was not"},
                        }
                    )
                ),
            }
        ),
    }


def _object(required: dict[str, Any], optional: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"type": "object", "properties": {**required, **(optional or {})}, "required": sorted(required)}


def _list(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}
