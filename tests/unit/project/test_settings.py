"""[tool.shipwheel]: what is accepted, what is refused with which help, and the published schema."""

import jsonschema
import pytest

from shipwheel.project.settings import Settings, read_settings, settings_schema


def codes(table: dict[str, object]) -> list[str]:
    return [problem.code for problem in read_settings(table, file="pyproject.toml")[1]]


FULL: dict[str, object] = {
    "python": "3.13",
    "lock": "poetry.lock",
    "base": {"suite": "trixie", "mirror": "https://mirror.example/debian", "packages": ["libpq5"]},
    "user": {"uid": 1000, "gid": 1000, "name": "app", "home": "/home/app"},
    "workdir": "/srv/app",
    "entrypoint": ["shop", "serve"],
    "cmd": [],
    "env": {"LOG_LEVEL": "info"},
    "ports": ["8000", "9000/udp"],
    "volumes": ["/data"],
    "labels": {"team": "shop"},
    "stop-signal": "SIGINT",
    "groups": ["web"],
    "extras": ["pg"],
    "include": ["build/generated.py"],
    "exclude": ["docs/"],
    "layers": {"alone": 40, "buckets": 20},
    "bytecode": False,
    "name": "registry.example/team/shop",
    "check": {"fail-on": "warning", "max-size": 100, "ignore": [{"code": "a-rule", "reason": "because"}]},
    "dockerfile": {"sudo": False},
    "foreign-binaries": [],
    "tags": {
        "release": "always",
        "git-tag": "shop-{version}",
        "floating": ["latest"],
        "branch": False,
        "pull-request": False,
        "commit": False,
        "immutable": True,
        "dirty": True,
        "git-labels": True,
    },
    "platforms": ["linux/amd64", "linux/arm64"],
    "slim": {"drop": ["tests", "debug-symbols"], "keep": ["numpy", "scikit-image:stubs"], "verify": False},
}


def test_every_setting_is_read() -> None:
    settings, problems = read_settings(FULL, file="pyproject.toml")

    assert problems == []
    assert settings.base.packages == ("libpq5",)
    assert settings.user.uid == 1000
    assert settings.stop_signal == "SIGINT"
    assert settings.cmd == ()
    assert settings.tags.floating == ("latest",)
    assert settings.tags.git_tag == "shop-{version}"
    assert Settings().cmd is None
    assert {name.replace("_", "-") for name in Settings.__struct_fields__} == set(FULL)


def test_an_unknown_key_is_refused_with_the_one_that_was_meant() -> None:
    _, [problem] = read_settings({"base": {"sute": "trixie"}}, file="pyproject.toml")

    assert problem.code == "unknown-setting"
    assert problem.place == "pyproject.toml [tool.shipwheel.base] sute"
    assert problem.hint == "did you mean suite?"


@pytest.mark.parametrize(
    "table",
    [
        {"entrypoint": []},
        {"entrypoint": "shop serve"},
        {"ports": ["http"]},
        {"user": {"uid": -1}},
        {"user": {"name": "Robert'); --"}},
        {"user": "root"},
        {"env": {"A": 1}},
        {"workdir": "app"},
        {"python": "2.7"},
        {"bytecode": "yes"},
        {"layers": {"alone": 90, "buckets": 90}},
        {"tags": {"release": "sometimes"}},
        {"tags": {"floating": ["patch"]}},
        {"tags": {"git-tag": "v1"}},
        {"slim": {"drop": ["everything"]}},
        {"slim": {"keep": ["numpy:everything"]}},
        {"slim": {"keep": ["../numpy"]}},
    ],
)
def test_values_of_the_wrong_kind_are_refused(table: dict[str, object]) -> None:
    assert codes(table) == ["bad-setting"]


def test_the_schema_accepts_what_the_reader_accepts_and_refuses_unknown_keys() -> None:
    schema = settings_schema()
    jsonschema.Draft202012Validator.check_schema(schema)

    jsonschema.validate(FULL, schema)
    wrongs: list[dict[str, object]] = [
        {"pyhton": "3.13"},
        {"base": {"sute": "x"}},
        {"entrypoint": []},
        {"ports": ["http"]},
    ]
    for wrong in wrongs:
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, schema)
