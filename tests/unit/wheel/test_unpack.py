"""Source archives are unpacked inside their folder, within bounds, or refused."""

import gzip
import io
import lzma
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipwheel.errors import IntegrityError
from shipwheel.wheel.unpack import is_archive, source_root, unpack_source

NAME = "thing-1.0.tar.gz"


def entry(name: str, content: bytes = b"x", **fields: object) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for key, value in fields.items():
        setattr(info, key, value)
    if info.type != tarfile.REGTYPE:
        info.size, content = 0, b""
    return info, content


def link(name: str, target: str, *, kind: bytes = tarfile.SYMTYPE) -> tuple[tarfile.TarInfo, bytes]:
    return entry(name, type=kind, linkname=target)


def tar(*entries: tuple[tarfile.TarInfo, bytes]) -> bytes:
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for info, content in entries:
            archive.addfile(info, io.BytesIO(content))
    return plain.getvalue()


def zipped(*members: tuple[str, bytes], mode: int = 0) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            archive.writestr(info, content)
    return data.getvalue()


@pytest.fixture
def unpack(tmp_path: Path) -> Callable[..., Path]:
    def run(data: bytes, name: str = NAME, **limits: int) -> Path:
        (tmp_path / "archive").write_bytes(data)
        into = tmp_path / "a" / "into"
        into.mkdir(parents=True)
        unpack_source(tmp_path / "archive", name, into, **limits)
        return into

    return run


def refused(unpack: Callable[..., Path], data: bytes, name: str = NAME, **limits: int) -> IntegrityError:
    with pytest.raises(IntegrityError) as caught:
        unpack(data, name, **limits)
    return caught.value


@pytest.mark.parametrize(
    ("name", "pack"),
    [
        ("x-1.tar.gz", gzip.compress),
        ("x-1.tgz", gzip.compress),
        ("x-1.tar.xz", lzma.compress),
        ("x-1.tar", bytes),
    ],
)
def test_a_tar_is_unpacked_by_its_name(
    unpack: Callable[..., Path], name: str, pack: Callable[[bytes], bytes]
) -> None:
    into = unpack(pack(tar(entry("x-1/run", mode=0o6755), entry("x-1/data", b"d", mode=0o600))), name)

    assert (into / "x-1/data").read_bytes() == b"d"
    assert stat.S_IMODE((into / "x-1/run").stat().st_mode) == 0o755
    assert stat.S_IMODE((into / "x-1/data").stat().st_mode) == 0o644


def test_a_zip_is_unpacked(unpack: Callable[..., Path]) -> None:
    into = unpack(zipped(("x-1/setup.py", b"pass")), "x-1.zip")

    assert (into / "x-1/setup.py").read_bytes() == b"pass"


def test_links_that_stay_inside_are_kept(unpack: Callable[..., Path]) -> None:
    into = unpack(
        gzip.compress(
            tar(entry("x/docs/a", b"a"), link("x/a", "docs/a"), link("x/b", "x/docs/a", kind=tarfile.LNKTYPE))
        )
    )

    assert (into / "x/a").read_bytes() == (into / "x/b").read_bytes() == b"a"


def test_of_two_files_with_one_name_the_last_is_taken_as_tar_does(unpack: Callable[..., Path]) -> None:
    into = unpack(gzip.compress(tar(entry("x/a", b"first", mode=0o755), entry("x/a", b"last"))))

    assert (into / "x/a").read_bytes() == b"last"
    assert stat.S_IMODE((into / "x/a").stat().st_mode) == 0o644


@pytest.mark.parametrize(
    "bad",
    [
        entry("../evil"),
        entry("x/../../evil"),
        entry("./../evil"),
        entry("/etc/evil"),
        entry("C:/evil"),
        entry("x\\..\\evil"),
        link("x/l", "../../evil"),
        link("x/l", "/etc/passwd"),
        link("l", "../evil", kind=tarfile.LNKTYPE),
        entry("x/device", type=tarfile.CHRTYPE),
        entry("x/pipe", type=tarfile.FIFOTYPE),
    ],
    ids=lambda item: f"{item[0].name} {item[0].linkname}".strip(),
)
def test_what_leads_out_or_is_no_file_is_refused(
    unpack: Callable[..., Path], tmp_path: Path, bad: tuple[tarfile.TarInfo, bytes]
) -> None:
    assert refused(unpack, gzip.compress(tar(entry("x/good"), bad))).code == "unsafe-source"
    assert not list(tmp_path.rglob("evil*"))


def test_nothing_is_written_through_a_link(unpack: Callable[..., Path], tmp_path: Path) -> None:
    data = gzip.compress(tar(link("x", "a"), entry("x/evil"), entry("a/file")))

    assert refused(unpack, data).code == "unsafe-source"
    assert not (tmp_path / "a/into/a/evil").exists()


def test_links_that_would_lead_out_through_others_stay_inside(unpack: Callable[..., Path]) -> None:
    # Step by step this leads above the folder: d/e/up is d, and three steps up from there is outside.
    into = unpack(gzip.compress(tar(entry("d/e/file"), link("d/e/up", ".."), link("out", "d/e/up/../../.."))))

    assert (into / "out").resolve().is_relative_to(into)


@pytest.mark.parametrize("bad", ["../evil", "/evil", "x/../../evil", "x\\evil"])
def test_a_zip_that_leads_out_is_refused(unpack: Callable[..., Path], bad: str) -> None:
    assert refused(unpack, zipped(("x/good", b""), (bad, b"")), "x-1.zip").code == "unsafe-source"


def test_a_link_in_a_zip_is_refused(unpack: Callable[..., Path]) -> None:
    data = zipped(("x/link", b"/etc/passwd"), mode=stat.S_IFLNK | 0o777)

    assert refused(unpack, data, "x-1.zip").code == "unsafe-source"


def test_a_bomb_is_refused_before_it_is_unpacked(unpack: Callable[..., Path], tmp_path: Path) -> None:
    data = gzip.compress(tar(entry("x/bomb", bytes(5_000_000))))

    assert refused(unpack, data, max_bytes=1_000_000).code == "unsafe-source"
    assert not (tmp_path / "a/into/x/bomb").exists()


def test_too_many_files_are_refused(unpack: Callable[..., Path]) -> None:
    data = zipped(*((f"x/{number}", b"") for number in range(50)))

    assert refused(unpack, data, "x-1.zip", max_files=49).code == "unsafe-source"


def test_a_header_of_many_megabytes_is_refused(unpack: Callable[..., Path]) -> None:
    huge = entry("x/file", pax_headers={"comment": "x" * 9_000_000})

    assert refused(unpack, gzip.compress(tar(huge))).code == "bad-source"


@pytest.mark.parametrize("name", ["x-1.tar.gz", "x-1.tar.xz", "x-1.tar.bz2", "x-1.zip", "x-1.tar"])
def test_what_is_no_such_archive_is_refused(unpack: Callable[..., Path], name: str) -> None:
    assert refused(unpack, b"neither this nor that" * 50, name).code == "bad-source"


def test_an_archive_cut_short_is_refused(unpack: Callable[..., Path]) -> None:
    data = gzip.compress(tar(entry("x/file", bytes(range(256)) * 400)), compresslevel=1)

    assert refused(unpack, data[: len(data) // 2]).code == "bad-source"


@given(data=st.binary(max_size=2000), name=st.sampled_from(["x.tar.gz", "x.zip", "x.tar", "x.tar.xz"]))
def test_any_bytes_are_unpacked_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, name: str
) -> None:
    folder = tmp_path_factory.mktemp("any")
    (folder / "archive").write_bytes(data)
    (folder / "into").mkdir()
    try:
        unpack_source(folder / "archive", name, folder / "into")
    except IntegrityError as error:
        assert error.code in ("bad-source", "unsafe-source")


def test_the_project_is_in_the_archives_only_folder_or_at_its_top(tmp_path: Path) -> None:
    (tmp_path / "one/x-1/sub").mkdir(parents=True)
    (tmp_path / "two").mkdir()
    (tmp_path / "two/setup.py").touch()

    assert source_root(tmp_path / "one") == tmp_path / "one/x-1"
    assert source_root(tmp_path / "one", "sub") == tmp_path / "one/x-1/sub"
    assert source_root(tmp_path / "two") == tmp_path / "two"


@pytest.mark.parametrize("subdirectory", ["nowhere", "../..", "/etc"])
def test_a_subdirectory_is_in_the_source(tmp_path: Path, subdirectory: str) -> None:
    (tmp_path / "s" / "x-1").mkdir(parents=True)

    with pytest.raises(IntegrityError, match="no folder"):
        source_root(tmp_path / "s", subdirectory)


def test_wheels_are_no_source_archives() -> None:
    assert is_archive("x-1.tar.gz")
    assert not is_archive("x-1-py3-none-any.whl")
