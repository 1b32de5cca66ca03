"""An image for another machine is refused, unless an emulator is registered that works in a container."""

from __future__ import annotations

from pathlib import Path

import pytest

from shipwheel.engine.platform import require_platform
from shipwheel.errors import HostError
from shipwheel.oci.model import Platform

AMD64 = Platform(os="linux", architecture="amd64")
ARM64 = Platform(os="linux", architecture="arm64")


def test_own_platform_runs(tmp_path: Path) -> None:
    require_platform(AMD64, machine="x86_64", binfmt=tmp_path)
    require_platform(ARM64, machine="aarch64", binfmt=tmp_path)


@pytest.mark.parametrize("platform", [ARM64, Platform(os="windows", architecture="amd64")])
def test_foreign_platform_is_refused(tmp_path: Path, platform: Platform) -> None:
    with pytest.raises(HostError) as caught:
        require_platform(platform, machine="x86_64", binfmt=tmp_path)
    assert caught.value.code == "foreign-platform"


@pytest.mark.parametrize(
    ("text", "runs"),
    [
        ("enabled\ninterpreter /usr/bin/qemu-aarch64\nflags: OCF\noffset 0\n", True),
        ("enabled\ninterpreter /usr/bin/qemu-aarch64\nflags: OC\noffset 0\n", False),
        ("disabled\ninterpreter /usr/bin/qemu-aarch64\nflags: F\noffset 0\n", False),
    ],
)
def test_registered_emulator_counts_when_it_is_enabled_and_opened_already(
    tmp_path: Path, text: str, runs: bool
) -> None:
    (tmp_path / "qemu-aarch64").write_text(text)
    if runs:
        require_platform(ARM64, machine="x86_64", binfmt=tmp_path)
    else:
        with pytest.raises(HostError):
            require_platform(ARM64, machine="x86_64", binfmt=tmp_path)
