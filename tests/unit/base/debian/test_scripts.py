"""Maintainer scripts: what may stay unrun and what may not."""

import pytest

from shipwheel.base.debian.scripts import check_script, family, script_hash
from shipwheel.errors import IntegrityError

HARMLESS = {
    "nothing": "#!/bin/sh\nset -e\n\nexit 0\n",
    "ldconfig": """#!/bin/sh
set -e
# Automatically added by dh_makeshlibs/13.11
if [ "$1" = "configure" ]; then
\tldconfig
fi
# End automatically added section
""",
    "clean-up after upgrades": """#!/bin/sh
set -e
# Automatically added by dh_installdeb/13.24
dpkg-maintscript-helper dir_to_symlink /usr/share/doc/libx libx-common 1.2-3\\~ libx -- "$@"
# End automatically added section
""",
    "byte-compilation": """#!/bin/sh
set -e
# Automatically added by dh_python3
if command -v py3compile >/dev/null 2>&1; then
\tpy3compile -p python3-x:amd64
fi
# End automatically added section
""".replace("dh_python3\n", "dh_python3/6\n"),
    "boilerplate": """#!/bin/sh
case "$1" in
    configure|abort-upgrade)
    ;;
    *)
        echo "postinst called with unknown argument \\`$1'" >&2
        exit 1
    ;;
esac
""",
}
REFUSED = {
    "a command": "#!/bin/sh\nadduser --system x\n",
    "a command after harmless ones": HARMLESS["ldconfig"] + "touch /etc/x\n",
    "another interpreter": "#!/usr/bin/perl\n",
    "a binary": "\x7fELF\x02\n",
    "no first line": "exit 0\n",
    "a command in a section": HARMLESS["ldconfig"].replace("\tldconfig", "\tldconfig; rm /x"),
    "an unknown section": HARMLESS["ldconfig"].replace("dh_makeshlibs", "dh_installinit"),
    "a command in an echo": "#!/bin/sh\necho $(touch /x)\n",
    "an echo into a file": "#!/bin/sh\necho x > /etc/x\n",
    "an alternative": "#!/bin/sh\nupdate-alternatives --install /usr/bin/x x /usr/bin/y 1\n",
    "a command in a helper's line": HARMLESS["clean-up after upgrades"].replace('-- "$@"', "; touch /x"),
}


@pytest.mark.parametrize("name", HARMLESS)
def test_a_script_without_effect_in_a_new_image_is_accepted(name: str) -> None:
    check_script("hello", "postinst", HARMLESS[name].encode())


@pytest.mark.parametrize("name", REFUSED)
def test_any_other_script_is_refused(name: str) -> None:
    with pytest.raises(IntegrityError) as caught:
        check_script("hello", "postinst", REFUSED[name].encode())
    assert caught.value.code == "deb-unknown-script"
    assert caught.value.problems[0].hint


def test_a_reviewed_script_is_known_by_its_hash_and_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    script = b"#!/bin/sh\ncp /usr/share/x /etc/x\n"
    reviewed = {"x-base": frozenset({script_hash(script)})}
    monkeypatch.setattr("shipwheel.base.debian.scripts._reviewed", lambda: reviewed)
    check_script("x-base", "postinst", script)
    for package, content in (("other", script), ("x-base", script + b"rm /etc/y\n")):
        with pytest.raises(IntegrityError):
            check_script(package, "postinst", content)


def test_versions_architectures_and_comments_do_not_change_a_scripts_hash() -> None:
    one = b"#!/bin/sh\n# of 2024\nif dpkg --compare-versions 1.2-3 lt 2.41-12+deb13u4; then x:amd64; fi\n"
    two = b"#!/bin/sh\n\n  if dpkg --compare-versions 1.2-3 lt 2.41-12+deb13u5; then x:arm64; fi\n"
    three = one.replace(b"lt", b"gt")
    assert script_hash(one) == script_hash(two) != script_hash(three)


def test_pythons_packages_are_one_family() -> None:
    assert family("libpython3.13-minimal") == family("libpython3.11-minimal") == "libpython3.*-minimal"
