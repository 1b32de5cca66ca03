"""Images that mean harm end in a clear error, in bounded memory and time, or are checked as they are."""

import gzip
import hashlib
import json
import os
import resource
import subprocess
import tarfile
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from helpers.command import SHIPWHEEL
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


GZIP = b"\x1f\x8b"
SMALL = foreign_tar([member("srv/file", b"text")])
CONFIG_JSON = {
    "architecture": "amd64",
    "os": "linux",
    "config": {},
    "rootfs": {"type": "layers", "diff_ids": []},
}


def layout(
    folder: Path,
    *layers: bytes,
    config: bytes | None = None,
    manifest: Callable[[dict[str, Any]], object] = lambda data: data,
) -> Path:
    """Write a layout by hand, whatever it says; `manifest` may change what the manifest claims."""

    def blob(data: bytes) -> dict[str, Any]:
        digest = hashlib.sha256(data).hexdigest()
        (folder / "blobs" / "sha256" / digest).write_bytes(data)
        return {"digest": f"sha256:{digest}", "size": len(data)}

    (folder / "blobs" / "sha256").mkdir(parents=True)
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    diff_ids = [f"sha256:{hashlib.sha256(_unpacked(layer)).hexdigest()}" for layer in layers]
    made = {**CONFIG_JSON, "rootfs": {"type": "layers", "diff_ids": diff_ids}}
    kind = "application/vnd.oci.image."
    data = {
        "schemaVersion": 2,
        "mediaType": f"{kind}manifest.v1+json",
        "config": {"mediaType": f"{kind}config.v1+json", **blob(config or json.dumps(made).encode())},
        "layers": [
            {"mediaType": f"{kind}layer.v1.tar" + "+gzip" * layer.startswith(GZIP), **blob(layer)}
            for layer in layers
        ],
    }
    manifest(data)
    entry = {"mediaType": f"{kind}manifest.v1+json", **blob(json.dumps(data).encode())}
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    return folder


def _unpacked(layer: bytes) -> bytes:
    return gzip.decompress(layer) if layer.startswith(GZIP) else layer


def with_size(tar: bytes, size: int) -> bytes:
    """Return the tar whose first header claims `size` bytes (GNU's base-256), with its checksum right."""
    head = bytearray(tar[:512])
    head[124:136] = b"\x80" + size.to_bytes(11, "big")
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    return bytes(head) + tar[512:]


def lying(data: dict[str, Any]) -> None:
    data["layers"][0]["digest"] = "sha256:" + "0" * 64


def endless(data: dict[str, Any]) -> None:
    data["layers"][0]["size"] = 2**62


def crowded(data: dict[str, Any]) -> None:
    data["layers"] *= 10_000


def nested(depth: int) -> bytes:
    return b'{"config": ' + b"[" * depth + b"]" * depth + b"}"


HOSTILE: dict[str, tuple[Callable[[Path], Path], str]] = {
    "a digest that no blob has": (lambda folder: layout(folder, SMALL, manifest=lying), "absent-blob"),
    "a layer of 4 EiB": (lambda folder: layout(folder, SMALL, manifest=endless), "wrong-size"),
    "10,000 layers": (lambda folder: layout(folder, SMALL, manifest=crowded), "bad-manifest"),
    "a file of 8 EiB": (lambda folder: layout(folder, with_size(SMALL, 2**63 - 1)), "bad-tar"),
    "a file of 100 GB that is not there": (lambda folder: layout(folder, with_size(SMALL, 10**11)), "bad-tar"),
    "JSON that is nested 100,000 times": (lambda folder: layout(folder, SMALL, config=nested(100_000)), "bad-config"),
    "JSON that ends early": (lambda folder: layout(folder, SMALL, config=b'{"config": {"User": "'), "bad-config"),
    "JSON with a number of a million digits": (
        lambda folder: layout(folder, SMALL, config=b'{"created": ' + b"9" * 1_000_000 + b"}"), "bad-config",
    ),
    "noise instead of a layer": (lambda folder: layout(folder, b"noise" * 1000), "bad-tar"),
    "a layer that ends in the middle": (lambda folder: layout(folder, SMALL[:700]), "bad-tar"),
    "folders in folders, 20,000 deep": (
        lambda folder: layout(folder, foreign_tar([member("d/" * 20_000 + "file")])), "unsafe-path",
    ),
    "links that go in circles": (
        lambda folder: layout(
            folder,
            foreign_tar(
                [
                    *(member(f"l/{n}", kind=tarfile.SYMTYPE, link=f"{(n + 1) % 500}") for n in range(500)),
                    member("etc", kind=tarfile.SYMTYPE, link="l/0/../0/../0"),
                    member("usr", kind=tarfile.SYMTYPE, link="usr"),
                ]
            ),
        ),
        "",
    ),
}  # fmt: skip


def limited() -> None:
    """Leave a process 900 MB of addresses and 30 seconds of processor: without, it is the machine that gives up."""
    resource.setrlimit(resource.RLIMIT_AS, (900_000_000, 900_000_000))
    resource.setrlimit(resource.RLIMIT_CPU, (30, 30))


def check_limited(target: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [SHIPWHEEL, "check", str(target), "--quiet"],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=limited,
        env={**os.environ, "NO_COLOR": "1"},
    )


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_image_ends_in_a_clear_error_or_a_report_with_little_memory_and_time(
    name: str, tmp_path: Path
) -> None:
    make, code = HOSTILE[name]
    done = check_limited(make(tmp_path / "layout"))
    assert "Traceback" not in done.stderr
    if code:
        assert f"error[{code}]" in done.stderr
        assert done.returncode not in (0, 1)
        assert len(done.stderr) < 2000
    else:
        assert done.returncode in (0, 1), done.stderr
        assert "to pull" in done.stdout


def test_a_bomb_of_four_gigabytes_is_given_up_with_little_memory_and_time(tmp_path: Path) -> None:
    # 4 GB of zeros in 4 MB: one packed piece again and again, as gzip's members may follow each other.
    piece = gzip.compress(bytes(64 * 1024 * 1024))
    head = gzip.compress(with_size(SMALL, 64 * 64 * 1024 * 1024)[:512])
    target = layout(tmp_path / "layout", head)
    bomb = head + piece * 64
    digest = hashlib.sha256(bomb).hexdigest()
    (target / "blobs" / "sha256" / digest).write_bytes(bomb)
    _redirect(target, f"sha256:{digest}", len(bomb))
    done = check_limited(target)
    assert "Traceback" not in done.stderr
    assert "error[layer-too-large]" in done.stderr


def _redirect(target: Path, digest: str, size: int) -> None:
    """Make the manifest's only layer another one."""
    index = json.loads((target / "index.json").read_bytes())
    path = target / "blobs" / "sha256" / index["manifests"][0]["digest"].removeprefix("sha256:")
    data = json.loads(path.read_bytes())
    data["layers"][0] |= {"digest": digest, "size": size}
    text = json.dumps(data).encode()
    index["manifests"][0] |= {"digest": f"sha256:{hashlib.sha256(text).hexdigest()}", "size": len(text)}
    path.with_name(hashlib.sha256(text).hexdigest()).write_bytes(text)
    (target / "index.json").write_text(json.dumps(index))
