"""The HTML report: one page that loads nothing, escapes everything, compares, and works in a browser."""

import json
import re
import subprocess
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import pytest

from helpers.tools import require_tool
from helpers.zoo import CONFIG, check, clean_image, distribution, layer, program, with_files
from shipwheel.errors import HostError, UsageError
from shipwheel.oci.model import Image
from shipwheel.verify.model import PROMISES, Report
from shipwheel.verify.report.compare import compare_reports
from shipwheel.verify.report.data import render_json
from shipwheel.verify.report.html import render_html

EVIL = "<script>alert(1)</script><!-- \" ' & </script>"
# Elements that have no end tag (HTML, 13.1.2, "Void elements").
VOID = {"meta", "link", "img", "br", "hr", "input"}


def bad_image() -> Image:
    more = layer({"bin/sh": program(), f"srv/{EVIL.replace('/', '_')}": b"x" * 300_000}, created_by=EVIL)
    return clean_image(more, config=replace(CONFIG, user=f"ann{EVIL}"))


class Page(HTMLParser):
    """Reads a page; `open` are the elements that were not closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.wrong: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)


def test_the_page_is_whole_and_loads_nothing() -> None:
    page = Page(render_html(check(bad_image())))
    assert (page.open, page.wrong) == ([], [])
    loading = [
        name for _, attributes in page.tags for name in attributes if name in ("src", "srcset", "data")
    ]
    assert loading == []
    links = [value for _, attributes in page.tags for name, value in attributes.items() if name == "href"]
    assert all(link is not None and link.startswith("#") for link in links)
    assert "url(" not in render_html(check(bad_image()))
    assert "@import" not in render_html(check(bad_image()))


def test_what_the_image_says_is_never_markup() -> None:
    text = render_html(check(bad_image()))
    assert text.count("<script") == 2
    assert "alert(1)</script>" not in text
    (data,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    layers = json.loads(data)["maps"]["layers"]["children"]
    assert layers[3]["name"].startswith("3: <script>alert(1)")


def test_every_link_of_the_page_leads_to_a_chapter_of_it() -> None:
    page = Page(render_html(check(bad_image())))
    ids = {attributes.get("id") for _, attributes in page.tags}
    links = {str(attributes["href"])[1:] for tag, attributes in page.tags if tag == "a"}
    assert links == set(PROMISES)
    assert links <= ids


def test_packages_open_into_kinds_and_layers_into_packages() -> None:
    files = distribution("mixed", "1.0", {"mixed.py": b"X = 1\n" * 50, "mixed.bin": b"x" * 900})
    report = check(clean_image(layer({**files, "srv/own": b"y" * 500}), layer({"srv/.wh.own": b""})))
    (data,) = re.findall(
        r'<script type="application/json" id="data">(.*?)</script>', render_html(report), re.DOTALL
    )
    maps = json.loads(data)["maps"]
    (package,) = [node for node in maps["packages"]["children"] if node["name"] == "mixed 1.0"]
    assert {node["name"] for node in package["children"]} == {"data", "Python code"}
    parts = {node["name"]: node["size"] for node in maps["layers"]["children"][3]["children"]}
    assert parts == {"mixed 1.0": package["size"], "seen by nobody": 500}


def test_the_maps_add_up() -> None:
    def added(node: dict[str, object]) -> None:
        children = node.get("children")
        if isinstance(children, list):
            assert sum(child["size"] for child in children) == node["size"], node["name"]
            for child in children:
                added(child)

    text = render_html(check(bad_image()))
    (data,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    maps = json.loads(data)["maps"]
    for node in maps.values():
        added(node)
    report = check(bad_image())
    assert maps["folders"]["size"] == maps["packages"]["size"] == maps["kinds"]["size"] == report.unpacked


@pytest.fixture
def earlier(tmp_path: Path) -> Path:
    image = with_files({**distribution("old", "1.0", {"old.py": b"X = 1\n"}), "bin/sh": program()})
    path = tmp_path / "earlier.json"
    path.write_text(render_json(check(image)))
    return path


def now() -> Report:
    files = {
        **distribution("old", "2.0", {"old.py": b"X = 12\n"}),
        **distribution("new", "1.0", {"new.py": b""}),
    }
    return check(with_files({**files, "usr/bin/curl": program()}))


def test_what_came_went_and_changed_since_an_earlier_report_is_told(earlier: Path) -> None:
    comparison = compare_reports(earlier, now())
    assert comparison.appeared == ["downloader"]
    assert comparison.gone == ["shell"]
    assert {(change.name, change.before, change.after) for change in comparison.packages} == {
        ("new", None, "1.0"),
        ("old", "1.0", "2.0"),
    }
    assert comparison.grown == now().size - json.loads(earlier.read_text())["size"]
    text = render_html(now(), comparison)
    assert "Since the earlier report" in text
    assert '<span class="tag note">downloader</span> note' in text
    assert '<span class="tag good">shell</span>' in text


@pytest.mark.parametrize(
    "text", ["", "[]", '{"schema": "other/1"}', '{"schema": "shipwheel.check/1", "findings": 1}']
)
def test_what_is_no_report_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "report.json").write_text(text)
    with pytest.raises(UsageError) as error:
        compare_reports(tmp_path / "report.json", now())
    assert error.value.code == "bad-report"
    with pytest.raises(HostError):
        compare_reports(tmp_path / "none.json", now())


@pytest.mark.conformance
@pytest.mark.parametrize("scheme", ["0", "1"], ids=["dark", "light"])
def test_a_browser_draws_the_map_and_has_nothing_to_complain_of(tmp_path: Path, scheme: str) -> None:
    chromium = require_tool("chromium")
    page = tmp_path / "report.html"
    page.write_text(render_html(check(bad_image())))
    words = ["--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    words += [
        f"--blink-settings=preferredColorScheme={scheme}",
        "--window-size=1000,900",
        "--enable-logging=stderr",
    ]
    done = subprocess.run(
        [chromium, *words, "--dump-dom", page.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    drawn = Page(done.stdout)
    tiles = [attributes for tag, attributes in drawn.tags if tag == "button" and "aria-label" in attributes]
    assert any((tile["aria-label"] or "").startswith("friendly 1.2.3, ") for tile in tiles)
    assert "CONSOLE" not in done.stderr
    shot = tmp_path / "shot.png"
    subprocess.run(
        [chromium, *words, f"--screenshot={shot}", page.as_uri()],
        capture_output=True,
        timeout=120,
        check=True,
    )
    assert shot.stat().st_size > 20_000


# Opens the largest tile, goes into it by keyboard, and back; what was told on the way becomes the title.
WALK = """<script>
const told = [], said = document.getElementById("here"), tiles = () => [...document.querySelectorAll("#map button")];
told.push(said.textContent);
tiles()[0].click();
told.push(said.textContent, document.activeElement === tiles()[0]);
document.activeElement.dispatchEvent(new KeyboardEvent("keydown", {key: "Escape", bubbles: true}));
told.push(said.textContent);
const view = document.getElementById("view");
view.value = "layers";
view.dispatchEvent(new Event("change"));
tiles().find(tile => tile.title.startsWith("3: ")).click();
document.title = JSON.stringify([...told, tiles().map(tile => tile.title)]);
</script>"""


@pytest.mark.conformance
def test_the_map_is_walked_by_mouse_and_keyboard(tmp_path: Path) -> None:
    chromium = require_tool("chromium")
    files = distribution("mixed", "1.0", {"mixed.py": b"X = 1\n" * 5000, "mixed.bin": b"x" * 90_000})
    text = render_html(check(clean_image(layer({**files, "srv/own": b"y" * 500}))))
    page = tmp_path / "report.html"
    page.write_text(text.replace("</body>", f"{WALK}</body>"))
    words = ["--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    done = subprocess.run(
        [chromium, *words, "--window-size=1000,900", "--dump-dom", page.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    (title,) = re.findall(r"<title>(.*?)</title>", done.stdout)
    before, within, has_focus, after, parts = json.loads(unescape(title))
    assert before == after
    assert within.startswith("all packages \u203a mixed 1.0: ")
    assert before.startswith("all packages: ")
    assert has_focus is True
    assert [part.partition(",")[0] for part in parts] == ["mixed 1.0", "in no package"]
