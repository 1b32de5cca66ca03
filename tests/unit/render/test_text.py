"""The user's own regions, and how a hand edit is told from our own text."""

from shipwheel.render.text import (
    is_sealed,
    is_untouched,
    lost_regions,
    own_region,
    own_regions,
    seal,
    with_own,
)

BODY = "FROM x AS app\n# <own app>\n# </own>\nUSER 1\n"


def test_what_stands_in_a_region_survives_a_new_rendering() -> None:
    edited = seal(BODY).replace("# <own app>\n", "# <own app>\nRUN mine\nRUN too\n")
    again = with_own(seal(BODY.replace("USER 1", "USER 2")), own_regions(edited))
    assert "# <own app>\nRUN mine\nRUN too\n# </own>\nUSER 2\n" in again


def test_an_edit_in_a_region_leaves_the_file_untouched() -> None:
    assert is_untouched(seal(BODY).replace("# <own app>\n", "# <own app>\nRUN mine\n"))


def test_an_edit_elsewhere_is_noticed() -> None:
    edited = seal(BODY).replace("USER 1", "USER 0")
    assert is_sealed(edited)
    assert not is_untouched(edited)


def test_a_file_without_our_header_is_somebody_elses() -> None:
    assert not is_sealed(BODY)


def test_the_header_is_a_comment_of_the_files_language() -> None:
    text = seal("{\n  // <own x>\n  // </own>\n}\n", "//")
    assert all(line.startswith("// ") for line in text.split("{")[0].splitlines())
    assert is_untouched(text.replace("<own x>\n", '<own x>\n  "a": 1,\n'))


def test_a_region_that_is_gone_is_named() -> None:
    regions = {"app": "RUN mine\n", "other": "RUN lost\n"}
    assert lost_regions(BODY, regions) == ["other"]


def test_an_empty_region_is_no_content() -> None:
    assert own_regions("\n".join([*own_region("a"), ""])) == {}
