"""Every number on the page is one of the run's files."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from reports.page import render
from reports.run import read_run
from tests.reports.document import Element, card, parse, rows, section, settings
from tests.reports.runs import make_run


def percent(fraction: float, digits: int = 1) -> str:
    return f"{100 * fraction:.{digits}f} %"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("whole") / "run")


@pytest.fixture(scope="module")
def page(folder: Path) -> Element:
    return parse(render(read_run(folder)))


@pytest.fixture(scope="module")
def summary(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "summary.json").read_bytes())


@pytest.fixture(scope="module")
def records(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def of_kind(records: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [record for record in records if record["kind"] == kind]


def tiles(page: Element) -> dict[str, tuple[str, str]]:
    """The headline's figures: name -> (figure, remark)."""
    [listed] = page.all("dl", "tiles")
    return {tile.all("dt")[0].text: (tile.all("dd")[0].text, tile.all("dd")[1].text)
            for tile in listed.all("div")}


def test_the_headline_has_the_figures_of_the_test(
    page: Element, summary: dict[str, Any], records: list[dict[str, Any]]
) -> None:
    [test] = of_kind(records, "evaluation")
    majority = sum(test["confusion_matrix"][1]) / test["n"]
    shown = tiles(page)
    assert shown["Test accuracy"][0] == percent(test["accuracy"])
    assert shown["Baseline"][0] == percent(majority)
    assert shown["Macro F1"][0] == f"{test['f1_macro']:.3f}"
    assert shown["ROC AUC"][0] == f"{test['roc_auc']:.3f}"
    assert shown["Reviews/s"] == (f"{summary['reviews_per_s']:,.0f}", f"{summary['steps']} updates")
    assert shown["Ranks"] == ("2", "1 host")
    sentence = page.all("h1")[0].text
    assert f"{percent(test['accuracy'])} of {test['n']:,} test reviews are judged right" in sentence
    assert f"always answering “positive” gets {percent(majority)}" in sentence


def test_the_headline_says_how_sure_the_accuracy_is(
    page: Element, records: list[dict[str, Any]]
) -> None:
    [test] = of_kind(records, "evaluation")
    spread = (test["accuracy"] * (1 - test["accuracy"]) / test["n"]) ** 0.5
    assert tiles(page)["Test accuracy"][1] == f"± {196 * spread:.1f} % on {test['n']:,} reviews"


def test_the_confusion_matrix_has_a_row_for_each_true_class(
    page: Element, records: list[dict[str, Any]]
) -> None:
    [test] = of_kind(records, "evaluation")
    wanted = [
        [name, *(f"{n:,} {percent(n / sum(counts))}" for n in counts)]
        for name, counts in zip(["negative", "positive"], test["confusion_matrix"], strict=True)
    ]
    assert rows(card(page, "Confusion matrix")) == wanted


def test_the_classes_have_their_precision_recall_and_f1(
    page: Element, records: list[dict[str, Any]]
) -> None:
    [test] = of_kind(records, "evaluation")
    wanted = [
        [name, *(f"{test[figure][name]:.3f}" for figure in ("precision", "recall", "f1")),
         f"{sum(counts):,}"]
        for name, counts in zip(["negative", "positive"], test["confusion_matrix"], strict=True)
    ]
    shown = rows(card(page, "Classes"))
    assert shown[:-1] == wanted
    assert shown[-1][3:] == [f"{test['f1_macro']:.3f}", f"{test['n']:,}"]
    assert f"ROC AUC {test['roc_auc']:.4f}" in card(page, "Classes").text


def test_every_record_read_is_accounted_for(page: Element, summary: dict[str, Any]) -> None:
    records = summary["store"]["manifest"]["records"]
    shown = {name: (number, part) for name, number, part in rows(card(page, "Records"))}
    lost = {**records["dropped"], **{f"bad: {why}": n for why, n in records["bad"].items()}}
    wanted = {
        "records read": records["read"], "stored": records["stored"],
        "duplicates of a stored review": -lost["duplicate"],
        "neutral: neither positive nor negative": -lost["neutral"],
        "no word left after cleaning": -lost["no_words"],
        "bad: not JSON": -lost["bad: not JSON"],
        "bad: rating outside 1-5": -lost["bad: rating outside 1-5"],
    }
    assert shown == {
        name: (f"{n:,}" if n > 0 else f"− {-n:,}",
               percent(abs(n) / records["read"]) if abs(n) / records["read"] >= 0.0005
               else "< 0.1 %")
        for name, n in wanted.items()
    }


def test_the_splits_have_their_rows_labels_and_words(
    page: Element, summary: dict[str, Any]
) -> None:
    wanted = []
    for name, split in summary["store"]["manifest"]["splits"].items():
        wanted.append([
            name, f"{split['rows']:,}", *(f"{n:,}" for n in split["labels"].values()),
            f"{split['words'] / split['rows']:,.0f}",
            percent(split["unknown_words"] / split["words"]),
            percent(split["truncated"] / split["rows"]),
        ])
    assert rows(card(page, "Splits")) == wanted


def test_ratings_and_lengths_are_there_as_numbers(page: Element, summary: dict[str, Any]) -> None:
    splits = summary["store"]["manifest"]["splits"]
    every = sum(split["rows"] for split in splits.values())
    assert rows(card(page, "Ratings, as numbers")) == [
        [rating, *(f"{split['ratings'][rating]:,}" for split in splits.values()),
         percent(sum(split["ratings"][rating] for split in splits.values()) / every)]
        for rating in ("1", "2", "4", "5")]
    lengths = rows(card(page, "Review lengths, as numbers"))
    upto = {bound: sum(dict(split["lengths"])[bound] for split in splits.values())
            for bound, _ in splits["train"]["lengths"]}
    assert lengths[0] == ["1 to 10", f"{upto[10]:,}", percent(upto[10] / every)]
    assert lengths[2][:2] == ["21 to 50", f"{upto[30] + upto[40] + upto[50]:,}"]
    assert sum(int(row[1].replace(",", "")) for row in lengths) == every


def test_the_chart_of_ratings_has_the_part_of_each(page: Element, summary: dict[str, Any]) -> None:
    splits = summary["store"]["manifest"]["splits"].values()
    rated = {r: sum(split["ratings"][r] for split in splits) for r in ("1", "2", "4", "5")}
    all_rated = sum(rated.values())
    drawn = card(page, "Ratings")
    assert f"{all_rated:,} stored reviews have one" in drawn.text
    labels = [e.text for e in drawn.all("text")]
    assert [x for x in labels if "★" in x] == ["1 ★", "2 ★", "3 ★", "4 ★", "5 ★"]
    wanted = [percent(rated[r] / all_rated) if r in rated else "–" for r in "12345"]
    assert [x for x in labels if "%" in x or x == "–"] == wanted


def test_the_chart_of_labels_has_the_part_of_each(page: Element, summary: dict[str, Any]) -> None:
    drawn = [e.text for e in card(page, "Labels in each split").all("text")]
    for split in summary["store"]["manifest"]["splits"].values():
        for n in split["labels"].values():
            assert percent(n / split["rows"]) in drawn


def test_the_length_chart_says_how_many_reviews_are_cut(
    page: Element, summary: dict[str, Any]
) -> None:
    manifest = summary["store"]["manifest"]
    rows = sum(split["rows"] for split in manifest["splits"].values())
    cut = sum(split["truncated"] for split in manifest["splits"].values())
    words = sum(split["words"] for split in manifest["splits"].values())
    assert card(page, "Review lengths").all("p")[0].text == (
        f"{words / rows:,.0f} words on average; {percent(cut / rows)} are longer than the 256 "
        "the model reads."
    )


def test_every_epoch_has_its_row_and_that_of_the_model_is_marked(
    page: Element, summary: dict[str, Any], records: list[dict[str, Any]]
) -> None:
    wanted = []
    rates = {step["step"]: step["learning_rate"] for step in of_kind(records, "step")}
    for epoch in of_kind(records, "epoch"):
        checked = epoch["validation"]
        kept = " kept" if epoch["epoch"] == summary["best"]["epoch"] else ""
        wanted.append([
            f"{epoch['epoch'] + 1}{kept}", f"{epoch['loss']:.4f}", f"{checked['loss']:.4f}",
            percent(checked["accuracy"], 2), f"{checked['f1_macro']:.3f}",
            f"{checked['roc_auc']:.3f}", f"{epoch['reviews_per_s']:,.0f}",
            f"{rates[epoch['step']]:.3g}", f"{epoch['seconds']:.1f} s",
        ])
    assert rows(card(page, "Epochs")) == wanted


def test_waiting_is_the_part_of_all_ranks_time(
    page: Element, records: list[dict[str, Any]]
) -> None:
    steps = of_kind(records, "step")
    waited = sum(sum(step["wait_s"]) for step in steps)
    spent = sum(2 * step["step_s"] for step in steps)
    drawn = card(page, "Work and waiting")
    said = drawn.all("p")[0].text
    assert said.startswith(f"{percent(waited / spent)} of all ranks' time was waiting: ")
    own = [sum(step["compute_s"][rank] for step in steps) / len(steps) for rank in range(2)]
    labels = {e.text for e in drawn.all("text")}
    assert {f"{1000 * seconds:.0f} ms" for seconds in own} <= labels


def test_the_shares_are_those_of_the_padded_tokens(
    page: Element, records: list[dict[str, Any]]
) -> None:
    steps = of_kind(records, "step")
    parts = [sum(step["share_tokens"][rank] / sum(step["share_tokens"]) for step in steps)
             / len(steps) for rank in range(2)]
    labels = {e.text for e in card(page, "Shares of the ranks").all("text")}
    assert {f"rank {rank}: {percent(part)}" for rank, part in enumerate(parts)} <= labels


def test_the_throughput_is_reviews_over_seconds_of_updates(
    page: Element, records: list[dict[str, Any]]
) -> None:
    steps = of_kind(records, "step")
    rate = sum(step["reviews"] for step in steps) / sum(step["step_s"] for step in steps)
    assert card(page, "Reviews a second").all("p")[0].text.startswith(f"{rate:,.0f} on average")


def test_every_choice_of_training_and_preparation_is_listed(page: Element, folder: Path) -> None:
    config = yaml.safe_load((folder / "config.yaml").read_text())
    manifest = json.loads((folder / "summary.json").read_bytes())["store"]["manifest"]
    [training] = [e for e in section(page, "configuration").all("figure")
                  if e.all("h3")[0].text == "Training"]
    shown = settings(training)
    assert set(shown) == set(config)
    assert shown["learning_rate"] == "0.002"
    assert shown["bidirectional"] == "no"
    assert shown["shares"] == "–"
    recipe = settings(card(page, "Preparation"))
    assert set(recipe) == set(manifest["recipe"])
    assert recipe["split"] == "0.8, 0.1, 0.1"
    assert recipe["stop_words"].endswith("(179 in all)")


def test_the_environment_names_versions_hosts_and_the_store(
    page: Element, summary: dict[str, Any]
) -> None:
    shown = settings(card(page, "Machine and software"))
    assert shown == {
        **{name: str(value) for name, value in summary["environment"].items()},
        "backend": "gloo", "hosts": "node-1", "store": "demo/store",
        "store sha256": summary["store"]["fingerprint"],
    }
