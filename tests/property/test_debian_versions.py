"""Debian versions against dpkg itself."""

import subprocess

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from helpers.tools import require_tool
from shipwheel.base.debian.relations import version_key

_UPSTREAM = st.from_regex(r"[0-9][0-9a-cA-B.+~-]{0,7}", fullmatch=True).filter(lambda text: text[-1] != "-")
_VERSIONS = st.builds(
    lambda epoch, upstream, revision: epoch + upstream + revision,
    st.sampled_from(["", "0:", "1:"]),
    _UPSTREAM,
    st.from_regex(r"(?:-[0-9a-b+~.]{1,4})?", fullmatch=True),
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(_VERSIONS, _VERSIONS)
@example("0", "0~")
@example("1", "1-0~")
@example("1-0", "1")
def test_versions_compare_as_in_dpkg(one: str, other: str) -> None:
    dpkg = require_tool("dpkg")
    if version_key(one) < version_key(other):
        operator = "lt"
    else:
        operator = "eq" if version_key(one) == version_key(other) else "gt"
    result = subprocess.run([dpkg, "--compare-versions", one, operator, other], check=False)
    assert result.returncode == 0, (one, operator, other)
