"""Images that Buildah makes of a Dockerfile with one mistake each: it is found with its line, and nothing else speaks."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from helpers.podman import BUILD, buildah, storage
from helpers.tools import missing, require_tool
from helpers.zoo import CONFIG, KEPT, Files, check, clean_image, layer
from shipwheel.oci.archive_read import read_archive
from shipwheel.oci.layout import write_layout
from shipwheel.oci.read import LoadedImage

GITHUB = "ghp_" + "aB3dE5gH7jK9mN1pQ3sT5vW7yZ9bC1dF3gH5"
GOOD = """\
FROM oci:{base}:base
USER 0
COPY app /app
# here
HEALTHCHECK CMD ["python", "-c", "0"]
EXPOSE 8000
USER 65532:65532
ENTRYPOINT ["serve"]
"""
LINE = "# here\n"


@dataclass(frozen=True)
class Kitchen:
    """A store with a base to build on; `usual` are the rules that even the good Dockerfile breaks on it."""

    store: Path
    base: Path
    folder: Path
    usual: frozenset[str]

    def build(self, text: str) -> tuple[Path, LoadedImage]:
        """Return the Dockerfile and the image that Buildah makes of it; the next one takes its place."""
        path = self.folder / "Dockerfile"
        path.write_text(text.format(base=self.base))
        archive = self.folder / "image.tar"
        archive.unlink(missing_ok=True)
        words = [*buildah(self.store), "build", "--quiet", "--format", "docker", "--layers", *BUILD]
        words += ["--tag", "localhost/zoo:1", "--file", str(path), str(self.folder)]
        done = subprocess.run(words, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        push = ["push", "--quiet", "localhost/zoo:1", f"docker-archive:{archive}:localhost/zoo:1"]
        subprocess.run([*buildah(self.store), *push], check=True, capture_output=True)
        image = read_archive(archive)
        assert isinstance(image, LoadedImage)
        return path, image

    def told(self, text: str) -> dict[str, set[str]]:
        """Return for each rule that is broken by `text` alone the Dockerfile's lines that it names."""
        path, image = self.build(text)
        report = check(image, dockerfile=path)
        found: dict[str, set[str]] = {}
        for finding in report.findings:
            if finding.rule.code not in self.usual:
                places = [part for place in finding.places for part in (place.path, place.made_by)]
                lines = {match[1] for part in places if (match := re.search(r"/Dockerfile:(\d+)$", part))}
                found[finding.rule.code] = lines
        return found


def host_programs(*names: str) -> Files:
    """Return programs of this machine with the libraries that they need, as files of a layer."""
    files: dict[str, bytes] = {}
    for name in names:
        path = Path(require_tool(name)).resolve()
        files[f"bin/{name}"] = path.read_bytes()
        needs = subprocess.run(["ldd", str(path)], capture_output=True, text=True, check=True).stdout
        for library in re.findall(r"(/\S+) \(0x", needs):
            files[library.lstrip("/")] = Path(library).resolve().read_bytes()
    return files


@pytest.fixture(scope="module")
def kitchen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kitchen]:
    if os.geteuid() != 0:
        missing("RUN in Buildah's chroot isolation needs root on most machines")
    folder = tmp_path_factory.mktemp("kitchen")
    base = folder / "base"
    tools = host_programs("sh", "rm", "mkdir", "chmod", "chown", "cp")
    write_layout(base, clean_image(layer(tools), config=CONFIG), ref_name="base")
    context = folder / "context"
    (context / "app").mkdir(parents=True)
    (context / "app" / "more.py").write_text("X = 1\n")
    (context / ".dockerignore").write_text("nothing\n")
    (context / "token").write_text(f"token = '{GITHUB}'\n")
    (context / ".git").mkdir()
    (context / ".git" / "HEAD").write_text("ref: refs/heads/main\n")
    (context / "big").write_bytes(KEPT)
    with storage() as store:
        plain = Kitchen(store, base, context, frozenset())
        usual = frozenset(plain.told(GOOD))
        yield Kitchen(store, base, context, usual)
        shutil.rmtree(store, ignore_errors=True)


def test_the_good_dockerfile_breaks_what_its_base_and_its_tag_break_alone(kitchen: Kitchen) -> None:
    assert kitchen.usual == {"base-by-tag", "shell"}
    assert kitchen.told(GOOD) == {}


# What comes where the good one has its comment, and which line it is told of.
ZOO: dict[str, tuple[str, set[str]]] = {
    "set-id": ("COPY --chmod=4755 app/more.py /app/tool\n", {"4"}),
    "world-writable": ("RUN mkdir -p /srv/all && chmod 777 /srv/all\n", {"4"}),
    "code-writable": ("RUN chown -R 65532 /app\n", {"4"}),
    "secret-in-lower-layer": ("COPY token /srv/token\nRUN rm /srv/token\n", {"4"}),
    "secret-in-history": (f"RUN TOKEN={GITHUB} mkdir -p /srv/made\n", {"4"}),
    "repository": ("COPY .git /app/.git\n", {"4"}),
    "hidden-bytes": ("COPY big /srv/big\nRUN rm /srv/big\n", {"4"}),
    "duplicate-files": ("COPY big /srv/one\nRUN cp /srv/one /srv/two\n", {"5"}),
    "package-cache": ("COPY big /root/.cache/pip/http/body\n", {"4"}),
    "path-entry-missing": ("ENV PATH=/opt/pipx/bin:$PATH\n", set()),
}


@pytest.mark.parametrize("code", ZOO)
def test_the_mistake_is_found_with_its_line_and_no_other_rule_speaks(code: str, kitchen: Kitchen) -> None:
    mistake, lines = ZOO[code]
    assert LINE in GOOD
    found = kitchen.told(GOOD.replace(LINE, mistake))
    # A secret in a RUN is one of the Dockerfile's too.
    also = {"secret-as-argument"} if code == "secret-in-history" else set()
    assert set(found) - also == {code}
    assert found[code] == lines


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("USER 65532:65532\n", "USER root\n", {"runs-as-root": {"7"}}),
        ("USER 65532:65532", "USER nonroot", {"user-by-name": {"7"}}),
        ('["serve"]', "serve --now", {"entry-through-shell": {"8"}}),
        ('["serve"]', '["python"]', {"starts-no-program": {"8"}}),
        ('["python", "-c", "0"]', '["curl", "localhost"]', {"health-check-broken": set()}),
    ],
)
def test_a_mistake_in_how_it_starts_is_found(
    before: str, after: str, expected: dict[str, set[str]], kitchen: Kitchen
) -> None:
    assert before in GOOD
    assert kitchen.told(GOOD.replace(before, after)) == expected
