"""Files on the page: dropped or chosen, scored, shown, and given back, in a real browser."""

import base64
import csv
import io
import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from scoring import load
from tests.reports.browser import Tab, browser_tab
from tests.scoring.bundles import TEXTS, make_bundle
from tests.scoring.service.browsing import (
    choose_file,
    click,
    download,
    drop_file,
    names_by_role,
    press,
    type_text,
    visit,
    wait_for,
)
from tests.scoring.service.server import Server, serving

ADDED = ["label", "probability_negative", "probability_positive", "n_words", "n_cut"]
MARKUP = "<img src=x onerror=\"document.title='gone'\"> good tea"
STATE = "document.getElementById('file-state').textContent"
ERROR = "document.getElementById('error').textContent"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("models")
    return [make_bundle(folder / name, name)[0] for name in ("lstm", "bag")]


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    with browser_tab(tmp_path_factory.mktemp("browser")) as opened:
        yield opened


@pytest.fixture(scope="module")
def server(models: list[Path]) -> Iterator[Server]:
    with serving(models[0]) as started:
        yield started


def wait_until_scored(tab: Tab) -> None:
    wait_for(tab, f"{STATE}.includes(' scored in ') && document.getElementById('working').hidden")


def probabilities(path: Path, texts: list[str]) -> list[float]:
    return load(str(path))(texts).probabilities[:, 1].tolist()


def test_a_csv_file_comes_back_with_its_rows_as_they_were(
    tab: Tab, server: Server, models: list[Path], tmp_path: Path
) -> None:
    rows = ['1;"Good; ""tea""\n and a cup";x', "2;It broke again.;5\" wide", "3;;", "4",
            f"5;{MARKUP};y"]
    made = tmp_path / "a b.csv"
    made.write_bytes("\r\n".join(["id;review;note", *rows]).encode("utf-8-sig"))
    visit(tab, server)
    choose_file(tab, made)
    wait_until_scored(tab)
    found = download(tab, tmp_path / "got", "a b.scored.csv")
    assert found.startswith(";".join(["id;review;note", *ADDED]) + "\n")
    assert all(row in found for row in rows)
    read = [*csv.DictReader(io.StringIO(found), delimiter=";")]
    texts = ['Good; "tea"\n and a cup', "It broke again.", None, None, MARKUP]
    assert [row["id"] for row in read] == ["1", "2", "3", "4", "5"]
    scored = [(row, text) for row, text in zip(read, texts, strict=True) if text]
    wanted = probabilities(models[0], [text for _, text in scored])
    assert [float(row["probability_positive"]) for row, _ in scored] == pytest.approx(
        wanted, abs=1e-5)
    assert [row["label"] for row, _ in scored] == [
        "positive" if value > 0.5 else "negative" for value in wanted]
    assert [row["label"] for row in read[2:4]] == ["", ""]
    assert tab.ask(STATE).startswith("3 reviews of a b.csv scored in")
    assert "2 rows without a text" in tab.ask(STATE)
    assert tab.ask("document.querySelectorAll('#scored img').length") == 0
    assert tab.ask("document.title") == "reviewmill: try the model"


def test_dropped_json_lines_keep_their_values(
    tab: Tab, server: Server, models: list[Path], tmp_path: Path
) -> None:
    lines = ['{"id": 12345678901234567890, "text": "good tea", "label": 3}', "no JSON", "[1]",
             '{"__proto__": {"a": 1}, "text": "it broke \\ud800"}', "{}", '{"text": null}']
    made = tmp_path / "reviews.jsonl"
    made.write_text("\n".join(lines) + "\n\n")
    visit(tab, server)
    drop_file(tab, made)
    wait_until_scored(tab)
    found = download(tab, tmp_path / "got", "reviews.scored.jsonl").splitlines()
    assert len(found) == len(lines)
    assert found[1:3] == lines[1:3]
    assert found[0].startswith(lines[0][:-1] + ",")
    names = [f"reviewmill_{name}" for name in ADDED]  # since the file has a label
    read = {number: json.loads(found[number]) for number in (0, 3, 4, 5)}
    assert all([*read[number]][-len(names):] == names for number in read)
    assert [read[number][names[2]] for number in (0, 3)] == pytest.approx(
        probabilities(models[0], ["good tea", "it broke \ufffd"]), abs=1e-5)
    assert [read[number][names[0]] for number in (4, 5)] == [None, None]


def test_a_file_of_many_calls_is_shown_as_a_whole(
    tab: Tab, server: Server, models: list[Path], tmp_path: Path
) -> None:
    texts = [text for text in TEXTS if text] * 70
    made = tmp_path / "many.jsonl"
    made.write_text("".join(json.dumps({"body": text}) + "\n" for text in texts))
    visit(tab, server)
    choose_file(tab, made)
    wait_until_scored(tab)
    wait_for(tab, "document.querySelectorAll('#scored mark').length > 0")
    wanted = probabilities(models[0], texts)
    counts = tab.ask("[...document.querySelectorAll('#scored td:nth-child(2)')]"
                     ".map(e => Number(e.textContent))")
    assert counts == [sum(value <= 0.5 for value in wanted), sum(value > 0.5 for value in wanted)]
    drawn = tab.ask("document.querySelector('.bars').getAttribute('aria-label')")
    assert drawn.startswith(f"Histogram of {len(texts)} reviews: ")
    bins = [int(part.split()[0]) for part in drawn.split(": ")[1].split(", ")]
    assert sum(bins) == len(texts)
    shown = {title: tab.ask(f"[...document.querySelectorAll('[aria-label=\"{title}\"] meter')]"
                            ".map(e => e.value)")
             for title in ("Most doubtful", "Clearest positive", "Clearest negative")}
    order = sorted(wanted)
    assert shown["Clearest positive"] == pytest.approx(order[:-4:-1], abs=1e-5)
    assert shown["Clearest negative"] == pytest.approx(order[:3], abs=1e-5)
    assert abs(shown["Most doubtful"][0] - 0.5) == pytest.approx(
        min(abs(value - 0.5) for value in wanted), abs=1e-5)


def test_column_and_header_can_be_chosen(
    tab: Tab, server: Server, models: list[Path], tmp_path: Path
) -> None:
    made = tmp_path / "plain.csv"
    made.write_text("good,bad cup\nlove,never again\n")
    visit(tab, server)
    choose_file(tab, made)
    wait_until_scored(tab)
    assert tab.ask(STATE).startswith("1 reviews")
    click(tab, "#header")
    assert tab.ask("[...document.getElementById('column').options].map(o => o.text)") == [
        "column 1", "column 2"]
    tab.ask("document.getElementById('column').value = 0")
    click(tab, "#columns button")
    wait_for(tab, f"{STATE}.startsWith('2 reviews of plain.csv scored')")
    found = download(tab, tmp_path / "got", "plain.scored.csv").splitlines()
    assert [float(line.split(",")[4]) for line in found] == pytest.approx(
        probabilities(models[0], ["good", "love"]), abs=1e-5)


def make_huge(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate((64 << 20) + 1)


@pytest.mark.parametrize(("data", "reason"), [
    (None, "It has more than 64 MB"),
    (b"review\n\xff\xfe", "It is not text in UTF-8."),
    (b"\x1f\x8b\x08\x00\xff", "It is not text in UTF-8."),
    (b'id,review\n1,good\n2,"never closed\n\n', "in the row at line 3 is not closed"),
    (b'[{"text": "good"}]', "It is one JSON array"),
    (b'{\n"text": "good"\n}\n', "There is no JSON object"),
    (b"", "There is no row in it."),
    (b"\n\n", "There is no row in it."),
    (b"{" * 100_000, "There is no JSON object"),
])
def test_what_is_no_table_is_refused_and_the_page_goes_on(
    tab: Tab, server: Server, tmp_path: Path, data: bytes | None, reason: str
) -> None:
    made = tmp_path / "bad.csv"
    if data is None:
        make_huge(made)
    else:
        made.write_bytes(data)
    visit(tab, server)
    choose_file(tab, made)
    said = wait_for(tab, ERROR)
    assert said.startswith("bad.csv: ")
    assert reason in said
    made.write_text("review,id\ngood tea,1\n")
    drop_file(tab, made)
    wait_until_scored(tab)
    assert tab.ask(ERROR) == ""
    assert tab.complaints() == []


def test_a_text_that_no_call_can_hold_is_left_as_it_is(
    tab: Tab, server: Server, tmp_path: Path
) -> None:
    made = tmp_path / "long.jsonl"
    made.write_text("".join(json.dumps({"text": text}) + "\n" for text in (
        "good tea", "a " * 600_000, "\x01" * 300_000, "bad " * 200_000, "cup " * 200_000)))
    visit(tab, server)
    choose_file(tab, made)
    wait_until_scored(tab)
    assert tab.ask(STATE).startswith("3 reviews of long.jsonl scored")
    assert "2 rows without a text, or with one of more than 1 MB" in tab.ask(STATE)


def test_scoring_can_be_stopped(tab: Tab, models: list[Path], tmp_path: Path) -> None:
    made = tmp_path / "in.csv"
    made.write_text("review,id\ngood tea,1\n")
    with serving(models[0]) as server:
        visit(tab, server)
        choose_file(tab, made)
        wait_until_scored(tab)
        server.process.send_signal(signal.SIGSTOP)  # so that no answer comes
        click(tab, "#columns button")
        assert wait_for(tab, "!document.getElementById('working').hidden")
        click(tab, "#stop")
        wait_for(tab, f"{STATE} === 'Stopped.' && document.getElementById('working').hidden")
        assert tab.ask(ERROR) == ""


def test_a_call_for_which_there_is_no_room_is_sent_again(
    tab: Tab, server: Server, tmp_path: Path
) -> None:
    made = tmp_path / "in.csv"
    made.write_text("review,id\ngood tea,1\n")
    visit(tab, server)
    tab.call("Fetch.enable", patterns=[{"urlPattern": "*/v1/score"}])
    choose_file(tab, made)
    paused: list[str] = []
    while not paused:
        assert tab.ask(ERROR) == ""
        paused = [event["params"]["requestId"] for event in tab.events
                  if event["method"] == "Fetch.requestPaused"]
    refusal = base64.b64encode(b'{"error": "too many texts are waiting"}').decode()
    tab.call("Fetch.fulfillRequest", requestId=paused[0], responseCode=429, body=refusal)
    tab.call("Fetch.disable")
    wait_until_scored(tab)
    assert tab.ask(ERROR) == ""


def test_two_models_add_columns_each(tab: Tab, models: list[Path], tmp_path: Path) -> None:
    made = tmp_path / "two.jsonl"
    texts = [text for text in TEXTS if text]
    made.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    with serving(models[0], str(models[1])) as server:
        visit(tab, server)
        drop_file(tab, made)
        wait_until_scored(tab)
        read = [*map(json.loads, download(tab, tmp_path / "got", "two.scored.jsonl").splitlines())]
        drawn = tab.ask("[...document.querySelectorAll('#scored figcaption')]"
                        ".map(e => e.textContent)")
        differ = tab.ask("[...document.querySelectorAll('[aria-label=\"Most different\"] li')]"
                         ".map(e => [...e.querySelectorAll('meter')].map(m => m.value))")
    both = [probabilities(path, texts) for path in models]
    for name, wanted in zip(("lstm", "bag"), both, strict=True):
        assert [row[f"probability_positive_{name}"] for row in read] == pytest.approx(
            wanted, abs=1e-5)
    assert drawn == ["Probability of positive, lstm", "Probability of positive, bag"]
    gaps = sorted((abs(a - b) for a, b in zip(*both, strict=True)), reverse=True)
    assert [abs(a - b) for a, b in differ] == pytest.approx(gaps[:3], abs=1e-5)


def test_a_file_waits_for_the_token(tab: Tab, models: list[Path], tmp_path: Path) -> None:
    made = tmp_path / "secret.csv"
    made.write_text("review,id\ngood tea,1\n")
    with serving(models[0], REVIEWMILL_TOKEN="open sesame") as server:
        visit(tab, server)
        choose_file(tab, made)
        wait_for(tab, "document.activeElement.id === 'token'")
        type_text(tab, "open sesame")
        press(tab, "Enter", 13)
        wait_until_scored(tab)
        tab.ask("sessionStorage.removeItem('token'), 0")


def test_the_file_is_reached_by_keyboard_and_has_names(
    tab: Tab, server: Server, tmp_path: Path
) -> None:
    made = tmp_path / "in.csv"
    made.write_text("review,id\ngood tea,1\n")
    visit(tab, server)
    press(tab, "Tab", 9)
    press(tab, "Tab", 9)
    assert tab.ask("document.activeElement.id") == "file"
    assert tab.ask("getComputedStyle(document.querySelector('#drop label')).outlineStyle"
                   ) == "solid"
    choose_file(tab, made)
    wait_until_scored(tab)
    names = names_by_role(tab)
    assert any(name.startswith("Choose a file") for name in names["button"])
    assert names["combobox"] == {"Text of a review"}
    assert names["checkbox"] == {"The first row names the columns"}
    assert names["link"] == {"Download the scored file"}
    assert any(name.startswith("Histogram of 1 reviews") for name in names["image"] | names["img"])
    assert tab.ask("document.getElementById('file-state').getAttribute('role')") == "status"
