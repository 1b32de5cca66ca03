"""The list of rules in the documentation is the one in the code, and each rule says what people need."""

import re
from pathlib import Path

import pytest

from shipwheel.verify.check import RULES
from shipwheel.verify.model import Rule
from shipwheel.verify.reference import render_reference

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "check.md"


def test_the_page_is_made_from_the_rules() -> None:
    assert PAGE.read_text() == render_reference(), (
        "python -m shipwheel.verify.reference > docs/reference/check.md"
    )


def test_codes_are_unique() -> None:
    codes = [rule.code for rule in RULES]
    assert sorted(set(codes)) == sorted(codes)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.code)
def test_a_rule_is_written_for_people(rule: Rule) -> None:
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", rule.code)
    assert not rule.title.endswith(".")
    assert rule.why.endswith(".")
    assert rule.fix.endswith((".", "]."))
