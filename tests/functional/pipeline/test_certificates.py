"""A company's authority that only pip is told of: its `cert` counts for downloads and for what uv resolves."""

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from shipwheel.testing.index import FakeIndex
from shipwheel.testing.wheels import make_wheel
from shipwheel.wheel.build import IndexOptions, pin_requirements

from .conftest import Bench

COW = make_wheel("cow", "1.0")
# What this machine trusts already must not be what is shown.
NOTHING = {
    "SSL_CERT_FILE": "",
    "SSL_CERT_DIR": "",
    "PIP_CERT": "",
    "REQUESTS_CA_BUNDLE": "",
    "CURL_CA_BUNDLE": "",
}


@pytest.fixture
def company(tmp_path: Path) -> Iterator[FakeIndex]:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with FakeIndex(context=context) as index:
        index.add(COW)
        yield index


def test_the_certificates_of_pip_conf_are_trusted(bench: Bench, company: FakeIndex, tmp_path: Path) -> None:
    project = bench.project(["cow"], wheels=[COW])
    settings = tmp_path / "pip.conf"
    settings.write_text(f"[global]\ncert = {tmp_path / 'ca.pem'}\n")
    environ = {**NOTHING, "UV_DEFAULT_INDEX": company.url}

    bench.fails("build", project, environ=environ, code="tls", exit_code=5)

    assert bench.build(project, environ={**environ, "PIP_CONFIG_FILE": str(settings)})["digest"]


@pytest.mark.parametrize("variable", ["PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_uv_is_told_of_certificates_that_it_does_not_look_for(
    company: FakeIndex, tmp_path: Path, variable: str
) -> None:
    options = IndexOptions(options=("--default-index", company.url))
    environ = {"HOME": str(tmp_path), variable: str(tmp_path / "ca.pem")}

    system = pin_requirements(["cow"], index=options, environ=environ)

    assert [(pin.name, pin.version) for pin in system.pins] == [("cow", "1.0")]
