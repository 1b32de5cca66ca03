"""What each layer is made of, in words short enough to travel with the image, and how two of them differ.

A layer's key says whether it is the same; its inputs say why it is not. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from shipwheel.base.debian.recipe import RECIPE as DEBIAN_RECIPE
from shipwheel.base.debian.recipe import layer_of
from shipwheel.base.model import Base, DebianPlatform
from shipwheel.oci.layer import RECIPE as LAYER_RECIPE
from shipwheel.plan.base import footing_key, locked_platform
from shipwheel.plan.model import BuildPlan, LayerPlan, PlannedWheel
from shipwheel.plan.planner import BYTECODE_RECIPE, SKELETON_RECIPE
from shipwheel.wheel.keys import SLIM_RECIPE, WHEEL_LAYER_RECIPE

# The annotation that a manifest's layers carry beside their key.
INPUTS_ANNOTATION: Final = "io.shipwheel.layer.inputs"
# Enough of a hash to tell two files of one version apart.
_SHORT: Final = 12
_WHEELS: Final = ("wheel", "wheels")
_SLIM: Final = "slim"
_WHOLE: Final = "nothing"
_RECIPES: Final[Mapping[str, str]] = {"bytecode": BYTECODE_RECIPE, "skeleton": SKELETON_RECIPE}


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerInputs:
    """`packages` maps names to version and hash, `settings` everything else that the key follows from."""

    kind: str
    name: str
    packages: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)

    def render(self) -> str:
        """Return compact JSON: equal inputs, equal text."""
        data: dict[str, Any] = {"kind": self.kind, "name": self.name}
        if self.packages:
            data["packages"] = dict(self.packages)
        if self.settings:
            data["settings"] = dict(self.settings)
        return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False)

    @property
    def slimmed(self) -> Mapping[str, str]:
        """What was left out of which packages, as `tests, stubs`; whole ones are not among them."""
        text = self.settings.get(_SLIM, "").rpartition(" (")[0]
        if ": " not in text:
            return dict.fromkeys(self.packages, text) if text else {}
        parts = (part.partition(": ") for part in text.split("; "))
        return {name: left_out for name, _, left_out in parts if left_out != _WHOLE}

    @classmethod
    def parse(cls, text: str) -> LayerInputs | None:
        """Read what `render` wrote; None for anything else (an annotation is anybody's)."""
        try:
            data = json.loads(text)
            return cls(
                kind=str(data["kind"]),
                name=str(data["name"]),
                packages=_strings(data.get("packages", {})),
                settings=_strings(data.get("settings", {})),
            )
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return None


def layer_inputs(plan: BuildPlan, layer: LayerPlan, base: Base) -> LayerInputs:
    """Return what `layer` of `plan` is made of, as far as the plan knows: not the project's own files."""
    packages: dict[str, str] = {}
    settings: dict[str, str] = {"recipe": _RECIPES.get(layer.kind, WHEEL_LAYER_RECIPE)}
    below = tuple(item for item in plan.layers if item.kind == "base")
    if layer.kind == "base":
        packages, settings = _base_inputs(layer, base, plan)
    elif layer.kind == "bytecode":
        settings |= {"base": footing_key(below)[:_SHORT]}
    elif layer.kind == "skeleton":
        settings |= {
            "base": footing_key(below)[:_SHORT],
            "user": f"{plan.user.uid}:{plan.user.gid} {plan.user.name} {plan.user.home}",
            "working folder": plan.paths.workdir,
            "Python": plan.python.version,
        }
    else:
        minor = ".".join(plan.python.version.split(".")[:2])
        settings |= {"Python": minor, "environment": plan.paths.venv}
    if layer.kind not in ("base", "skeleton") and plan.bytecode.enabled:
        settings["bytecode"] = str(plan.bytecode.interpreter)
    if slim := _slim(layer.wheels):
        settings[_SLIM] = slim
    packages |= {wheel.name: _version(wheel.version, wheel.hash) for wheel in layer.wheels}
    return LayerInputs(kind=layer.kind, name=layer.name, packages=packages, settings=settings)


def _slim(wheels: Sequence[PlannedWheel]) -> str:
    """Return what was left out, as `tests, stubs`; by package where they differ; with the recipe."""
    texts = {wheel.name: ", ".join(wheel.slim) for wheel in wheels}
    if not any(texts.values()):
        return ""
    if len(set(texts.values())) == 1:
        text = next(iter(texts.values()))
    else:
        text = "; ".join(f"{name}: {text or _WHOLE}" for name, text in sorted(texts.items()))
    return f"{text} ({SLIM_RECIPE})"


def explain_change(now: LayerInputs, before: Sequence[LayerInputs]) -> tuple[str, ...]:
    """Return in words what makes a layer another one than that of `before` in its place; () for nothing."""
    old = _counterpart(now, before)
    if old is None:
        return ("it is new",)
    return (
        *_differences(old.packages, now.packages),
        *_differences(old.settings, now.settings, hide_values=("files", "base", "build tools")),
    )


def _counterpart(now: LayerInputs, before: Sequence[LayerInputs]) -> LayerInputs | None:
    kinds = _WHEELS if now.kind in _WHEELS else (now.kind,)
    rivals = [item for item in before if item.kind in kinds]
    if now.kind in _WHEELS:
        # By what is in them: a shared layer is named for its first wheel, which may change.
        best = max(rivals, key=lambda item: len(item.packages.keys() & now.packages.keys()), default=None)
        return best if best is not None and best.packages.keys() & now.packages.keys() else None
    return next((item for item in rivals if item.name == now.name), rivals[0] if rivals else None)


def _differences(
    old: Mapping[str, str], new: Mapping[str, str], *, hide_values: Sequence[str] = ()
) -> Iterator[str]:
    for name in sorted(old.keys() | new.keys()):
        was, now = old.get(name), new.get(name)
        if was == now:
            continue
        if name in hide_values and was and now:
            yield f"{name} changed"
        elif not was:
            yield f"{name} {_plain(now or '')} was added"
        elif not now:
            yield f"{name} {_plain(was)} was removed"
        elif _plain(was) == _plain(now):
            yield f"{name} {_plain(now)} has other bytes"
        else:
            yield f"{name} {_plain(was)} → {_plain(now)}"


def _plain(value: str) -> str:
    """Leave out the hash."""
    return value.partition(" sha")[0] or value


def _base_inputs(layer: LayerPlan, base: Base, plan: BuildPlan) -> tuple[dict[str, str], dict[str, str]]:
    from shipwheel.oci.model import Platform

    locked = locked_platform(base, Platform.parse(plan.platform))
    if not isinstance(locked, DebianPlatform):
        return {}, {"base": layer.key or ""}
    packages = {
        package.name: _version(package.version, f"sha256:{package.sha256}")
        for package in locked.packages
        if layer_of(package.name) == layer.name or layer.name == "python"
    }
    return packages, {"recipe": f"{DEBIAN_RECIPE} {LAYER_RECIPE}"}


def _version(version: str | None, digest: str | None) -> str:
    algorithm, _, hexdigits = (digest or "").partition(":")
    short = f"{algorithm}:{hexdigits[:_SHORT]}" if hexdigits else ""
    return " ".join(part for part in (version, short) if part)


def _strings(data: object) -> dict[str, str]:
    if not isinstance(data, dict) or not all(isinstance(value, str) for value in data.values()):
        raise TypeError("not a map of strings")
    return data
