"""Mirrors: settings, the environment, apt's sources in both formats."""

from pathlib import Path

import pytest

from shipwheel.base.debian.mirrors import Mirrors, find_mirrors
from shipwheel.errors import ProjectError

DEB822 = """# a comment
Types: deb
URIs: http://mirror.example/debian/
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
"""


def found(apt: Path, files: dict[str, str], **environ: str) -> Mirrors | None:
    for name, text in files.items():
        (apt / name).parent.mkdir(parents=True, exist_ok=True)
        (apt / name).write_text(text)
    return find_mirrors(environ, apt=apt)


def test_no_mirror_is_built_in(tmp_path: Path) -> None:
    assert find_mirrors({}, apt=tmp_path / "none") is None


def test_mirrors_come_from_deb822_sources(tmp_path: Path) -> None:
    assert found(tmp_path, {"sources.list.d/debian.sources": DEB822}) == Mirrors(
        main="http://mirror.example/debian", security="http://mirror.example/debian-security"
    )


def test_mirrors_come_from_one_line_sources(tmp_path: Path) -> None:
    text = """
# deb http://commented.example/debian trixie main
deb-src http://source.example/debian trixie main
deb cdrom:[Debian]/ trixie main
deb [arch=amd64 signed-by=/usr/share/keyrings/debian-archive-trixie-stable.gpg] https://mirror.example/debian trixie main contrib # ours
deb https://mirror.example/debian-security trixie-security main
"""
    assert found(tmp_path, {"sources.list": text}) == Mirrors(
        main="https://mirror.example/debian", security="https://mirror.example/debian-security"
    )


@pytest.mark.parametrize(
    "line",
    [
        "deb https://other.example/ubuntu noble main",
        "deb [signed-by=/etc/apt/keyrings/vendor.gpg] https://vendor.example/debian trixie main",
        "deb https://vendor.example/node nodistro main",
        "deb https://mirror.example/debian trixie contrib",
        "deb https://mirror.example/debian trixie-backports main",
        "deb ftp://mirror.example/debian trixie main",
    ],
)
def test_sources_that_are_not_debians_main_archive_are_passed_over(tmp_path: Path, line: str) -> None:
    assert found(tmp_path, {"sources.list": line}) is None


def test_a_disabled_source_is_passed_over(tmp_path: Path) -> None:
    assert (
        found(tmp_path, {"sources.list.d/a.sources": DEB822.replace("Types:", "Enabled: no\nTypes:")}) is None
    )


def test_a_vendors_deb822_source_is_passed_over(tmp_path: Path) -> None:
    text = DEB822.replace("/usr/share/keyrings/debian-archive-keyring.gpg", "/etc/apt/keyrings/v.asc")
    assert found(tmp_path, {"sources.list.d/a.sources": text}) is None


def test_without_a_security_source_there_is_no_security_mirror(tmp_path: Path) -> None:
    text = DEB822.partition("\n\n")[0]
    assert found(tmp_path, {"sources.list.d/a.sources": text}) == Mirrors(main="http://mirror.example/debian")


def test_the_environment_comes_before_apt(tmp_path: Path) -> None:
    mirrors = found(
        tmp_path,
        {"sources.list.d/a.sources": DEB822},
        SHIPWHEEL_DEBIAN_MIRROR="https://env.example/debian/",
        SHIPWHEEL_DEBIAN_SECURITY_MIRROR="none",
        SHIPWHEEL_DEBIAN_SNAPSHOT="https://snapshot.example",
    )
    assert mirrors == Mirrors(main="https://env.example/debian", snapshot="https://snapshot.example")


def test_settings_come_before_the_environment(tmp_path: Path) -> None:
    environ = {"SHIPWHEEL_DEBIAN_MIRROR": "https://env.example/debian"}
    mirrors = find_mirrors(environ, main="https://settings.example/debian", apt=tmp_path)
    assert mirrors == Mirrors(main="https://settings.example/debian")


def test_none_asks_for_no_mirror_at_all(tmp_path: Path) -> None:
    assert found(tmp_path, {"sources.list.d/a.sources": DEB822}, SHIPWHEEL_DEBIAN_MIRROR="none") is None


def test_a_mirror_that_is_no_url_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ProjectError) as caught:
        found(tmp_path, {}, SHIPWHEEL_DEBIAN_MIRROR="mirror.example/debian")
    assert caught.value.code == "bad-mirror"
    assert caught.value.problems[0].place == "SHIPWHEEL_DEBIAN_MIRROR"
