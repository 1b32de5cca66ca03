"""Images that break one rule each: that rule finds it, and no other speaks."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

# Put together here, so that no scanner takes this file for a leak.
from helpers.animals import GITHUB, KEY, MEGABYTES, TOKEN_FILE, ZOO, capable, venv
from helpers.elf import native
from helpers.planted import PLANTED
from helpers.zoo import (
    CONFIG,
    SITE,
    check,
    clean_image,
    codes,
    distribution,
    entry,
    layer,
    only_finding,
    program,
    with_config,
    with_files,
    with_health,
    with_history,
)
from shipwheel.oci.model import Image
from shipwheel.oci.tar import Entry
from shipwheel.project.settings import CheckSettings, IgnoreSettings
from shipwheel.verify import dockerfile, linters, live, rebuild, sameness, scanners
from shipwheel.verify.check import RULES
from shipwheel.verify.composefile import check as composefile
from shipwheel.verify.evidence import read_history

# What a file beside it makes possible; tested below and with a project.
OUTSIDE = {
    rule.code
    for module in (live, dockerfile, linters, rebuild, scanners, composefile, sameness)
    for rule in module.RULES
}
ELSEWHERE = {
    "entry-through-shell", "over-budget", "not-in-lock", "stale-lock", "lock-without-hashes", "health-check-broken",
}  # fmt: skip


def test_a_clean_image_has_no_finding() -> None:
    report = check(clean_image())
    assert report.findings == ()
    assert {item.rule.code for item in report.not_checked} == {
        "not-in-lock", "stale-lock", "lock-without-hashes", "over-budget", *OUTSIDE,
    }  # fmt: skip


@pytest.mark.parametrize("code", ZOO)
def test_the_rule_finds_its_animal_and_no_other_speaks(code: str) -> None:
    assert codes(ZOO[code]()) == [code]


def test_every_rule_has_an_animal() -> None:
    assert {rule.code for rule in RULES} == {*ZOO, *ELSEWHERE, *OUTSIDE}


def test_an_entry_point_through_a_shell_is_told_beside_the_shell() -> None:
    image = clean_image(
        layer({"bin/sh": program()}), config=with_config(entrypoint=("/bin/sh", "-c", "serve")).config
    )
    assert codes(image) == ["entry-through-shell", "shell"]


@pytest.mark.parametrize(
    ("test", "is_told"),
    [
        (["CMD", "python", "-c", "0"], False), (["CMD", "curl", "localhost"], True), (["NONE"], False),
        (["CMD-SHELL", "serve --health"], True),
    ],
)  # fmt: skip
def test_a_health_check_whose_program_is_not_there_is_told(test: list[str], is_told: bool) -> None:
    found = [finding.rule.code for finding in check(with_health(clean_image(), test)).findings]
    assert found == (["health-check-broken"] if is_told else [])


def test_a_health_check_for_the_shell_needs_what_the_line_begins_with() -> None:
    image = with_files({"bin/sh": program()})
    for line, expected in (
        ("serve || exit 1", ["shell"]),
        ("wget -q localhost", ["shell", "health-check-broken"]),
    ):
        report = check(with_health(image, ["CMD-SHELL", line]))
        assert [finding.rule.code for finding in report.findings] == expected


def test_development_with_other_versions_or_another_python_is_told() -> None:
    production = with_files(distribution("shared", "1.0", {"shared.py": b"X = 1\n"}))
    dev = with_files(
        {
            **distribution("shared", "2.0", {"shared.py": b"X = 2\n"}),
            **distribution("tool", "1.0", {"tool.py": b""}),
        }
    )
    (finding,) = check(production, dev=dev).findings
    assert finding.rule is sameness.VERSIONS
    assert [(place.package, place.detail) for place in finding.places] == [
        ("shared 1.0", "in development 2.0")
    ]


def test_development_of_ours_has_productions_layers_and_more() -> None:
    production = clean_image()
    more = layer(distribution("tool", "1.0", {"tool.py": b""}))
    assert check(production, dev=clean_image(more)).findings == ()
    other = clean_image(more, without=["usr/share/zoneinfo/Europe/Berlin"])
    (finding,) = check(production, dev=other).findings
    assert (finding.rule, [place.layer for place in finding.places]) == (sameness.LAYERS, [0])


def test_only_what_is_asked_for_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("it was not asked for")

    for name in (
        "evidence.find_secrets",
        "evidence.find_credentials",
        "flexible.machine_of",
        "stable.history_faults",
    ):
        monkeypatch.setattr(f"shipwheel.verify.{name}", never)
    for module in (live, linters, rebuild, scanners, composefile, sameness):
        monkeypatch.setattr(module, "check", never)
    report = check(
        with_files({"bin/sh": program(), "srv/settings.py": TOKEN_FILE}), only=frozenset({"shell"})
    )
    assert [finding.rule.code for finding in report.findings] == ["shell"]
    assert (report.passed, report.not_checked) == ((), ())


def test_a_dockerfile_tells_the_line_that_made_a_layer(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(
        "FROM debian:13\nARG DIR=/srv\nRUN make \\\n    data\nCOPY --chown=0 cache $DIR/\nUSER 65532:65532\n"
    )
    image = clean_image(
        layer({"srv/one": MEGABYTES}, created_by="RUN |1 DIR=/srv /bin/sh -c make     data # buildkit"),
        layer({"root/.cache/pip/body": MEGABYTES[:-1]}, created_by="COPY --chown=0 cache /srv/ # buildkit"),
        layer({"srv/.wh.one": b""}, created_by="RUN /bin/sh -c rm /srv/one # buildkit"),
    )
    report = check(image, dockerfile=tmp_path / "Dockerfile")
    told = {
        finding.rule.code: [place.made_by.rpartition("/")[2] for place in finding.places]
        for finding in report.findings
        if finding.rule.promise == "small"
    }
    assert told == {"hidden-bytes": ["Dockerfile:3"], "package-cache": ["Dockerfile:5"]}
    assert [made.made_by.rpartition(":")[2] for made in report.layers] == ["", "", "", "3", "5", ""]


def test_what_image_and_dockerfile_both_break_is_one_finding(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\nRUN pip install requests\nUSER ann\n")
    image = clean_image(
        layer({"srv/text": b"x"}, created_by="RUN /bin/sh -c pip install requests # buildkit"),
        config=replace(CONFIG, user="nonroot"),
    )
    report = check(image, dockerfile=tmp_path / "Dockerfile")
    found = {finding.rule.code: finding for finding in report.findings}
    (place,) = found["unpinned-python-packages"].places
    assert (place.path, place.made_by) == ("history[3]", f"{tmp_path}/Dockerfile:2")
    assert [place.path.rpartition("/")[2] for place in found["user-by-name"].places] == [
        "config.User",
        "Dockerfile:3",
    ]
    assert len({finding.rule.code for finding in report.findings}) == len(report.findings)


@pytest.mark.parametrize(
    ("changes", "is_told"),
    [
        ({"entrypoint": ("serve", "--port", "80")}, True), ({"cmd": ("--bind=0.0.0.0:443",)}, True),
        ({"cmd": ("-b", ":80")}, True), ({"cmd": ("--bind", "0.0.0.0:8080")}, False), ({"cmd": ("-p", "0")}, False),
        ({"exposed_ports": ("53/udp",)}, True), ({"env": (*(CONFIG.env or ()), ("PORT", "80"))}, True),
    ],
)  # fmt: skip
def test_low_ports_are_seen_wherever_they_are_named(changes: dict[str, Any], is_told: bool) -> None:
    assert codes(with_config(**changes)) == (["low-port"] if is_told else [])


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("TZ", "Europe/Nowhere", "no-time-zones"), ("TZ", "Europe/Berlin", None), ("TZ", "CET-1CEST", None),
        ("SSL_CERT_FILE", "/etc/ssl/none.pem", "no-certificates"),
        ("REQUESTS_CA_BUNDLE", "/etc/ssl/certs/ca-certificates.crt", None),
    ],
)  # fmt: skip
def test_zones_and_certificates_that_a_variable_names_have_to_be_there(
    name: str, value: str, code: str | None
) -> None:
    assert codes(with_config(env=(*(CONFIG.env or ()), (name, value)))) == ([] if code is None else [code])


def test_an_empty_bundle_has_no_certificates() -> None:
    assert codes(with_files({"etc/ssl/certs/ca-certificates.crt": b""})) == ["no-certificates"]


def test_an_environment_whose_python_stayed_on_the_builder_is_told() -> None:
    lost = b"home = /root/.local/share/uv/python/bin\nversion = 3.13.5\n"
    assert codes(with_files({"app/.venv/pyvenv.cfg": lost})) == ["host-path"]


def test_debugging_data_is_a_kind_of_its_own() -> None:
    report = check(with_files({"usr/lib/libbig.so": native({".text": 10, ".debug_info": 3_000_000})}))
    assert report.kinds["debug symbols"] == 3_000_000
    assert sum(report.kinds.values()) == report.unpacked


def test_an_image_over_its_budget_is_told() -> None:
    assert codes(clean_image(), settings=CheckSettings(max_size=1000)) == ["over-budget"]
    assert codes(clean_image(), settings=CheckSettings(max_size=100_000_000)) == []


def test_a_finding_names_path_layer_package_and_rights() -> None:
    files: dict[str, bytes | tuple[Entry, bytes]] = {**distribution("mine", "1.0", {"mine.py": b"X = 1\n"})}
    path = f"{SITE}/mine.py"
    files[path] = entry(path, b"X = 1\n", mode=0o664, gid=65532)
    (place,) = only_finding(with_files(files)).places
    assert (place.path, place.layer, place.package) == (f"/{path}", 3, "mine 1.0")
    assert place.detail == "0664 0:65532"


def test_a_group_that_may_read_is_not_everybody() -> None:
    files: dict[str, bytes | tuple[Entry, bytes]] = {**distribution("shy", "1.0", {"shy.py": b"X = 1\n"})}
    files[f"{SITE}/shy.py"] = entry(f"{SITE}/shy.py", b"X = 1\n", mode=0o640)
    assert codes(with_files(files)) == ["not-readable"]
    files[f"{SITE}/shy.py"] = entry(f"{SITE}/shy.py", b"X = 1\n", mode=0o604)
    assert codes(with_files(files)) == []


def test_a_secret_anywhere_in_a_large_file_is_found_once() -> None:
    window = 4 * 1024 * 1024
    for place in (window - 20, window - 9000, 2 * window - 30, 2 * window + 100):
        data = b"x\n" * (place // 2) + TOKEN_FILE + b"y" * (9_000_000 - place)
        finding = only_finding(with_files({"srv/log": data}))
        line = place // 2 + 1
        assert [found.detail for found in finding.places] == [
            f"GitHub token, line {line}: ghp_… (40 characters)"
        ]


def test_planted_secrets_of_every_kind_are_found_each_in_its_file() -> None:
    assert len(PLANTED) >= 20
    files = {
        f"srv/{number}.cfg": f"[main]\nvalue = {text}\n".encode()
        for number, text in enumerate(PLANTED.values())
    }
    found = {
        (place.path, place.detail.partition(",")[0])
        for finding in check(with_files(files)).findings
        for place in finding.places
    }
    assert found >= {(f"/srv/{number}.cfg", kind) for number, kind in enumerate(PLANTED)}


@pytest.mark.parametrize(
    ("path", "text", "code"),
    [
        ("etc/pip.conf", "[global]\nindex-url = https://ann:tr0ub4dor@pypi.example/simple\n", "secret-in-file"),
        ("app/requirements.txt", "--extra-index-url https://ann:tr0ub4dor@pypi.example/simple\ncow==1\n", "secret-in-file"),
        ("root/.config/uv/uv.toml", '[[index]]\nurl = "https://ann:tr0ub4dor@pypi.example/simple"\n', "secret-in-file"),
        ("root/.config/pypoetry/auth.toml", "[http-basic.x]\nusername = 'ann'\n", "credentials-file"),
        ("root/.netrc", "machine pypi.example login ann password tr0ub4dor\n", "credentials-file"),
        ("root/.pypirc", "[pypi]\nusername = ann\n", "credentials-file"),
        ("root/.docker/config.json", '{"auths": {}}', "credentials-file"),
        ("app/uv.lock", 'source = { registry = "https://ann:tr0ub4dor@pypi.example/simple" }\n', "secret-in-file"),
        ("etc/apt/sources.list.d/x.list", "deb https://ann:tr0ub4dor@mirror.example/debian trixie main\n", "secret-in-file"),
    ],
)  # fmt: skip
def test_credentials_of_package_indexes_are_found(path: str, text: str, code: str) -> None:
    assert code in codes(with_files({path: text.encode()}))


def test_two_secrets_of_a_kind_in_one_file_are_two_places() -> None:
    other = TOKEN_FILE.replace(b"aB3d", b"bC4e")
    finding = only_finding(with_files({"srv/settings.py": TOKEN_FILE + other}))
    assert [place.detail.partition(":")[0] for place in finding.places] == [
        "GitHub token, line 1",
        "GitHub token, line 2",
    ]


def test_a_capability_that_a_later_layer_takes_away_is_gone() -> None:
    image = capable()
    assert codes(clean_image(image.layers[-1], layer({"usr/bin/ping": program()}))) == []


def test_root_by_name_is_root_without_any_passwd() -> None:
    assert codes(clean_image(without=["etc/passwd"], config=with_config(user="root").config)) == [
        "runs-as-root"
    ]


def test_history_lines_without_a_layer_are_not_counted() -> None:
    config = (
        b'{"history": [{"created_by": "one"}, {"created_by": "env", "empty_layer": true}, '
        b'{"created_by": "two"}, {}]}'
    )
    assert [(entry.created_by, entry.layer) for entry in read_history(config)] == [
        ("one", 0), ("env", None), ("two", 1), ("", 2),
    ]  # fmt: skip


def test_no_report_shows_the_secret() -> None:
    report = check(with_files({"srv/settings.py": TOKEN_FILE, "srv/server.pem": KEY}))
    assert GITHUB not in repr(report)
    assert "MIIEow" not in repr(report)
    (secret,) = [finding for finding in report.findings if finding.rule.code == "secret-in-file"]
    assert secret.places[0].detail == "GitHub token, line 1: ghp_… (40 characters)"


def test_what_is_ignored_needs_no_fix_and_keeps_its_reason() -> None:
    image = with_files({"bin/sh": program(), "usr/bin/curl": program()})
    settings = _settings(code="shell", reason="cron jobs need it")
    report = check(image, settings=settings)
    assert [finding.rule.code for finding in report.findings] == ["downloader"]
    assert [(item.finding.rule.code, item.reason) for item in report.ignored] == [
        ("shell", "cron jobs need it")
    ]
    assert "shell" not in {rule.code for rule in report.passed}


def test_ignoring_one_path_leaves_the_others() -> None:
    image = with_files({"usr/bin/curl": program(), "usr/bin/wget": program()})
    report = check(image, settings=_settings(code="downloader", reason="health check", path="*/curl"))
    (finding,) = report.findings
    assert [place.path for place in finding.places] == ["/usr/bin/wget"]
    assert [place.path for place in report.ignored[0].finding.places] == ["/usr/bin/curl"]


def _settings(**values: str) -> CheckSettings:
    return CheckSettings(ignore=(IgnoreSettings(**values),))


def test_what_a_change_pushes_is_computed_from_the_layers() -> None:
    image = clean_image(layer(distribution("huge", "1.0", {"huge.bin": MEGABYTES})))
    sizes = [made.descriptor.size for made in image.layers]
    assert [(cost.what, cost.layers, cost.size) for cost in check(image).costs] == [
        ("a code edit", (2,), sizes[2]),
        ("friendly upgraded", (1,), sizes[1]),
        ("huge upgraded", (3,), sizes[3]),
    ]


def test_in_a_dockerfiles_image_a_change_pushes_all_that_is_above_too() -> None:
    image = with_files(distribution("huge", "1.0", {"huge.bin": MEGABYTES}), created_by="RUN pip install")
    sizes = [made.descriptor.size for made in image.layers]
    (edit, *_) = check(image).costs
    assert (edit.what, edit.layers, edit.size) == ("a code edit", (2, 3), sizes[2] + sizes[3])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("API_TOKEN", "changeme"), ("DB_PASSWORD", ""), ("DB_PASSWORD_FILE", "secrets-db"), ("SECRET_KEY", "/run/key"),
        ("GPG_KEY", "7169605F62C751356D054A26A821E680E5FA6305"), ("TOKEN_URL", "idp.example/t"), ("AUTH", "true"), ("POSTGRES_HOST_AUTH_METHOD", "trust"),
        ("API_KEY", "${API_KEY}"), ("PYTHON_PIP_SHA256", "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"),
    ],
)  # fmt: skip
def test_variables_that_hold_no_secret_are_left_alone(name: str, value: str) -> None:
    assert codes(with_config(env=(*(CONFIG.env or ()), (name, value)))) == []


@pytest.mark.parametrize(
    "line",
    [
        "RUN pip install --require-hashes -r requirements.txt",
        "RUN uv pip install ${hashes:+--require-hashes} -r requirements.txt",
        "RUN pip install --no-cache-dir -r requirements.txt 2> /dev/null",
        "RUN pip install flask==3.0.0 'gunicorn===22.0' --index-url https://pypi.example/simple",
        "RUN pip install . && pip install -e . && pip install ./dist/app-1.0-py3-none-any.whl",
        "RUN npm ci",
        "RUN apt-get install -y libpq5=16.1",
        "ADD --checksum=sha256:00 https://files.example/a /a",
        "COPY app /app # buildkit",
        "RUN echo 'curl is not here'",
        "RUN curl -o /tmp/x https://files.example/x && sha256sum -c sums",
    ],
)
def test_a_history_in_which_all_is_pinned_is_left_alone(line: str) -> None:
    assert codes(with_history(line)) == []


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("RUN /bin/sh -c python -m pip install 'requests>=2' # buildkit", "unpinned-python-packages"),
        ("RUN set -eux; pip3.13 install --upgrade pip", "unpinned-python-packages"),
        ("RUN apk add --no-cache libpq", "unpinned-system-packages"),
        ("RUN wget -qO- https://files.example/i | sudo bash -s --", "piped-to-shell"),
        ("RUN |2 A=1 B=2 /bin/sh -c npm install left-pad", "unpinned-node-packages"),
    ],
)
def test_a_history_in_which_something_is_loose_is_told(line: str, code: str) -> None:
    assert codes(with_history(line)) == [code]


def test_an_image_built_again_is_the_same_or_its_differences_are_told() -> None:
    def made(text: bytes, mtime: int) -> Image:
        return with_files({"app/late.py": entry("app/late.py", text, mtime=mtime), "app/same.py": b"X = 1\n"})

    report = check(made(b"X = 1\n", 1), again=made(b"X = 1\n", 1))
    assert "rebuild-differs" in {rule.code for rule in report.passed}
    (finding,) = check(made(b"X = 1\n", 1), again=made(b"X = 2\n", 5)).findings
    assert finding.rule is rebuild.DIFFERS
    layer_place, file_place = finding.places
    assert (layer_place.path, file_place.path) == ("layer 3", "/app/late.py")
    assert file_place.detail.startswith("time 1, then 5; content sha256:")


def test_a_rebuilt_image_with_another_configuration_or_file_is_told() -> None:
    (finding,) = check(clean_image(), again=with_config(working_dir="/srv")).findings
    assert [(place.path, place.detail) for place in finding.places] == [
        ("config.WorkingDir", "/app, then /srv")
    ]
    (finding,) = check(clean_image(), again=with_files({"srv/more": b"x"})).findings
    assert [place.path for place in finding.places] == ["layer 3", "/srv", "/srv/more"]


def test_what_a_package_carries_inside_is_its_own_affair() -> None:
    inner = distribution("inner", "9", {"inner.py": b"X = 1\n"}, site="outer/_vendor")
    # Patched and cut down, as vendored copies are; the outer RECORD knows.
    inner["outer/_vendor/inner.py"] = b"X = 2\n"
    outer = distribution("outer", "1.0", {"outer/__init__.py": b"", **inner})
    report = check(with_files(outer))
    assert report.findings == ()
    assert {"inner", "outer"} <= {package.name for package in report.packages}
    sizes = {package.name: package.size for package in report.packages}
    assert sizes["inner"] == 0


def test_a_private_key_for_a_packages_tests_is_no_news_and_elsewhere_it_is() -> None:
    assert codes(venv("keys", {"keys/tests/data/rsa.pem": KEY})) == []
    assert codes(venv("keys", {"keys/data/rsa.pem": KEY})) == ["secret-in-package"]
    assert codes(venv("keys", {"keys/tests/token.py": TOKEN_FILE})) == ["secret-in-package"]
    assert codes(with_files({"app/tests/rsa.pem": KEY})) == ["private-key"]
