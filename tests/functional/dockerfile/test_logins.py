"""A login that stands in a file of this machine reaches the build: nobody has to write it into variables."""

from pathlib import Path

import pytest

from helpers.road import PASSWORD, USER, Road
from shipwheel.testing.wheels import make_wheel

pytestmark = [pytest.mark.engine, pytest.mark.network, pytest.mark.xdist_group("engine")]

# Set to nothing, which is as good as not set: what the other tests give is in the way here.
NO_VARIABLES = {"POETRY_HTTP_BASIC_TESTING_USERNAME": "", "POETRY_HTTP_BASIC_TESTING_PASSWORD": ""}


def write_netrc(folder: Path) -> dict[str, str]:
    path = folder / "netrc"
    path.write_text(f"machine 127.0.0.1 login {USER} password {PASSWORD}\n")
    path.chmod(0o600)
    return {"NETRC": str(path)}


@pytest.mark.parametrize("file", ["auth.toml", "netrc"])
def test_poetrys_source_with_the_login_of_a_file(road: Road, tmp_path: Path, file: str) -> None:
    root = road.project(f"login-{file.partition('.')[0]}")
    environ = {**NO_VARIABLES, "POETRY_CONFIG_DIR": str(tmp_path)}
    words = ("build", "--quiet", "--engine", "docker", "--frozen", root, "--", "--network=host")
    if file == "netrc":
        environ |= write_netrc(tmp_path)
    else:
        (tmp_path / file).write_text(f'[http-basic.testing]\nusername = "{USER}"\npassword = "{PASSWORD}"\n')

    done = road.run(*words, environ=environ)

    assert done.returncode == 0, done.stderr[-4000:]
    image = done.stdout.strip()
    assert road.engine.docker("run", "--rm", "--network=none", image).startswith("42 ")
    assert PASSWORD not in road.engine.docker("history", "--no-trunc", image)


def test_an_index_of_pip_conf_with_the_login_of_netrc(road: Road, tmp_path: Path) -> None:
    # Another one in each run: the step that downloads it is in no cache.
    made = road.index.add(make_wheel("pieces", "1.0", {"pieces/__init__.py": f"NAME = '{road.token}'\n"}))
    name = f"by-pip-conf-{road.token}"
    root = road.folder / "by-pip-conf"
    root.mkdir()
    (root / "pyproject.toml").write_text(
        f'[project]\nname = "{name}"\nversion = "1"\nrequires-python = ">=3.9"\ndependencies = ["pieces"]\n'
        '[tool.shipwheel]\nentrypoint = ["python", "-c", "import pieces; print(pieces.NAME)"]\n'
        f'[tool.shipwheel.base]\nimage = "{road.base}"\n'
    )
    (root / "requirements.txt").write_text(f"pieces==1.0 --hash=sha256:{made.sha256}\n")
    settings = tmp_path / "pip.conf"
    settings.write_text(f"[global]\nextra-index-url = {road.index.url}\n")
    environ = {**NO_VARIABLES, **write_netrc(tmp_path), "PIP_CONFIG_FILE": str(settings)}

    done = road.run("build", "--quiet", "--engine", "docker", root, "--", "--network=host", environ=environ)

    assert done.returncode == 0, done.stderr[-4000:]
    assert road.engine.docker("run", "--rm", "--network=none", done.stdout.strip()) == f"{road.token}\n"
