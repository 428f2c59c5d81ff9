"""Pages about runs that are not whole, or not alike."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from reports.page import render
from reports.run import read_run
from tests.reports.document import Element, card, parse, rows, section
from tests.reports.runs import make_evaluation, make_manifest, make_run, step_records


def page_of(folder: Path) -> Element:
    return parse(render(read_run(folder)))


def state(page: Element) -> str:
    [label] = page.all("span", "state")
    return label.text


def notices(page: Element, kind: str) -> list[str]:
    return [notice.text for notice in page.all("p", "notice") if kind in
            notice.attributes["class"].split()]


def write_records(folder: Path, records: Iterable[dict[str, Any]]) -> Path:
    """A run folder with nothing but metrics."""
    folder.mkdir()
    (folder / "metrics.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records))
    return folder


def titles(page: Element) -> set[str]:
    return {figure.all("h3")[0].text for figure in page.all("figure")}


def test_a_whole_run_has_no_notices(tmp_path: Path) -> None:
    page = page_of(make_run(tmp_path / "run"))
    assert state(page) == "finished"
    assert page.all("p", "notice") == []


def test_a_finished_run_of_a_store_without_validation_rows_has_a_page(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", evaluated=False)
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    for record in records:
        if record["kind"] == "epoch":
            record["validation"] = None
    (folder / "metrics.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records))
    page = page_of(folder)
    assert state(page) == "finished"
    assert "Not evaluated yet" in page.all("h1")[0].text
    assert "no epoch validated" in page.all("h1")[0].text


def test_a_run_without_evaluation_shows_validation_and_what_to_do(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", evaluated=False)
    page = page_of(folder)
    assert state(page) == "finished"
    assert "Not evaluated on test reviews yet" in page.all("h1")[0].text
    command = f"reviewmill evaluate {folder} --store demo/store --split test"
    assert [code.text for code in section(page, "test").all("code")] == [command]
    [warning] = notices(page, "warn")
    assert warning.endswith(command)
    epochs = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()
              if '"kind": "epoch"' in line]
    best = epochs[4]["validation"]["accuracy"]
    assert f"after epoch 5, {100 * best:.1f} % of 4,900 validation" in page.all("h1")[0].text


def test_a_command_to_copy_survives_a_folder_with_blanks(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "my run's", evaluated=False)
    [code] = section(page_of(folder), "test").all("code")
    assert code.text.startswith("reviewmill evaluate '/")
    assert code.text.endswith(""" --store demo/store --split test""")


def test_an_unfinished_run_says_so_and_how_to_go_on(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", finished=False, evaluated=False)
    page = page_of(folder)
    assert state(page) == "unfinished"
    assert "Everything below is as of update 97." in notices(page, "warn")[0]
    assert notices(page, "warn")[0].endswith(f"reviewmill train demo/store --out {folder} --resume")
    assert [row[0] for row in rows(card(page, "Epochs"))] == ["1", "2 kept"]


def test_an_unfinished_run_shows_its_corpus_as_long_as_the_store_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # the store is given as a relative path
    folder = make_run(tmp_path / "run", finished=False, evaluated=False)
    assert "The manifest of the store is not in this run" in section(page_of(folder), "corpus").text
    store = tmp_path / "demo" / "store"
    store.mkdir(parents=True)
    (store / "manifest.json").write_text(json.dumps(make_manifest()))
    assert rows(card(page_of(folder), "Records"))[-1][1] == "49,000"


def test_a_run_that_failed_shows_where_and_why_before_all_else(tmp_path: Path) -> None:
    failure = {"kind": "failure", "step": 98, "epoch": 2, "update": 20,
               "reason": "the loss is not finite on rank 1"}
    folder = make_run(tmp_path / "run", finished=False, evaluated=False,
                      extra=json.dumps(failure) + "\n")
    page = page_of(folder)
    assert state(page) == "failed"
    assert notices(page, "bad") == [
        "The run failed: the loss is not finite on rank 1 (epoch 3, step 98)."
    ]
    assert "bad" in page.all("p", "notice")[0].attributes["class"].split()


def test_a_failure_that_a_resumed_run_got_over_is_only_a_note(tmp_path: Path) -> None:
    steps = list(step_records(20))
    failure = {"kind": "failure", "step": 11, "reason": "lost a rank"}
    page = page_of(write_records(tmp_path / "run", [*steps[:10], failure, *steps[10:]]))
    assert state(page) == "unfinished"
    assert notices(page, "bad") == []
    assert "It was resumed after a failure: lost a rank (step 11)." in notices(page, "note")


def test_a_torn_line_is_left_out_and_said(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", finished=False, evaluated=False, extra='{"kind": "st')
    [note] = notices(page_of(folder), "note")
    assert note.startswith("Left out one line of metrics.jsonl")


def test_a_run_that_has_only_begun_has_a_page(tmp_path: Path) -> None:
    page = page_of(write_records(tmp_path / "run", []))
    assert page.all("h1")[0].text == "Nothing is trained yet; no update is recorded."
    assert section(page, "training").text == "Training No update is recorded yet."


def test_a_run_before_its_first_epoch_says_how_far_it_is(tmp_path: Path) -> None:
    page = page_of(write_records(tmp_path / "run", step_records(7)))
    assert "7 updates done, no epoch validated" in page.all("h1")[0].text
    assert {"Loss", "Learning rate"} <= titles(page)
    assert "Epochs" not in titles(page)


def test_one_update_is_enough_to_draw(tmp_path: Path) -> None:
    page = page_of(write_records(tmp_path / "run", step_records(1)))
    assert "Loss" in titles(page)
    assert "Reviews a second" not in titles(page)


def test_one_rank_has_no_shares_to_show(tmp_path: Path) -> None:
    page = page_of(make_run(tmp_path / "run", ranks=1))
    assert "Shares of the ranks" not in titles(page)
    assert "one rank trained" in page.all("h1")[0].text


@pytest.mark.parametrize("ranks", [4, 16, 40])
def test_any_number_of_ranks_is_drawn(tmp_path: Path, ranks: int) -> None:
    page = page_of(make_run(tmp_path / "run", ranks=ranks, epochs=2))
    assert f"{ranks} ranks trained" in page.all("h1")[0].text
    assert f"{ranks} ranks from 0 (bottom) up" in card(page, "Shares of the ranks").text


def test_a_resumed_run_counts_every_update_once(tmp_path: Path) -> None:
    first, again = list(step_records(12)), list(step_records(8, first=9, seed=1))
    run = read_run(write_records(tmp_path / "run", [*first, *again]))
    assert run.curve.last_step == 16
    assert run.curve.total is not None
    assert run.curve.total.steps == 16


def test_losses_that_are_no_numbers_leave_the_rest_of_the_curve(tmp_path: Path) -> None:
    records = list(step_records(30))
    records[10]["loss"] = float("nan")
    records[20]["loss"] = float("inf")
    page = page_of(write_records(tmp_path / "run", records))
    assert "NaN" not in render(read_run(tmp_path / "run"))
    assert "Loss" in titles(page)


def test_of_several_tests_the_latest_counts_and_the_others_are_listed(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run")
    later = {**make_evaluation(), "accuracy": 0.81, "time": "2026-11-22T00:00:00Z"}
    elsewhere = {**make_evaluation(), "split": "input", "n": 700, "accuracy": 0.66}
    with open(folder / "metrics.jsonl", "a") as file:
        file.writelines(json.dumps(record) + "\n" for record in (later, elsewhere))
    page = page_of(folder)
    assert page.all("h1")[0].text.startswith("81.0 % of 4,900 test reviews")
    others = rows(card(page, "Other evaluations"))
    assert [(row[0], row[1]) for row in others] == [("test", "4,900"), ("input", "700")]
    assert others[1][2] == "66.00 %"


def test_a_model_no_better_than_the_majority_is_called_so(tmp_path: Path) -> None:
    useless = {**make_evaluation(), "accuracy": 0.76, "confusion_matrix": [[0, 240], [0, 760]],
               "n": 1000, "roc_auc": None}
    folder = make_run(tmp_path / "run", evaluated=False, extra=json.dumps(useless) + "\n")
    page = page_of(folder)
    assert page.all("h1")[0].text.startswith(
        "Not better than always answering “positive”, which gets 76.0 %"
    )
    assert "ROC AUC – " in page.all("dl", "tiles")[0].text


def test_records_that_do_not_add_up_are_pointed_out(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run")
    summary = json.loads((folder / "summary.json").read_bytes())
    records = summary["store"]["manifest"]["records"]
    records["read"] += 5
    (folder / "summary.json").write_text(json.dumps(summary))
    [notice] = notices(page_of(folder), "bad")
    assert notice == (f"These do not add up: {records['read']:,} records were read, "
                      f"{records['read'] - 5:,} are accounted for.")


def test_a_corpus_without_ratings_has_no_chart_of_them(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run")
    summary = json.loads((folder / "summary.json").read_bytes())
    for split in summary["store"]["manifest"]["splits"].values():
        split["ratings"] = {"none": split["rows"]}
    (folder / "summary.json").write_text(json.dumps(summary))
    page = page_of(folder)
    assert "Ratings" not in titles(page)
    assert "Review lengths" in titles(page)
