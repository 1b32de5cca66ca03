"""Which words go with an engine, and which need one."""

import argparse

import pytest

from shipwheel.cli import build
from shipwheel.cli.engine_build import refuse_with_engine, refuse_without_engine
from shipwheel.errors import UsageError


def options(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    build.add_arguments(parser)
    return parser.parse_args(words)


@pytest.mark.parametrize("words", [["--output", "x"], ["--json"], ["--explain"], ["--attest"]])
def test_what_an_engine_cannot_do_is_refused_with_a_way_out(words: list[str]) -> None:
    with pytest.raises(UsageError) as raised:
        refuse_with_engine(options("--engine", "docker", *words))
    assert raised.value.code == "engine-option"
    assert f"{words[0]} does not go with --engine" in str(raised.value)
    assert "hint: " in str(raised.value)
    refuse_with_engine(options("--engine", "docker", "--push", "--load"))


@pytest.mark.parametrize(
    "words", [["--target", "dev"], ["--builder", "x"], ["--cache-to", "x"], ["--secret", "id=a,src=b"]]
)
def test_what_only_an_engine_does_needs_one(words: list[str]) -> None:
    with pytest.raises(UsageError, match="engine-option"):
        refuse_without_engine(options(*words))
