"""Where packages are looked for follows from pip's, uv's, PDM's and Poetry's settings, in their own order."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from shipwheel.errors import HostError
from shipwheel.wheel.indexes import Index, Indexes, default_url, read_indexes, same_index


class Machine:
    """A home, an /etc and a project in a folder."""

    def __init__(self, root: Path) -> None:
        self.root, self.home, self.etc, self.venv = (
            root / "project",
            root / "home",
            root / "etc",
            root / "venv",
        )
        for folder in (self.root, self.home, self.etc, self.venv):
            folder.mkdir()

    def write(self, path: Path, text: str) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def read(self, pyproject: str = "", **environ: str) -> Indexes:
        return read_indexes(
            environ=environ,
            home=self.home,
            root=self.root,
            project=tomllib.loads(pyproject),
            prefix=self.venv,
            etc=self.etc,
        )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def urls(indexes: Any) -> list[str]:
    return [index.url for index in indexes]


def test_a_bare_machine_has_the_default_index_alone(machine: Machine) -> None:
    assert machine.read() == Indexes()
    assert urls(machine.read().places(None)) == [default_url()]


def test_pips_variables(machine: Machine) -> None:
    found = machine.read(
        PIP_INDEX_URL="https://mirror.example/simple",
        PIP_EXTRA_INDEX_URL="https://one.example/simple/ https://two.example/simple",
        PIP_FIND_LINKS="links https://files.example/w.html",
    )
    assert urls(found.mirrors) == ["https://mirror.example/simple/"]
    assert urls(found.extra) == [
        "https://one.example/simple/",
        "https://two.example/simple/",
        (machine.root / "links").as_uri(),
        "https://files.example/w.html",
    ]
    assert [index.kind for index in found.extra] == ["simple", "simple", "find-links", "find-links"]
    assert found.mirrors[0].configured == "PIP_INDEX_URL"


def test_pips_files_in_their_order(machine: Machine) -> None:
    def conf(name: str) -> str:
        return f"[global]\nindex-url = https://{name}.example/simple\n"

    places = [
        (machine.etc / "xdg/pip/pip.conf", "xdg"),
        (machine.etc / "pip.conf", "etc"),
        (machine.home / ".pip/pip.conf", "legacy"),
        (machine.home / ".config/pip/pip.conf", "user"),
        (machine.venv / "pip.conf", "site"),
    ]
    for path, name in places:
        machine.write(path, conf(name))
        assert urls(machine.read().mirrors) == [f"https://{name}.example/simple/"]
    named = str(machine.write(machine.root / "own.conf", conf("named")))
    assert urls(machine.read(PIP_CONFIG_FILE=named).mirrors) == ["https://named.example/simple/"]
    found = machine.read(PIP_CONFIG_FILE=named, PIP_INDEX_URL="https://variable.example/simple/")
    assert urls(found.mirrors) == ["https://variable.example/simple/"]
    assert machine.read(PIP_CONFIG_FILE="/dev/null") == Indexes()


def test_pips_install_section_beats_global_of_a_later_file(machine: Machine) -> None:
    machine.write(machine.etc / "pip.conf", "[install]\nindex_url = https://install.example/simple\n")
    machine.write(machine.home / ".config/pip/pip.conf", "[global]\nindex-url = https://g.example/simple\n")
    assert urls(machine.read().mirrors) == ["https://install.example/simple/"]


def test_pips_lists_may_stand_on_lines_of_their_own(machine: Machine) -> None:
    machine.write(
        machine.etc / "pip.conf",
        "[global]\nextra-index-url =\n    https://one.example/simple\n    https://two.example/simple\n",
    )
    assert urls(machine.read().extra) == ["https://one.example/simple/", "https://two.example/simple/"]


@pytest.mark.parametrize("text", ["1", "true", "Yes", "on"])
def test_pips_no_index_leaves_find_links_alone(machine: Machine, text: str) -> None:
    found = machine.read(
        PIP_NO_INDEX=text, PIP_FIND_LINKS="links", PIP_EXTRA_INDEX_URL="https://one.example/simple"
    )
    assert urls(found.places(None)) == [(machine.root / "links").as_uri()]
    assert found.overrides("https://index.example/simple/")


def test_uvs_variables(machine: Machine) -> None:
    found = machine.read(
        UV_DEFAULT_INDEX="https://mirror.example/simple",
        UV_INDEX="inner=https://one.example/simple https://two.example/simple",
        UV_EXTRA_INDEX_URL="https://three.example/simple",
        UV_FIND_LINKS="links,https://files.example/",
    )
    assert urls(found.mirrors) == ["https://mirror.example/simple/"]
    assert [(index.name, index.url) for index in found.extra[:3]] == [
        ("inner", "https://one.example/simple/"),
        (None, "https://two.example/simple/"),
        (None, "https://three.example/simple/"),
    ]
    assert urls(found.extra[3:]) == [(machine.root / "links").as_uri(), "https://files.example/"]


def test_uvs_files(machine: Machine) -> None:
    machine.write(
        machine.home / ".config/uv/uv.toml",
        """
        find-links = ["wheels"]
        [[index]]
        name = "main"
        url = "https://mirror.example/simple"
        default = true
        [[index]]
        name = "inner"
        url = "https://inner.example/simple"
        [[index]]
        name = "flat"
        url = "flat"
        format = "flat"
        [[index]]
        name = "pinned"
        url = "https://pinned.example/simple"
        explicit = true
        """,
    )
    found = machine.read()
    folder = machine.home / ".config/uv"
    assert urls(found.mirrors) == ["https://mirror.example/simple/"]
    assert urls(found.extra) == [
        "https://inner.example/simple/",
        (folder / "flat").as_uri(),
        (folder / "wheels").as_uri(),
    ]
    assert urls(found.named) == ["https://pinned.example/simple/"]
    assert machine.read(UV_NO_CONFIG="1") == Indexes()
    other = machine.write(machine.root / "other.toml", 'index-url = "https://other.example/simple"')
    assert urls(machine.read(UV_CONFIG_FILE=str(other)).mirrors) == ["https://other.example/simple/"]


def test_pdms_default_index_with_its_user(machine: Machine) -> None:
    machine.write(
        machine.home / ".config/pdm/config.toml",
        '[pypi]\nurl = "https://mirror.example/simple"\nusername = "me"\npassword = "pw"\n',
    )
    (mirror,) = machine.read().mirrors
    assert mirror.url == "https://mirror.example/simple/"
    assert mirror.login is not None
    assert (mirror.login.user, mirror.login.password) == ("me", "pw")
    found = machine.read(PDM_PYPI_URL="https://variable.example/simple")
    assert urls(found.mirrors) == ["https://variable.example/simple/"]


def test_pdms_stored_indexes_and_the_logins_in_its_files(machine: Machine) -> None:
    machine.write(
        machine.home / ".config/pdm/config.toml",
        """
        [pypi]
        url = "https://home.example/simple"
        [pypi.stored]
        url = "https://stored.example/simple"
        username = "${WHO}"
        password = "home"
        [pypi.private]
        username = "me"
        password = "secret"
        """,
    )
    machine.write(machine.root / "pdm.toml", '[pypi]\nurl = "https://project.example/simple"\n')
    machine.write(machine.root / ".pdm.toml", '[pypi.stored]\npassword = "project"\n')
    sources = """
        [[tool.pdm.source]]
        name = "private"
        url = "https://private.example/simple"
        """
    found = machine.read(sources, WHO="anna")
    assert urls(found.mirrors) == ["https://project.example/simple/"]
    # pdm.lock does not say which source a package is of: all of them are asked.
    assert urls(found.extra) == ["https://private.example/simple/", "https://stored.example/simple/"]
    assert [index.login and (index.login.user, index.login.password) for index in found.extra] == [
        ("me", "secret"),
        ("anna", "project"),
    ]
    ignoring = machine.read(sources, PDM_IGNORE_STORED_INDEX="1")
    assert urls(ignoring.extra) == ["https://private.example/simple/"]


def test_pdms_source_named_pypi_stands_for_the_machines_default(machine: Machine) -> None:
    source = '[[tool.pdm.source]]\nname = "pypi"\nurl = "https://project.example/simple"\n'
    found = machine.read(source, PIP_INDEX_URL="https://machine.example/simple")
    assert urls(found.mirrors) == ["https://project.example/simple/"]
    source = source.replace("https://project.example/simple", default_url())
    found = machine.read(source, PIP_INDEX_URL="https://machine.example/simple")
    assert urls(found.mirrors) == ["https://machine.example/simple/"]


def test_uvs_older_settings_bring_their_logins(machine: Machine) -> None:
    found = machine.read(
        """
        [tool.uv]
        index-url = "https://me:secret@one.example/simple"
        extra-index-url = ["https://two.example/simple"]
        find-links = ["links"]
        """
    )
    assert urls(found.named) == [
        "https://one.example/simple/",
        "https://two.example/simple/",
        (machine.root / "links").as_uri(),
    ]
    (place,) = found.places("https://one.example/simple")
    assert place.login is not None
    assert place.login.user == "me"


def test_a_pipfiles_first_source_is_the_default(machine: Machine) -> None:
    machine.write(
        machine.root / "Pipfile",
        '[[source]]\nname = "a"\nurl = "https://$WHO:${PW}@a.example/simple"\n'
        '[[source]]\nname = "b"\nurl = "https://b.example/simple"\n'.replace("$WHO", "${WHO}"),
    )
    assert urls(machine.read().mirrors) == []
    machine.write(machine.root / "Pipfile.lock", "{}")
    found = machine.read(WHO="me", PW="p%40ss")
    assert urls(found.mirrors) == ["https://a.example/simple/"]
    assert urls(found.named) == ["https://b.example/simple/"]
    assert found.mirrors[0].login is not None
    assert found.mirrors[0].login.password == "p@ss"


def test_what_a_requirements_file_says_counts_more_than_pips_settings(machine: Machine) -> None:
    path = machine.write(
        machine.root / "locks/requirements.txt",
        "-i https://${WHO}:${PW}@file.example/simple  # the default\n"
        "--extra-index-url \\\n  https://extra.example/simple\n-flinks\n-r other.txt\n",
    )
    machine.write(
        path.with_name("other.txt"), "--find-links=https://page.example/links\n-r requirements.txt\n"
    )
    environ = {"PIP_INDEX_URL": "https://machine.example/simple", "WHO": "me", "PW": "secret"}
    found = read_indexes(
        environ=environ, home=machine.home, root=machine.root, etc=machine.etc, requirements=path
    )
    assert urls(found.mirrors) == ["https://file.example/simple/"]
    assert found.mirrors[0].login is not None
    assert found.mirrors[0].login.user == "me"
    assert urls(found.extra) == [
        "https://extra.example/simple/",
        (path.parent / "links").as_uri(),
        "https://page.example/links",
    ]
    assert not found.no_index
    path.write_text("--no-index\n")
    assert read_indexes(
        environ=environ, home=machine.home, root=machine.root, etc=machine.etc, requirements=path
    ).no_index


def test_poetrys_mirror_plugin(machine: Machine) -> None:
    found = machine.read(POETRY_PYPI_MIRROR_URL="https://mirror.example/simple")
    assert urls(found.mirrors) == ["https://mirror.example/simple/"]


def test_a_projects_sources_serve_only_what_is_locked_to_them(machine: Machine) -> None:
    found = machine.read(
        """
        [[tool.poetry.source]]
        name = "poetry-one"
        url = "https://poetry.example/simple"
        priority = "explicit"
        [[tool.poetry.source]]
        name = "PyPI"
        [[tool.uv.index]]
        name = "uv-one"
        url = "https://uv.example/simple/"
        [[tool.pdm.source]]
        name = "pdm-one"
        url = "https://${PDM_USER}:${PDM_PW}@pdm.example/simple"
        include_packages = ["own-*"]
        """,
        PDM_USER="me",
        PDM_PW="p%40ss",
    )
    assert [(index.name, index.url) for index in found.named] == [
        ("poetry-one", "https://poetry.example/simple/"),
        ("uv-one", "https://uv.example/simple/"),
        ("pdm-one", "https://pdm.example/simple/"),
    ]
    login = found.named[2].login
    assert login is not None
    assert (login.user, login.password) == ("me", "p@ss")
    assert urls(found.places(None)) == [default_url()]
    assert found.places("https://UV.example:443/simple")[0].name == "uv-one"


def test_folders_come_first_then_the_mirrors_then_other_indexes() -> None:
    extra = (Index(url="https://extra.example/simple/"), Index(url="file:///links", kind="find-links"))
    found = Indexes(mirrors=(Index(url="https://mirror.example/simple/"),), extra=extra)
    expected = ["file:///links", "https://mirror.example/simple/", "https://extra.example/simple/"]
    assert urls(found.places(None)) == urls(found.places(default_url())) == expected
    assert urls(found.places("https://private.example/simple")) == [
        "file:///links",
        "https://private.example/simple/",
        "https://extra.example/simple/",
    ]
    assert found.overrides(None)
    assert not found.overrides("https://private.example/simple")
    assert not Indexes().overrides(None)


def test_credentials_are_taken_out_of_addresses(machine: Machine) -> None:
    (mirror,) = machine.read(PIP_INDEX_URL="https://me:s3cret@mirror.example/simple").mirrors
    assert mirror.url == "https://mirror.example/simple/"
    assert mirror.login is not None
    assert mirror.login.password == "s3cret"
    assert "s3cret" not in repr(mirror) + str(mirror)


def test_the_same_address_twice_is_asked_once(machine: Machine) -> None:
    found = machine.read(
        UV_DEFAULT_INDEX="inner=https://mirror.example/simple",
        PIP_INDEX_URL="https://me:pw@mirror.example/simple/",
    )
    (mirror,) = found.mirrors
    assert mirror.name == "inner"
    assert mirror.login is not None


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [
        ("https://a.example/simple", "https://a.example/simple/", True),
        ("https://me:pw@A.example:443/simple/", "https://a.example/simple/", True),
        ("http://a.example/simple/", "https://a.example/simple/", False),
        ("https://a.example/one/", "https://a.example/two/", False),
    ],
)
def test_two_addresses_are_one_index(left: str, right: str, same: bool) -> None:
    assert same_index(left, right) is same


def test_every_file_that_cannot_be_read_is_named(machine: Machine) -> None:
    machine.write(machine.etc / "pip.conf", "[global]\nthis is no setting\n")
    machine.write(machine.home / ".config/uv/uv.toml", "index = [\n")
    with pytest.raises(HostError) as caught:
        machine.read()
    assert {problem.code for problem in caught.value.problems} == {"bad-index-config"}
    assert f"{machine.etc}/pip.conf" in str(caught.value)
    assert str(machine.home / ".config/uv/uv.toml") in str(caught.value)


@pytest.mark.parametrize("url", ["ftp://me:s3cret@index.example/simple", "https://[oops", "https://a b/"])
def test_an_address_that_cannot_be_asked_is_refused_without_its_password(machine: Machine, url: str) -> None:
    machine.write(machine.home / ".config/uv/uv.toml", f'index-url = "{url}"')
    with pytest.raises(HostError, match="bad-index-config") as caught:
        machine.read()
    assert "s3cret" not in str(caught.value)
