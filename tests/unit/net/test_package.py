"""The package's front: names come from their modules when somebody asks for them."""

import pytest

from shipwheel import net
from shipwheel.net.http import Http


def test_everything_that_is_offered_is_there() -> None:
    assert [name for name in net.__all__ if not hasattr(net, name)] == []
    assert net.Http is Http


def test_other_names_are_refused_as_by_any_module() -> None:
    with pytest.raises(AttributeError, match=r"module 'shipwheel\.net' has no attribute 'Https'"):
        net.Https  # type: ignore[attr-defined] # noqa: B018 - the point
