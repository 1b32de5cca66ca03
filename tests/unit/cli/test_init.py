"""Which files `shipwheel init` writes over, which it leaves, and what `--check` says."""

from pathlib import Path

import pytest

from shipwheel.cli.init import Change, read_change, refuse_drift, refuse_foreign, write
from shipwheel.errors import ProjectError, ShipwheelError
from shipwheel.render.text import seal

OLD = seal("FROM a AS app\n# <own app>\n# </own>\n")
NEW = seal("FROM b AS app\n# <own app>\n# </own>\n")


def change(root: Path, before: str | None, text: str = NEW) -> Change:
    if before is not None:
        (root / "Dockerfile").write_text(before)
    return read_change(root, "Dockerfile", text)


def codes(error: ShipwheelError) -> list[str]:
    return [problem.code for problem in error.problems]


def test_a_file_that_is_ours_and_untouched_is_written_over(tmp_path: Path) -> None:
    found = change(tmp_path, OLD)
    refuse_foreign([found])
    write(found)
    assert (tmp_path / "Dockerfile").read_text() == NEW


def test_the_users_own_lines_are_kept(tmp_path: Path) -> None:
    found = change(tmp_path, OLD.replace("<own app>\n", "<own app>\nRUN mine\n"))
    refuse_foreign([found])
    assert found.after == NEW.replace("<own app>\n", "<own app>\nRUN mine\n")


@pytest.mark.parametrize(
    ("before", "code"),
    [
        ("FROM mine\n", "file-in-the-way"),
        (OLD.replace("FROM a", "FROM mine"), "edited-file"),
        (seal("# <own gone>\nRUN mine\n# </own>\n"), "lost-region"),
    ],
)
def test_what_is_not_ours_alone_stays(before: str, code: str, tmp_path: Path) -> None:
    found = change(tmp_path, before)
    with pytest.raises(ProjectError) as raised:
        refuse_foreign([found])
    assert codes(raised.value) == [code]
    assert "--force" in str(raised.value)
    assert (tmp_path / "Dockerfile").read_text() == before


def test_a_file_of_the_users_own_that_is_as_planned_is_in_nobodys_way(tmp_path: Path) -> None:
    refuse_foreign([change(tmp_path, NEW)])


def test_the_check_names_what_drifted_and_what_is_not_there(tmp_path: Path) -> None:
    assert refuse_drift([change(tmp_path, NEW)]) == 0
    with pytest.raises(ProjectError) as raised:
        refuse_drift([change(tmp_path, OLD), read_change(tmp_path, "compose.yaml", NEW)])
    assert codes(raised.value) == ["drifted", "drifted"]
    assert "compose.yaml is not there" in str(raised.value)


def test_the_difference_is_shown_line_by_line(tmp_path: Path) -> None:
    text = change(tmp_path, OLD).diff()
    assert "-FROM a AS app" in text
    assert "+FROM b AS app" in text


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_bytes(b"\xff\xfe")
    with pytest.raises(ProjectError, match="unreadable-file"):
        read_change(tmp_path, "Dockerfile", NEW)
