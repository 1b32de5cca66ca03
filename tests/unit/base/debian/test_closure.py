"""The closure: what is needed, what stands for what, what is left out and what cannot be."""

import pytest

from shipwheel.base.debian.closure import Closure, resolve
from shipwheel.base.debian.packages import Stanza
from shipwheel.base.debian.relations import parse_relations
from shipwheel.errors import LockError


def package(
    name: str, version: str = "1", *, needs: str = "", gives: str = "", against: str = "", multi: str = "no"
) -> Stanza:
    return Stanza(
        name=name,
        version=version,
        architecture="amd64",
        archive="trixie",
        filename=f"pool/{name}.deb",
        size=1,
        sha256="ab" * 32,
        multi_arch=multi,
        depends=parse_relations(needs),
        provides=parse_relations(gives),
        conflicts=parse_relations(against),
    )


class Source:
    def __init__(self, *stanzas: Stanza) -> None:
        self._stanzas = stanzas

    def named(self, name: str) -> list[Stanza]:
        return [stanza for stanza in self._stanzas if stanza.name == name]

    def providing(self, name: str) -> list[Stanza]:
        return [s for s in self._stanzas if any(r.name == name for group in s.provides for r in group)]


def close(*stanzas: Stanza, roots: str = "app", omit: str = "", security: tuple[Stanza, ...] = ()) -> Closure:
    sources = [Source(*stanzas), Source(*security)]
    return resolve(roots.split(), sources, dict.fromkeys(omit.split(), "why"), place="trixie")


def names(closure: Closure) -> list[str]:
    return [stanza.name for stanza in closure.packages]


def codes(*stanzas: Stanza, roots: str = "app") -> list[str]:
    with pytest.raises(LockError) as caught:
        close(*stanzas, roots=roots)
    return [problem.code for problem in caught.value.problems]


def test_dependencies_of_dependencies_are_needed() -> None:
    assert names(close(package("app", needs="b"), package("b", needs="a"), package("a", needs="b"))) == [
        "a",
        "app",
        "b",
    ]


def test_the_highest_version_is_taken_wherever_it_is() -> None:
    old, new = package("app", "1.2-3"), package("app", "1.2-3+deb13u1")
    assert close(old, security=(new,)).packages == (new,)
    assert close(new, security=(old,)).packages == (new,)


def test_of_alternatives_the_first_that_exists_is_taken() -> None:
    assert names(close(package("app", needs="x | b | c"), package("b"), package("c"))) == ["app", "b"]


def test_of_alternatives_one_that_is_wanted_anyway_is_taken() -> None:
    assert names(close(package("app", needs="b | c"), package("b"), package("c"), roots="app c")) == [
        "app",
        "c",
    ]


def test_a_package_stands_for_what_it_provides() -> None:
    assert names(close(package("app", needs="awk"), package("mawk", gives="awk"))) == ["app", "mawk"]


def test_of_several_providers_the_first_by_name_is_taken() -> None:
    found = close(package("app", needs="awk"), package("mawk", gives="awk"), package("gawk", gives="awk"))
    assert names(found) == ["app", "gawk"]


def test_a_versioned_dependency_wants_a_versioned_provides() -> None:
    app = package("app", needs="libssl3 (>= 3)")
    assert names(close(app, package("libssl3t64", gives="libssl3 (= 3.5)"))) == ["app", "libssl3t64"]
    assert codes(app, package("libssl3t64", gives="libssl3")) == ["dependency-unsatisfied"]
    assert codes(app, package("libssl3t64", gives="libssl3 (= 2)")) == ["dependency-unsatisfied"]


def test_a_dependency_on_another_version_is_unsatisfied() -> None:
    assert codes(package("app", needs="b (= 1)"), package("b", "2")) == ["dependency-unsatisfied"]


def test_any_architecture_will_do_only_where_a_package_allows_it() -> None:
    app = package("app", needs="python3:any")
    assert names(close(app, package("python3", multi="allowed"))) == ["app", "python3"]
    assert codes(app, package("python3")) == ["dependency-unsatisfied"]


def test_another_architecture_is_not_this_one() -> None:
    assert codes(package("app", needs="b:arm64"), package("b")) == ["dependency-unsatisfied"]
    assert names(close(package("app", needs="b:amd64"), package("b"))) == ["app", "b"]


def test_what_is_omitted_is_left_out_with_its_reason() -> None:
    found = close(
        package("app", needs="debconf | b, awk"), package("b"), package("debconf"), omit="debconf awk perl"
    )
    assert names(found) == ["app"]
    assert found.omitted == {"awk": "why", "debconf": "why"}


def test_an_omission_is_not_used_where_the_dependency_is_there_anyway() -> None:
    found = close(package("app", needs="debconf | b"), package("b"), roots="app b", omit="debconf")
    assert found.omitted == {}


def test_packages_that_conflict_are_refused() -> None:
    app, b = package("app", needs="b", against="b (<< 2)"), package("b", "1")
    assert codes(app, b) == ["package-conflict"]
    assert names(close(app, package("b", "2"))) == ["app", "b"]


def test_a_package_may_conflict_with_what_it_provides_itself() -> None:
    assert names(close(package("app", gives="mta", against="mta"))) == ["app"]


def test_all_problems_are_told_at_once() -> None:
    assert codes(package("app", needs="x, y"), roots="app z") == [
        "package-not-found",
        "dependency-unsatisfied",
        "dependency-unsatisfied",
    ]


def test_the_order_of_the_index_does_not_matter() -> None:
    stanzas = [package("app", needs="b | c, d"), package("b"), package("c"), package("d", gives="c")]
    assert close(*stanzas) == close(*reversed(stanzas))
