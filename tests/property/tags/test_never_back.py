"""Floating tags never move back, in whatever order versions are released."""

from hypothesis import given
from hypothesis import strategies as st
from packaging.version import Version

from shipwheel.tags.versions import known_versions, version_tags

PARTS = st.integers(0, 3)
VERSIONS = st.builds(
    lambda major, minor, patch, suffix: Version(f"{major}.{minor}.{patch}{suffix}"),
    PARTS,
    PARTS,
    PARTS,
    st.sampled_from(["", "", "", "rc1", ".dev1", ".post1", "+local"]),
)


@given(st.lists(VERSIONS, min_size=1, max_size=12))
def test_each_floating_tag_is_the_highest_final_version_of_its_series(released: list[Version]) -> None:
    registry: dict[str, Version] = {}
    for version in released:
        tags, _ = version_tags(version, known_versions(registry, like=version))
        for tag in tags:
            registry[tag.name] = version

    finals = [v for v in released if not v.is_prerelease and v.local is None]
    if finals:
        assert registry["latest"] == max(finals)
        for major in {v.major for v in finals} - {0}:
            assert registry[str(major)] == max(v for v in finals if v.major == major)
        for series in {v.release[:2] for v in finals}:
            assert registry[f"{series[0]}.{series[1]}"] == max(v for v in finals if v.release[:2] == series)
    else:
        assert "latest" not in registry
