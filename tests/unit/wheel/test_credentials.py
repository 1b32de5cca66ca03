"""A login is found where each tool keeps it, is for one origin, and never shows."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipwheel.wheel.credentials import Credentials, Known, Login, env_name, split_login

INNER = Known(url="https://index.example/inner/simple/", name="my.inner-index")
PAGE = "https://index.example/inner/simple/numpy/"


def credentials(tmp_path: Path, *known: Known, **environ: str) -> Credentials:
    return Credentials(known, environ=environ, home=tmp_path)


def found(these: Credentials, url: str = PAGE) -> tuple[str, str] | None:
    login = these.login_for(url)
    return None if login is None else (login.user, login.password)


def test_nobody_is_nobody(tmp_path: Path) -> None:
    assert found(credentials(tmp_path, INNER)) is None


def test_the_address_itself_comes_first(tmp_path: Path) -> None:
    known = Known(url=INNER.url, name="inner", login=Login(user="configured", password="pw"))
    these = credentials(tmp_path, known)
    assert found(these, "https://own:p%40ss@index.example/inner/simple/a/") == ("own", "p@ss")
    assert found(these) == ("configured", "pw")


@pytest.mark.parametrize(
    ("user", "password"),
    [
        ("UV_INDEX_MY_INNER_INDEX_USERNAME", "UV_INDEX_MY_INNER_INDEX_PASSWORD"),
        ("POETRY_HTTP_BASIC_MY_INNER_INDEX_USERNAME", "POETRY_HTTP_BASIC_MY_INNER_INDEX_PASSWORD"),
    ],
)
def test_variables_by_the_indexs_name(tmp_path: Path, user: str, password: str) -> None:
    these = credentials(tmp_path, INNER, **{user: "me", password: "pw"})
    assert found(these) == ("me", "pw")
    assert found(these, "https://elsewhere.example/inner/simple/") is None
    assert found(these, "http://index.example/inner/simple/") is None
    assert found(these, "https://index.example:8443/inner/simple/") is None


def test_files_beside_the_simple_api_get_the_login_of_the_index_that_names_them(tmp_path: Path) -> None:
    one = Known(url="https://index.example/one/simple/", login=Login(user="one", password="1"))
    two = Known(url="https://index.example/two/simple/", login=Login(user="two", password="2"))
    these = credentials(tmp_path, one, two)
    assert found(these, "https://index.example/two/files/a.whl") == ("two", "2")
    login = these.login_for("https://index.example/files/a.whl", via=two.url)
    assert login is not None
    assert login.user == "two"
    assert these.login_for("https://files.example/a.whl", via=two.url) is None


def test_netrc_is_by_host_and_goes_in_the_clear_only_where_configured(tmp_path: Path) -> None:
    (tmp_path / ".netrc").write_text(
        "machine files.example login me password pw\nmachine plain.example login p password pw\n"
        "default login any password pw\n"
    )
    these = credentials(tmp_path, Known(url="http://plain.example/simple/"))
    assert found(these, "https://files.example/a.whl") == ("me", "pw")
    assert found(these, "http://files.example/a.whl") is None
    assert found(these, "http://plain.example/simple/a/") == ("p", "pw")
    assert found(these, "https://anybody.example/") is None


def test_netrc_can_lie_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "own").write_text("machine files.example login me password pw\n")
    assert found(credentials(tmp_path, NETRC=str(tmp_path / "own")), "https://files.example/") == ("me", "pw")


def test_a_broken_netrc_is_told_without_its_words(tmp_path: Path) -> None:
    (tmp_path / ".netrc").write_text("machine files.example\nlogin me passwort s3cret\n")
    these = credentials(tmp_path)
    assert found(these, "https://files.example/") is None
    assert len(these.problems) == 1
    assert str(tmp_path / ".netrc") in these.problems[0]
    assert "s3cret" not in these.problems[0]


def test_poetrys_auth_file(tmp_path: Path) -> None:
    folder = tmp_path / ".config/pypoetry"
    folder.mkdir(parents=True)
    (folder / "auth.toml").write_text(
        '[http-basic."my.inner-index"]\nusername = "me"\npassword = "pw"\n[pypi-token]\npypi = "token"\n'
    )
    assert found(credentials(tmp_path, INNER)) == ("me", "pw")
    elsewhere = credentials(tmp_path, INNER, POETRY_CONFIG_DIR=str(tmp_path / "none"))
    assert found(elsewhere) is None
    assert found(credentials(tmp_path, INNER, XDG_CONFIG_HOME=str(tmp_path / ".config"))) == ("me", "pw")


def test_pdms_configuration(tmp_path: Path) -> None:
    (tmp_path / ".config/pdm").mkdir(parents=True)
    (tmp_path / ".config/pdm/config.toml").write_text(
        '[pypi.inner]\nurl = "https://index.example/simple"\nusername = "me"\npassword = "pw"\n'
    )
    assert found(credentials(tmp_path, Known(url=INNER.url, name="inner"))) == ("me", "pw")


UV_STORE = """
[[credential]]
service = "https://index.example/inner"
username = "near"
scheme = "basic"
password = "one"
[[credential]]
service = "https://index.example/"
username = "far"
scheme = "basic"
password = "two"
[[credential]]
service = "https://other.example/"
username = "a"
scheme = "basic"
password = "x"
[[credential]]
service = "https://other.example/"
username = "b"
scheme = "basic"
password = "y"
[[credential]]
service = "https://token.example/"
scheme = "bearer"
token = "t0ken"
"""


def test_what_uv_stored_is_for_the_longest_path_of_one_host(tmp_path: Path) -> None:
    path = tmp_path / ".local/share/uv/credentials/credentials.toml"
    path.parent.mkdir(parents=True)
    path.write_text(UV_STORE)
    these = credentials(tmp_path, INNER)
    assert found(these) == ("near", "one")
    assert found(these, "https://index.example/innermost/") == ("far", "two")
    assert found(these, "https://far@index.example/inner/simple/") == ("far", "two")
    assert found(these, "http://index.example/inner/simple/") is None
    assert found(these, "https://index.example:8443/inner/") is None
    # Which of two users is meant, only the address can say.
    assert found(these, "https://other.example/simple/") is None
    assert found(these, "https://b@other.example/simple/") == ("b", "y")
    token = these.login_for("https://token.example/simple/")
    assert token is not None
    assert token.header() == "Bearer t0ken"
    assert "t0ken" not in repr(token)


def test_uvs_store_can_lie_elsewhere_and_may_be_broken(tmp_path: Path) -> None:
    (tmp_path / "credentials.toml").write_text(UV_STORE)
    assert found(credentials(tmp_path, INNER, UV_CREDENTIALS_DIR=str(tmp_path))) == ("near", "one")
    (tmp_path / "credentials.toml").write_text("secret = [")
    these = credentials(tmp_path, INNER, UV_CREDENTIALS_DIR=str(tmp_path))
    assert found(these) is None
    assert these.problems == [f"{tmp_path}/credentials.toml cannot be read: TOMLDecodeError"]


def test_an_upload_token_is_no_login(tmp_path: Path) -> None:
    these = credentials(tmp_path, INNER, POETRY_PYPI_TOKEN_MY_INNER_INDEX="pypi-token")
    assert found(these) is None


def test_a_user_alone_is_a_token(tmp_path: Path) -> None:
    assert found(credentials(tmp_path), "https://t0ken@index.example/simple/") == ("t0ken", "")


def keyring(tmp_path: Path, script: str) -> str:
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "keyring"
    program.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\n{script}\n')
    program.chmod(0o755)
    return f"{folder}:/usr/bin:/bin"


def asked(tmp_path: Path) -> list[str]:
    return (tmp_path / "asked").read_text().splitlines()


def test_the_keyring_is_asked_by_address_then_by_host_and_once(tmp_path: Path) -> None:
    path = keyring(tmp_path, '[ "$2" = index.example ] && echo pw')
    known = Known(url=INNER.url, login=Login(user="me", password=""))
    these = credentials(tmp_path, known, PATH=path)
    assert these.ask_keyring(PAGE) == these.ask_keyring(PAGE) == Login(user="me", password="pw")
    assert asked(tmp_path) == [f"get {INNER.url} me", "get index.example me"]


def test_the_keyring_may_know_the_user_too(tmp_path: Path) -> None:
    path = keyring(tmp_path, "printf 'me\\npw\\n'")
    assert credentials(tmp_path, INNER, PATH=path).ask_keyring(PAGE) == Login(user="me", password="pw")
    assert asked(tmp_path) == [f"--mode creds get {INNER.url}"]


@pytest.mark.parametrize("variable", ["PIP_KEYRING_PROVIDER", "UV_KEYRING_PROVIDER"])
def test_the_keyring_can_be_left_out(tmp_path: Path, variable: str) -> None:
    path = keyring(tmp_path, "printf 'me\\npw\\n'")
    these = credentials(tmp_path, INNER, PATH=path, **{variable: "disabled"})
    assert these.ask_keyring(PAGE) is None
    assert not (tmp_path / "asked").exists()


def test_a_keyring_that_fails_or_is_missing_gives_nothing(tmp_path: Path) -> None:
    assert credentials(tmp_path, INNER, PATH=keyring(tmp_path, "exit 3")).ask_keyring(PAGE) is None
    assert credentials(tmp_path, INNER, PATH=str(tmp_path)).ask_keyring(PAGE) is None


def test_a_user_that_looks_like_an_option_is_not_handed_to_the_keyring(tmp_path: Path) -> None:
    known = Known(url=INNER.url, login=Login(user="--disable", password=""))
    these = credentials(tmp_path, known, PATH=keyring(tmp_path, "echo pw"))
    assert these.ask_keyring(PAGE) is None
    assert not (tmp_path / "asked").exists()


def test_a_password_does_not_show() -> None:
    login = Login(user="me", password="s3cret")
    assert "s3cret" not in repr(login) + str(login) + repr(Known(url="https://a.example/", login=login))


@given(
    st.text(min_size=1).filter(lambda text: text.isprintable()),
    st.text().filter(lambda text: text.isprintable()),
)
def test_what_was_quoted_into_an_address_comes_out_again(user: str, password: str) -> None:
    from urllib.parse import quote

    url = f"https://{quote(user, safe='')}:{quote(password, safe='')}@index.example/simple/"
    assert split_login(url) == ("https://index.example/simple/", Login(user=user, password=password))


def test_names_become_variables() -> None:
    assert env_name("my.inner-index") == "MY_INNER_INDEX"
