"""What the machine's files say of indexes reaches a container as variables, with logins and without folders."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from shipwheel.errors import HostError
from shipwheel.wheel.index_variables import with_index_variables, with_pip_cert

Write = Callable[[str, str], None]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def put(path: str, text: str) -> None:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
        (tmp_path / path).chmod(0o600)

    return put


def told(tmp_path: Path, project: Mapping[str, object] | None = None, **environ: str) -> dict[str, str]:
    root = tmp_path / "project"
    root.mkdir(exist_ok=True)
    return with_index_variables(
        environ, home=tmp_path / "home", root=root, project=project, etc=tmp_path / "etc"
    )


def test_a_machine_that_configures_nothing_adds_nothing(tmp_path: Path) -> None:
    assert told(tmp_path, LANG="C") == {"LANG": "C"}


def test_pips_files_with_the_logins_that_netrc_has(tmp_path: Path, write: Write) -> None:
    write("etc/pip.conf", "[global]\nindex-url = https://index.example/simple\ncert = /etc/company.pem\n")
    write(
        "home/.config/pip/pip.conf",
        f"[install]\nextra-index-url =\n  https://extra.example/simple\n  file://{tmp_path}/wheels\n"
        "find-links = /opt/wheels\n",
    )
    write("home/.netrc", "machine index.example login me password p@ss/word\n")

    assert told(tmp_path) == {
        "PIP_INDEX_URL": "https://me:p%40ss%2Fword@index.example/simple/",
        "PIP_EXTRA_INDEX_URL": "https://extra.example/simple/",
        "PIP_CERT": "/etc/company.pem",
    }


def test_a_variable_counts_more_than_a_file_and_gets_its_login_too(tmp_path: Path, write: Write) -> None:
    write(
        "etc/pip.conf",
        "[global]\nindex-url = https://index.example/simple\nextra-index-url = https://extra.example\n",
    )
    write("home/.netrc", "machine other.example login me password word\n")

    found = told(tmp_path, PIP_INDEX_URL="https://other.example/simple", PIP_EXTRA_INDEX_URL="file:///wheels")

    assert found == {"PIP_INDEX_URL": "https://me:word@other.example/simple/"}


def test_hosts_are_trusted_where_nothing_is_encrypted_and_nowhere_else(tmp_path: Path, write: Write) -> None:
    write(
        "etc/pip.conf",
        "[global]\nindex-url = http://index.example:8080/simple/\n"
        "extra-index-url = https://extra.example/simple/\n"
        "trusted-host = INDEX.example\n  index.example:8080\n  extra.example\n",
    )

    assert told(tmp_path) == {
        "PIP_INDEX_URL": "http://index.example:8080/simple/",
        "PIP_EXTRA_INDEX_URL": "https://extra.example/simple/",
        "PIP_TRUSTED_HOST": "INDEX.example index.example:8080",
    }


@pytest.mark.parametrize("variable", ["PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"])
def test_certificates_of_a_variable_count_more_than_pip_confs(
    tmp_path: Path, write: Write, variable: str
) -> None:
    write("etc/pip.conf", "[global]\ncert = /etc/company.pem\n")

    assert told(tmp_path, None, **{variable: "/mine.pem"}) == {variable: "/mine.pem"}


def test_uvs_files_and_what_uv_auth_login_stored(tmp_path: Path, write: Write) -> None:
    write(
        "home/.config/uv/uv.toml",
        '[[index]]\nname = "corp"\nurl = "https://index.example/simple"\ndefault = true\n'
        '[[index]]\nurl = "https://extra.example/simple"\n'
        '[[index]]\nname = "flat"\nurl = "https://flat.example/"\nformat = "flat"\n',
    )
    write(
        "home/.local/share/uv/credentials/credentials.toml",
        '[[credential]]\nservice = "https://index.example"\nusername = "me"\npassword = "word"\n',
    )

    assert told(tmp_path) == {
        "UV_DEFAULT_INDEX": "corp=https://me:word@index.example/simple/",
        "UV_INDEX": "https://extra.example/simple/",
    }


def test_older_names_of_uvs_variables_are_told_by_the_newer_ones(tmp_path: Path) -> None:
    found = told(
        tmp_path, UV_INDEX_URL="https://u:p@index.example/", UV_EXTRA_INDEX_URL="https://extra.example/"
    )

    assert found == {"UV_DEFAULT_INDEX": "https://u:p@index.example/", "UV_INDEX": "https://extra.example/"}


@pytest.mark.parametrize(
    ("project", "variable"),
    [
        (
            {"tool": {"poetry": {"source": [{"name": "my-corp", "url": "https://index.example/simple"}]}}},
            "POETRY_HTTP_BASIC",
        ),
        (
            {"tool": {"uv": {"index": [{"name": "my-corp", "url": "https://index.example/simple"}]}}},
            "UV_INDEX",
        ),
    ],
)
@pytest.mark.parametrize("file", ["netrc", "auth.toml"])
def test_the_login_of_a_source_that_the_project_names(
    tmp_path: Path, write: Write, project: dict[str, object], variable: str, file: str
) -> None:
    write("home/.netrc", "machine index.example login me password word\n" if file == "netrc" else "")
    write(
        "home/.config/pypoetry/auth.toml",
        '[http-basic.my-corp]\nusername = "me"\npassword = "word"\n' if file == "auth.toml" else "",
    )

    assert told(tmp_path, project) == {
        f"{variable}_MY_CORP_USERNAME": "me",
        f"{variable}_MY_CORP_PASSWORD": "word",
    }


def test_logins_of_other_hosts_stay_here(tmp_path: Path, write: Write) -> None:
    write("home/.netrc", "machine other.example login me password word\n")
    project = {"tool": {"poetry": {"source": [{"name": "corp", "url": "https://index.example/simple"}]}}}

    assert told(tmp_path, project) == {}


def test_pdms_index_with_its_user(tmp_path: Path, write: Write) -> None:
    write(
        "home/.config/pdm/config.toml",
        '[pypi]\nurl = "https://index.example/simple"\nusername = "me"\npassword = "word"\n',
    )

    assert told(tmp_path) == {
        "PDM_PYPI_URL": "https://index.example/simple/",
        "PDM_PYPI_USERNAME": "me",
        "PDM_PYPI_PASSWORD": "word",
    }


def test_a_file_that_cannot_be_read_is_an_error_with_its_place(tmp_path: Path, write: Write) -> None:
    write("etc/pip.conf", "index-url = x\n")

    with pytest.raises(HostError, match="bad-index-config") as raised:
        told(tmp_path)

    assert raised.value.problems[0].place == f"{tmp_path}/etc/pip.conf:1"


def test_pips_certificates_are_those_of_its_own_settings(tmp_path: Path, write: Write) -> None:
    write("home/.config/pip/pip.conf", "[global]\ncert = ~/ca.pem\n")
    home, etc = tmp_path / "home", tmp_path / "etc"

    assert with_pip_cert({}, home=home, etc=etc) == {"PIP_CERT": str(Path("~/ca.pem").expanduser())}
    assert with_pip_cert({"PIP_CERT": "/x"}, home=home, etc=etc) == {"PIP_CERT": "/x"}
    assert with_pip_cert({"PIP_CONFIG_FILE": "/dev/null"}, home=home, etc=etc) == {
        "PIP_CONFIG_FILE": "/dev/null"
    }
