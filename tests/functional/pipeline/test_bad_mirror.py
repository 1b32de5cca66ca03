"""What a Debian mirror may get wrong is told by the program, and leaves no shipwheel.lock behind."""

import pytest

from helpers.debian import Archive
from helpers.servers import Received, Reply, serve

from .conftest import Bench

SIGNED_BY_A_STRANGER = Archive(key="stranger").inrelease()


@pytest.mark.parametrize(
    ("reply", "code", "exit_code"),
    [
        (Reply(body=Archive().release_text().encode()), "index-unsigned", 6),
        (Reply(body=SIGNED_BY_A_STRANGER), "index-wrong-key", 6),
        (Reply(body=b"<html>Sign in to the hotel's network</html>"), "index-unsigned", 6),
        (Reply(body=b""), "index-unsigned", 6),
    ],
    ids=["unsigned", "signed by a stranger", "a web page", "empty"],
)
def test_an_index_that_debian_did_not_sign_is_refused(
    bench: Bench, reply: Reply, code: str, exit_code: int
) -> None:
    project = bench.project(base=False)
    with serve(lambda _request: reply) as mirror:
        environ = {"SHIPWHEEL_DEBIAN_MIRROR": mirror.url}

        message = bench.fails("build", project, code=code, exit_code=exit_code, environ=environ)

    assert f"{mirror.url}/dists/trixie/InRelease" in message
    assert not (project / "shipwheel.lock").exists()


def test_a_mirror_without_the_suite_or_that_is_down_is_named(bench: Bench) -> None:
    project = bench.project(base=False)

    def absent(_request: Received) -> Reply:
        return Reply(status=404)

    with serve(absent) as mirror:
        done = bench.run("lock", project, environ={"SHIPWHEEL_DEBIAN_MIRROR": mirror.url})
        url = mirror.url
    assert done.returncode == 5
    assert url in done.stderr
    # Nobody listens there any more.
    done = bench.run("lock", project, environ={"SHIPWHEEL_DEBIAN_MIRROR": url})

    assert done.returncode == 5
    assert url in done.stderr
    assert "hint:" in done.stderr
    assert not (project / "shipwheel.lock").exists()
