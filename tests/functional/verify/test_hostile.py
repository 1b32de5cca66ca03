"""Images that mean harm end in a clear error, in bounded memory and time, or are checked as they are."""

import gzip
import json
import tarfile
import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest

from helpers.images import foreign_tar, layer_of, member
from helpers.zoo import AMD64, CONFIG, SITE, check, clean_image, layer, with_config, with_files
from shipwheel.errors import ImageError, IntegrityError
from shipwheel.oci.layer_read import Limits
from shipwheel.oci.layout import read_layout, write_layout
from shipwheel.oci.model import DOCKER_MANIFEST, Digest, Image, canonical_json
from shipwheel.oci.read import parse_json_object
from shipwheel.verify.check import Question, check_image
from shipwheel.verify.evidence import read_history
from shipwheel.verify.report.data import render_json
from shipwheel.verify.report.markdown import render_markdown
from shipwheel.verify.report.sarif import render_sarif
from shipwheel.verify.report.text import render_text


def image_of(tmp_path: Path, tar: bytes, *, packed: bytes | None = None) -> Image:
    return Image(platform=AMD64, layers=(layer_of(tmp_path, tar, packed=packed),), config=CONFIG)


def test_a_bomb_is_given_up_in_bounded_memory(tmp_path: Path) -> None:
    tar = foreign_tar([member("zeros", bytes(100_000_000))])
    image = image_of(tmp_path, tar, packed=gzip.compress(tar, 1))
    tracemalloc.start()
    with pytest.raises(ImageError) as error:
        check_image(Question(image=image, name="bomb", limits=Limits(size=40_000_000)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert error.value.code == "layer-too-large"
    assert peak < 20_000_000


def test_a_layer_that_unpacks_to_two_hundred_times_its_size_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shipwheel.verify.evidence._FREE_SIZE", 1_000_000)
    tar = foreign_tar([member("zeros", bytes(30_000_000))])
    with pytest.raises(ImageError) as error:
        check(image_of(tmp_path, tar, packed=gzip.compress(tar)))
    assert error.value.code == "layer-too-large"


def test_too_many_entries_are_given_up(tmp_path: Path) -> None:
    tar = foreign_tar([member(f"file-{number}") for number in range(50)])
    with pytest.raises(ImageError) as error:
        check_image(Question(image=image_of(tmp_path, tar), name="many", limits=Limits(entries=40)))
    assert error.value.code == "too-many-entries"


def test_folders_that_no_entry_speaks_of_count_as_entries(tmp_path: Path) -> None:
    tar = foreign_tar([member(f"{number}/" + "d/" * 200 + "file") for number in range(10)])
    with pytest.raises(ImageError) as error:
        check_image(Question(image=image_of(tmp_path, tar), name="deep", limits=Limits(entries=1000)))
    assert error.value.code == "too-many-entries"


def test_ten_thousand_layers_are_refused(tmp_path: Path) -> None:
    one = layer({"srv/file": b"text"})
    write_layout(tmp_path / "layout", Image(platform=AMD64, layers=(one,) * 10_000))
    with pytest.raises(ImageError) as error:
        read_layout(tmp_path / "layout")
    assert error.value.code == "bad-manifest"


def test_loops_of_links_are_checked_as_they_are(tmp_path: Path) -> None:
    loops = [
        member("loop/a", kind=tarfile.SYMTYPE, link="b"),
        member("loop/b", kind=tarfile.SYMTYPE, link="a"),
        member("bin/sh", kind=tarfile.SYMTYPE, link="../bin/sh"),
        member("app/.venv/bin/serve2", kind=tarfile.SYMTYPE, link="/loop/a"),
        member("usr/lib/locale", kind=tarfile.SYMTYPE, link="/loop/a"),
    ]
    image = clean_image(
        layer_of(tmp_path, foreign_tar(loops)), config=replace(CONFIG, entrypoint=("serve2",))
    )
    assert [finding.rule.code for finding in check(image).findings] == ["entry-missing"]


def test_a_digest_that_lies_is_told() -> None:
    honest = clean_image()
    first = replace(honest.layers[0], diff_id=Digest.of(b"another"))
    with pytest.raises(IntegrityError) as error:
        check(replace(honest, layers=(first, *honest.layers[1:])))
    assert error.value.code == "wrong-diff-id"


def test_metadata_that_is_nonsense_is_passed_over() -> None:
    info = f"{SITE}/odd-1.dist-info"
    image = with_files(
        {
            f"{info}/METADATA": b"\xff\xfe no header at all",
            f"{info}/RECORD": b'"unclosed,,\n\x00',
            f"{info}/direct_url.json": b"[" * 100_000,
            f"{SITE}/two-2.dist-info/METADATA": b"Name: two\nVersion: \xff\n",
            f"{SITE}/two-2.dist-info/RECORD": b"../../../../../../../../etc/passwd,sha256=x,1\n,,\na,b\n",
            f"{SITE}/two-2.dist-info/direct_url.json": b"[" * 100_000,
            "etc/passwd": b"root:x:" + b"9" * 5000 + b":0\n:::\nnonroot:x:65532:65532:::\n",
            "var/lib/dpkg/status": b"Package\nVersion: \n\n\n\x00",
            "lib/apk/db/installed": b"P:\nF:..\nR:..\n\n",
        }
    )
    assert [finding.rule.code for finding in check(image).findings] == ["package-changed"]


@pytest.mark.parametrize(
    "config", [b"[]", b"{", b'{"history": 1}', b'{"history": [1]}', b'{"history": {"a": 1}}']
)
def test_a_history_that_is_nonsense_is_told(config: bytes) -> None:
    with pytest.raises(ImageError) as error:
        read_history(config)
    assert error.value.code == "bad-config"


def test_what_an_image_says_never_reaches_the_terminal_as_commands() -> None:
    evil = "\x1b]0;owned\x07\u202e"
    image = with_config(env=(*(CONFIG.env or ()), (f"SECRET_{evil}", "tr0ub4dor&3x")), user=f"ann{evil}")
    report = check(image)
    for text in (render_text(report), render_json(report), render_sarif(report), render_markdown(report)):
        assert not {"\x1b", "\x07", "\u202e"} & set(text)
        text.encode()


def test_half_a_surrogate_pair_in_a_configuration_is_refused(tmp_path: Path) -> None:
    config = canonical_json({"architecture": "amd64", "os": "linux", "config": {"User": "ann"}})
    with pytest.raises(ImageError) as error:
        parse_json_object(config.replace(b"ann", b"ann\\ud800"), code="bad-config", place="config")
    assert error.value.code == "bad-config"
    assert parse_json_object(b'{"a": "\\ud83d\\ude00"}', code="bad-config", place="") == {"a": "\U0001f600"}


def test_names_that_are_not_unicode_are_checked_and_shown(tmp_path: Path) -> None:
    info, content = member("srv/caf\udce9", b"x", mode=0o666)
    image = clean_image(layer_of(tmp_path, foreign_tar([(info, content)])))
    report = check(image)
    assert [place.path for place in report.findings[0].places] == ["/srv/caf\\udce9"]
    render_json(report).encode()


def test_endless_history_lines_end() -> None:
    words = "RUN " + "pip install 'x" * 100_000
    image = with_files({"srv/text": b"x"}, created_by=words)
    assert [finding.rule.code for finding in check(image).findings] == ["unpinned-python-packages"]


def test_a_manifest_of_another_kind_is_refused(tmp_path: Path) -> None:
    write_layout(tmp_path / "layout", clean_image())
    index = json.loads((tmp_path / "layout" / "index.json").read_bytes())
    index["manifests"][0]["mediaType"] = DOCKER_MANIFEST
    (tmp_path / "layout" / "index.json").write_bytes(canonical_json(index))
    with pytest.raises(ImageError) as error:
        read_layout(tmp_path / "layout")
    assert error.value.code == "bad-manifest"
