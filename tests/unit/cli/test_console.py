"""What people see while shipwheel works."""

import io

import pytest

from shipwheel.cli.console import human_size, open_console


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def show(stream: io.StringIO, *, quiet: bool = False) -> str:
    with open_console(quiet=quiet, stream=stream) as progress:
        progress.started("a", "numpy")
        progress.finished("a", "numpy", note="made", size=12_345_678)
        progress.finished("b", "six", note="cached", size=900)
        progress.said("hint: [bold] is not markup here")
    return stream.getvalue()


def test_a_log_gets_one_line_a_step() -> None:
    lines = show(io.StringIO()).splitlines()

    assert lines[0].startswith("    made  numpy 12.3 MB ")
    assert lines[1:] == ["  cached  six 900 B", "hint: [bold] is not markup here"]


def test_a_terminal_keeps_what_was_done_and_shows_words_as_they_are() -> None:
    text = show(Terminal())

    assert "numpy" in text
    assert "12.3 MB" in text
    assert "[bold] is not markup here" in text


def test_quiet_shows_nothing() -> None:
    assert show(io.StringIO(), quiet=True) == ""


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (999_940, "999.9 kB"),
        (999_960, "1.0 MB"),
        (19_290_000, "19.3 MB"),
        (3_000_000_000_000, "3000.0 GB"),
    ],
)
def test_sizes_are_told_in_units_of_a_thousand(size: int, text: str) -> None:
    assert human_size(size) == text
