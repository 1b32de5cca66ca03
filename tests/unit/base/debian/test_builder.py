"""A root to compile in is assembled from packages: nothing of them is run, and what scripts link is linked."""

from pathlib import Path

import pytest

from helpers.debian import BuiltDeb, Member, elf, folder, hardlink, make_deb, symlink
from shipwheel.base.debian.builder import (
    alternatives,
    builder_id,
    builder_packages,
    read_builder,
    write_builder,
)
from shipwheel.base.model import DebianPlatform
from shipwheel.errors import IntegrityError

POSTINST = """#!/bin/sh
set -e
if [ "$1" = "configure" ]; then
    update-alternatives --quiet --install /usr/bin/cc cc /usr/bin/gcc 20 \\
        --slave /usr/share/man/man1/cc.1.gz cc.1.gz /usr/share/man/man1/gcc.1.gz
    update-alternatives --install "/usr/bin/$NAME" name /usr/bin/gcc 10
    rm -rf /
fi
"""


def platform(*debs: BuiltDeb, name: str = "linux/amd64") -> DebianPlatform:
    return DebianPlatform(
        platform=name,
        python="3.13.5",
        libc="glibc 2.41",
        executable="/usr/bin/python3.13",
        packages=tuple(deb.locked() for deb in debs),
    )


def write(tmp_path: Path, *debs: BuiltDeb) -> Path:
    paths = {}
    for number, deb in enumerate(debs):
        path = tmp_path / f"{number}.deb"
        path.write_bytes(deb.data)
        paths[deb.sha256] = path
    write_builder(platform(*debs), paths, tmp_path / "builder")
    return tmp_path / "builder" / "root"


def test_files_headers_and_links_are_there_and_documentation_is_not(tmp_path: Path) -> None:
    root = write(
        tmp_path,
        make_deb(
            "libpq-dev",
            [
                folder("./usr/"),
                Member("./usr/include/libpq-fe.h", b"header"),
                Member("./usr/bin/pg_config", b"#!/bin/sh\n", 0o755),
                hardlink("./usr/bin/pg_config2", "./usr/bin/pg_config"),
                symlink("./lib/libpq.so", "libpq.so.5"),
                Member("./usr/share/man/man1/x.1", b"words"),
            ],
        ),
    )

    assert (root / "usr/include/libpq-fe.h").read_bytes() == b"header"
    assert (root / "usr/bin/pg_config2").stat().st_mode & 0o777 == 0o755
    assert (root / "usr/lib/libpq.so").readlink() == Path("libpq.so.5")
    assert (root / "lib").readlink() == Path("usr/lib")
    assert not (root / "usr/share/man").exists()
    assert all((root / name).is_dir() for name in ("build", "env", "tmp", "proc", "dev"))


def test_scripts_are_not_run_and_what_they_link_in_plain_words_is(tmp_path: Path) -> None:
    root = write(
        tmp_path, make_deb("gcc", [Member("./usr/bin/gcc", b"", 0o755)], scripts={"postinst": POSTINST})
    )

    assert (root / "usr/bin/cc").readlink() == Path("/usr/bin/gcc")
    assert sorted(path.name for path in (root / "usr/bin").iterdir()) == ["cc", "gcc"]


def test_links_are_read_from_plain_words_alone() -> None:
    assert list(alternatives(POSTINST)) == [
        ("usr/bin/cc", "/usr/bin/gcc"),
        ("usr/share/man/man1/cc.1.gz", "/usr/share/man/man1/gcc.1.gz"),
    ]
    assert list(alternatives('update-alternatives --install "unfinished\n')) == []
    assert list(alternatives("update-alternatives --remove cc /usr/bin/gcc\n")) == []


def test_set_id_bits_are_dropped_and_not_refused(tmp_path: Path) -> None:
    root = write(tmp_path, make_deb("su", [Member("./usr/bin/su", b"", 0o4755)]))

    assert (root / "usr/bin/su").stat().st_mode & 0o7777 == 0o755


def test_a_path_that_leads_out_is_refused_here_too(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError):
        write(tmp_path, make_deb("evil", [Member("./../evil", b"")]))

    assert not (tmp_path / "evil").exists()


def test_a_package_with_other_bytes_is_refused(tmp_path: Path) -> None:
    deb = make_deb("gcc", [Member("./usr/bin/gcc", b"", 0o755)])
    (tmp_path / "deb").write_bytes(deb.data + b"\0")

    with pytest.raises(IntegrityError):
        write_builder(platform(deb), {deb.sha256: tmp_path / "deb"}, tmp_path / "builder")


def test_a_librarys_package_is_known(tmp_path: Path) -> None:
    write(tmp_path, make_deb("libpq5", [Member("./usr/lib/x86_64-linux-gnu/libpq.so.5", elf("libpq.so.5"))]))

    assert read_builder(tmp_path / "builder").owners["libpq.so.5"] == "libpq5"


def test_the_root_is_named_by_its_packages_in_any_order() -> None:
    one, two = make_deb("one"), make_deb("two")

    assert builder_id(platform(one, two)) == builder_id(platform(two, one))
    assert builder_id(platform(one)) != builder_id(platform(one, two))
    assert builder_id(platform(one)) != builder_id(platform(one, name="linux/arm64"))


def test_a_builder_has_a_compiler_and_the_headers_of_the_suites_python() -> None:
    packages = builder_packages("trixie", ["libpq-dev"])

    assert {"build-essential", "python3.13-dev", "libpq-dev", "dash"} <= set(packages)
    assert list(packages) == sorted(packages)
