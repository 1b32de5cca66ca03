"""Which folders of a package hold its test suite."""

import pytest

from shipwheel.wheel.suites import suite_folders, without_suites

SITE = "lib/python3.13/site-packages"


@pytest.mark.parametrize(
    ("paths", "suites"),
    [
        (["pandas/tests/frame/test_x.py", "pandas/tests/__init__.py"], ["pandas/tests/"]),
        (["a/test/x_test.py"], ["a/test/"]),
        (["a/tests/conftest.py", "a/tests/deep/tests/test_y.py"], ["a/tests/"]),
        (["tests/test_top.py"], ["tests/"]),
        # Public modules for others' tests, and modules that are only called alike.
        (["django/test/client.py", "django/test/utils.py"], []),
        (["jinja2/tests.py", "numpy/testing/test_x.py", "latest/test_x.py", "a/test_x.py"], []),
        (["lab/tests/models.py", "lab/tests/latest.py", "lab/tests/contest.py"], []),
    ],
)
def test_a_suite_is_a_folder_of_that_name_that_holds_tests(paths: list[str], suites: list[str]) -> None:
    below = [f"{SITE}/{path}" for path in paths]
    assert suite_folders(below) == {f"{SITE}/{suite}" for suite in suites}
    left = [path for path in paths if not path.startswith(tuple(suites))]
    assert without_suites(below) == [f"{SITE}/{path}" for path in left]
