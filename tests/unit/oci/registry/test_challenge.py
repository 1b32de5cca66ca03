"""`WWW-Authenticate` as registries write it, and token scopes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipwheel.oci.registry.challenge import merge_scopes, parse_challenges, scope


def parsed(header: str) -> list[tuple[str, dict[str, str]]]:
    return [(challenge.scheme, dict(challenge.parameters)) for challenge in parse_challenges(header)]


def test_a_bearer_challenge_with_a_comma_in_its_scope() -> None:
    header = 'Bearer realm="https://auth.example/token",service="reg",scope="repository:a/b:pull,push"'
    assert parsed(header) == [
        (
            "bearer",
            {"realm": "https://auth.example/token", "service": "reg", "scope": "repository:a/b:pull,push"},
        )
    ]


def test_several_challenges_in_one_header() -> None:
    assert parsed('Basic realm="a", charset=UTF-8, Bearer realm="b" , error=x') == [
        ("basic", {"realm": "a", "charset": "UTF-8"}),
        ("bearer", {"realm": "b", "error": "x"}),
    ]


def test_scheme_and_parameter_names_are_read_in_any_case() -> None:
    assert parsed('BEARER Realm="A"') == [("bearer", {"realm": "A"})]


def test_blanks_around_equals_signs_are_read() -> None:
    assert parsed('Basic realm = "a"') == [("basic", {"realm": "a"})]


def test_a_quoted_pair_is_unquoted() -> None:
    assert parsed(r'Basic realm="a \"b\" \\"') == [("basic", {"realm": r'a "b" \ '.strip()})]


def test_a_scheme_without_parameters_and_one_with_a_token() -> None:
    assert parsed('Negotiate, NTLM TlRMTVNTUAAB==, Basic realm="a"') == [
        ("negotiate", {}),
        ("ntlm", {}),
        ("basic", {"realm": "a"}),
    ]


def test_the_first_of_two_equal_parameters_counts() -> None:
    assert parsed('Basic realm="a", realm="b"') == [("basic", {"realm": "a"})]


@pytest.mark.parametrize("header", ["", ",", "=", '"', '="x"', 'realm="x"', "\x00", 'Basic realm="unclosed'])
def test_nonsense_is_left_out(header: str) -> None:
    assert all(not parameters for _, parameters in parsed(header))


@given(st.text(alphabet='aB ,="\\\t/:é-', max_size=60))
def test_no_header_is_too_strange_to_be_read(header: str) -> None:
    parse_challenges(header)


@given(
    st.dictionaries(st.from_regex(r"[a-z]{1,8}", fullmatch=True), st.text(max_size=20), max_size=4),
    st.dictionaries(st.from_regex(r"[a-z]{1,8}", fullmatch=True), st.text(max_size=20), max_size=4),
)
def test_what_is_written_is_read_back(first: dict[str, str], second: dict[str, str]) -> None:
    def write(scheme: str, parameters: dict[str, str]) -> str:
        quoted = (
            f'{name}="{value.replace(chr(92), chr(92) * 2).replace(chr(34), chr(92) + chr(34))}"'
            for name, value in parameters.items()
        )
        return f"{scheme} {', '.join(quoted)}".strip()

    header = f"{write('One', first)}, {write('Two', second)}"
    assert parsed(header) == [("one", first), ("two", second)]


def test_scopes_of_one_resource_become_one() -> None:
    assert merge_scopes([scope("b", "push"), scope("a", "pull"), scope("b", "pull", "push")]) == (
        "repository:a:pull",
        "repository:b:pull,push",
    )


def test_a_scope_keeps_its_port_and_path() -> None:
    assert merge_scopes(["repository:host:5000/a/b:pull", "registry:catalog:*"]) == (
        "registry:catalog:*",
        "repository:host:5000/a/b:pull",
    )
