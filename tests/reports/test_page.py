"""The page as a document: safe, self-contained, reproducible, accessible."""

import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from reports.page import render
from reports.run import read_run
from reviewmill import main
from tests.reports.document import Element, parse
from tests.reports.runs import make_run

HOSTILE = """<script>alert("1")</script>&amp;'"><img src=x onerror=alert(1)>$body ${title} ％"""


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    return render(read_run(make_run(tmp_path_factory.mktemp("page") / "run")))


@pytest.fixture(scope="module")
def page(text: str) -> Element:
    return parse(text)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page of a run whose every text is an attack."""
    name = HOSTILE.replace("/", "∕")  # the only character that a folder cannot have
    failure = json.dumps({"kind": "failure", "reason": HOSTILE}) + "\n"
    folder = make_run(tmp_path_factory.mktemp("hostile") / name, classes=[HOSTILE, "b<i>"],
                      extra=failure)
    summary = json.loads((folder / "summary.json").read_bytes())
    summary["environment"]["cpu"] = HOSTILE
    summary["store"]["path"] = HOSTILE
    summary["store"]["manifest"]["records"]["bad"][HOSTILE] = 3
    summary["store"]["manifest"]["recipe"][HOSTILE] = [HOSTILE]
    summary["hosts"] = [HOSTILE, "b"]
    (folder / "summary.json").write_text(json.dumps(summary))
    (folder / "config.yaml").write_text(json.dumps({"store": HOSTILE, HOSTILE: HOSTILE}))
    return render(read_run(folder))


def test_texts_of_users_never_become_markup(hostile: str) -> None:
    page = parse(hostile)
    assert {e.tag for e in page} & {"script", "img", "i<"} == set()
    assert [e for e in page if any(name.startswith("on") for name in e.attributes)] == []
    assert HOSTILE in page.text


def test_texts_of_users_stand_whole_in_title_classes_and_drawings(hostile: str) -> None:
    page = parse(hostile)
    [title] = page.all("title")
    assert HOSTILE.replace("/", "∕") in title.text
    assert sum(HOSTILE in cell.text for cell in page.all("th")) >= 3
    [labels] = [svg for svg in page.all("svg")
                if svg.attributes["aria-label"].startswith("Labels in each split")]
    assert labels.all("text")


def test_nothing_is_loaded_from_anywhere(text: str, page: Element) -> None:
    assert {e.tag for e in page} & {"script", "link", "img", "iframe", "object", "embed", "video",
                                    "base", "form", "image"} == set()
    addresses = [value for e in page for name, value in e.attributes.items()
                 if name in ("src", "href", "xlink:href", "action", "data", "srcset")]
    assert addresses
    assert [address for address in addresses if not address.startswith("#")] == []
    assert re.findall(r"url\((?!#)", text) == []
    assert "@import" not in text
    assert "://" not in re.sub(r'xmlns(:\w+)?="[^"]*"', "", text)


def test_the_browser_is_told_to_load_nothing_and_run_nothing(page: Element) -> None:
    [policy] = [e.attributes["content"] for e in page.all("meta")
                if e.attributes.get("http-equiv") == "Content-Security-Policy"]
    assert policy == "default-src 'none'; style-src 'unsafe-inline'"


@pytest.mark.parametrize("which", ["text", "hostile"])
def test_every_drawing_is_well_formed_xml(which: str, request: pytest.FixtureRequest) -> None:
    drawings = re.findall(r"<svg.*?</svg>", request.getfixturevalue(which), flags=re.S)
    assert len(drawings) >= 9
    for drawing in drawings:
        tree = ElementTree.fromstring(drawing)
        assert re.fullmatch(r"0 0 [\d.]+ [\d.]+", tree.attrib["viewBox"])


def test_every_link_inside_of_the_page_has_its_target(text: str, page: Element) -> None:
    ids = [e.attributes["id"] for e in page if "id" in e.attributes]
    assert len(ids) == len(set(ids))
    used = {e.attributes["href"][1:] for e in page if "href" in e.attributes}
    used |= set(re.findall(r"url\(#([^)]+)\)", text))
    assert used <= set(ids)


def test_drawings_take_colours_and_font_from_the_page(page: Element) -> None:
    styles = [e.attributes.get("style", "") for svg in page.all("svg") for e in svg]
    assert any("var(--s0)" in style for style in styles)
    assert [style for style in styles if "#" in re.sub(r"url\(#[^)]*\)", "", style)] == []
    assert [style for style in styles if "font-family" in style] == []


def test_every_colour_that_is_used_is_defined(text: str) -> None:
    defined = re.search(r":root \{(.*?)\}", text, flags=re.S)
    assert defined
    names = set(re.findall(r"(--[\w]+):", defined[1]))
    assert set(re.findall(r"var\((--\w+)\)", text)) - {"--part"} <= names


def test_the_same_run_gives_the_same_bytes_in_any_process(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run")
    pages = []
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-m", "reports", str(folder)], capture_output=True, text=True,
            timeout=120, env={**os.environ, "PYTHONHASHSEED": seed},
        )
        assert done.returncode == 0, done.stderr
        pages.append((folder / "report.html").read_bytes())
    assert pages[0] == pages[1]


def test_the_page_stays_small_however_long_the_run_is(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", epochs=40, per_epoch=250)
    assert len(render(read_run(folder))) < 400_000


def test_the_page_has_language_title_and_a_heading_for_every_part(page: Element) -> None:
    [html] = page.all("html")
    assert html.attributes["lang"] == "en"
    assert page.all("title")[0].text == "run · reviewmill"
    assert len(page.all("h1")) == 1
    for part in page.all("section"):
        assert next(heading.tag for heading in part if heading.tag in ("h2", "h3")) == "h2"
    assert "width=device-width" in str([e.attributes for e in page.all("meta")])


def test_every_drawing_has_words_for_those_who_cannot_see_it(page: Element) -> None:
    for drawing in page.all("svg"):
        assert drawing.attributes["role"] == "img"
        assert len(drawing.attributes["aria-label"]) > 10


def test_every_table_names_its_rows_and_columns(page: Element) -> None:
    for table in page.all("table"):
        assert {cell.attributes.get("scope") for cell in table.all("th")} == {"row", "col"}


def channels(colour: str) -> list[float]:
    return [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]


def luminance(colour: str) -> float:
    """Relative luminance, WCAG 2.2."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels(colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """Contrast ratio, WCAG 2.2: 1 to 21."""
    light, dark = sorted([luminance(one), luminance(other)], reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", [0, 1, 2], ids=["light", "dark", "print"])
def test_texts_and_lines_stand_out_from_what_is_behind_them(text: str, scheme: int) -> None:
    blocks = re.findall(r":root \{(.*?)\}", text, flags=re.S)
    assert len(blocks) == 3
    colours = dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", blocks[scheme]))
    for ground in ("page", "surface"):
        for ink in ("ink", "muted", "accent", "bad", "warn", "good", "s0"):
            assert contrast(colours[ink], colours[ground]) >= 4.5, (ink, ground)
    for series in range(8):
        assert contrast(colours[f"s{series}"], colours["surface"]) >= 3, series


def refused(*arguments: str, capsys: pytest.CaptureFixture[str]) -> str:
    """The one line with which the command refuses."""
    assert main(["report", *arguments]) == 2
    [line] = capsys.readouterr().err.splitlines()
    return line


def test_the_command_prints_the_path_of_the_page_last(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_run(tmp_path / "run", epochs=1)
    assert main(["report", str(folder)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == str(folder / "report.html")
    assert (folder / "report.html").read_text("utf-8") == render(read_run(folder))


def test_python_m_reports_refuses_with_one_line_and_status_2(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "reports", str(tmp_path / "none")],
                          capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [
        f"reviewmill report: {tmp_path / 'none'} is not a run: there is no such folder"]


def test_a_folder_that_is_not_there_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "there is no such folder" in refused(str(tmp_path / "none"), capsys=capsys)
    (tmp_path / "file").touch()
    assert "file is not a run: it is a file" in refused(str(tmp_path / "file"), capsys=capsys)


def test_a_folder_that_is_no_run_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "neither summary.json nor metrics.jsonl" in refused(str(tmp_path), capsys=capsys)
    assert list(tmp_path.iterdir()) == []


def test_a_run_of_another_format_is_refused_with_both_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "summary.json").write_text('{"format": "reviewmill-run/9"}')
    line = refused(str(tmp_path), capsys=capsys)
    assert "reviewmill-run/9" in line
    assert "reviewmill-run/1" in line


@pytest.mark.parametrize("name", ["summary.json", "config.yaml"])
@pytest.mark.parametrize("content", [b"{", b"[1]", b"\xff\xfe\x00"])
def test_a_damaged_file_is_refused_by_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, content: bytes
) -> None:
    folder = make_run(tmp_path / "run", epochs=1)
    (folder / name).write_bytes(content)
    assert f"{folder / name} cannot be read" in refused(str(folder), capsys=capsys)


def test_a_place_that_cannot_be_written_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_run(tmp_path / "run", epochs=1)
    (folder / "report.html").mkdir()
    assert "report.html cannot be written" in refused(str(folder), capsys=capsys)
    assert sorted(path.name for path in folder.iterdir()) == [
        "config.yaml", "metrics.jsonl", "report.html", "summary.json"]


def test_the_loss_scale_of_the_latest_epoch_is_there(tmp_path: Path, page: Element) -> None:
    run = read_run(make_run(tmp_path / "run"))
    for number in (0, 1):
        run.epochs[number]["loss_scale"] = {
            "value": 2.0**15 / (number + 1), "finite": 7, "overflows": number}
    assert "Epoch 2: loss scale 16,384, 1 overflows so far." in parse(render(run)).text
    assert "loss scale" not in page.text
