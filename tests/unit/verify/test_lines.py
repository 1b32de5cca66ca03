"""A layer's line in the Dockerfile is found by the history that BuildKit, Docker's old builder and Buildah write."""

import pytest

from shipwheel.verify.evidence import HistoryEntry
from shipwheel.verify.recipe.lines import layer_lines

TEXT = """\
ARG WHERE=/srv
FROM base AS one
USER 0
ARG WHERE
COPY big ${WHERE}/big
RUN --network=none cp /srv/big \\
    /srv/two && \\
    # why
    mkdir -p /srv/x
FROM one AS app
WORKDIR /made
COPY --from=one --chown=0:0 /srv/x /srv/y/
RUN ["rm", "/srv/big"]
RUN <<E
mkdir /srv/z
E
USER 65532
"""
# As `docker history` showed it after `docker build` of that text (Docker 28.5.2).
BUILDKIT = [
    "/bin/sh -c #(nop) ADD file:00 in /",
    "COPY big /srv/big # buildkit",
    "RUN |1 WHERE=/srv /bin/sh -c cp /srv/big     /srv/two &&     mkdir -p /srv/x # buildkit",
    "WORKDIR /made",
    "COPY --chown=0:0 /srv/x /srv/y/ # buildkit",
    "RUN |1 WHERE=/srv rm /srv/big # buildkit",
    "RUN |1 WHERE=/srv /bin/sh -c mkdir /srv/z\n # buildkit",
]
# The old builder's and Buildah's words for the same.
CLASSIC = [
    "/bin/sh -c #(nop) ADD file:00 in /",
    "/bin/sh -c #(nop) COPY file:6f in /srv/big ",
    "|1 WHERE=/srv /bin/sh -c cp /srv/big     /srv/two &&     mkdir -p /srv/x",
    "/bin/sh -c #(nop) WORKDIR /made",
    "/bin/sh -c #(nop) COPY --chown=0:0 dir:2a in /srv/y/ ",
    "rm /srv/big",
    "|1 WHERE=/srv /bin/sh -c mkdir /srv/z",
]


def history(lines: list[str]) -> list[HistoryEntry]:
    return [HistoryEntry(number=number, created_by=line, layer=number) for number, line in enumerate(lines)]


@pytest.mark.parametrize("lines", [BUILDKIT, CLASSIC], ids=["buildkit", "classic"])
def test_layers_have_their_lines_and_the_bases_have_none(lines: list[str]) -> None:
    assert layer_lines(TEXT, history(lines)) == {1: 5, 2: 6, 3: 11, 4: 12, 5: 13, 6: 14}


def test_lines_that_made_no_layer_are_passed_over() -> None:
    entries = [*history(BUILDKIT), HistoryEntry(number=7, created_by="USER 65532", layer=None)]
    assert layer_lines(TEXT, entries)[6] == 14


def test_what_the_dockerfile_does_not_say_has_no_line() -> None:
    assert layer_lines(TEXT, history(["COPY other /else # buildkit", "RUN /bin/sh -c make # buildkit"])) == {}
    assert layer_lines("# nothing\n", history(BUILDKIT)) == {}


def test_the_stage_that_was_built_is_the_one_that_fits() -> None:
    text = "FROM a AS app\nRUN make app\nFROM a AS dev\nRUN make dev\n"
    assert layer_lines(text, history(["RUN /bin/sh -c make dev # buildkit"])) == {0: 4}
    assert layer_lines(text, history(["RUN /bin/sh -c make app # buildkit"])) == {0: 2}
    assert layer_lines(text, history(["RUN /bin/sh -c make app # buildkit"]), target="dev") == {}


def test_the_same_step_twice_is_told_apart_by_its_order() -> None:
    text = "FROM a\nRUN make\nCOPY x /y\nRUN make\n"
    lines = ["RUN /bin/sh -c make # buildkit", "COPY x /y # buildkit", "RUN /bin/sh -c make # buildkit"]
    assert layer_lines(text, history(lines)) == {0: 2, 1: 3, 2: 4}
