"""Explanations measured: named words move a probability further than random ones."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import reviewmill
from reviews.bundle import read_bundle
from reviews.store import Store
from scoring import load
from scoring.encode import EncodedTexts
from scoring.explain.measure import measure_explanations, rows_of_test

FIRST = Path(__file__).resolve().parents[2] / "fixtures" / "first"
STRONG = {5: 2.0, 6: -3.0, 7: 1.0}  # ids, and what each adds to the logit


class Sum:
    """A model whose logit is a sum over words."""

    def logits(self, rows: EncodedTexts, features: np.ndarray | None = None) -> np.ndarray:
        of_ids = np.zeros(1 << 16, np.float32)
        of_ids[[*STRONG]] = [*STRONG.values()]
        return np.array([[of_ids[row[:n]].sum()] for row, n in zip(
            rows.tokens, rows.lengths, strict=True)], np.float32)


def probability(ids: list[int]) -> float:
    return 1 / (1 + np.exp(-sum(STRONG.get(one, 0.0) for one in ids)))


def test_the_named_words_are_those_that_move_the_probability_most() -> None:
    store = Store(FIRST / "store")
    predictor = load(str(FIRST / "bag"))
    predictor.model = Sum()
    found = measure_explanations(predictor, store, most=40)
    rows = [row.tolist() for row in rows_of_test(store, 6)][:40]
    moved = []
    for row in rows:
        without = [probability(row[:n] + row[n + 1:]) for n in range(len(row))]
        order = sorted(range(len(row)), key=lambda n: -abs(without[n] - probability(row)))
        kept = [one for n, one in enumerate(row) if n not in order[:3]]
        moved.append(abs(probability(kept) - probability(row)))
    assert found.reviews == len(rows) == min(40, len(rows))
    assert found.named == pytest.approx(np.mean(moved), abs=1e-6)
    assert found.named > 2 * found.random > 0
    assert measure_explanations(predictor, store, most=40) == found


def test_only_test_reviews_with_enough_words_are_taken() -> None:
    store = Store(FIRST / "store")
    rows = [*rows_of_test(store, 6)]
    assert 0 < len(rows) <= store.rows("test")
    assert min(map(len, rows)) >= 6


def test_the_figure_stands_in_the_card_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "model"
    shutil.copytree(FIRST / "bag", model)
    before = read_bundle(model).read("card.md").decode().splitlines()
    for _ in range(2):
        assert reviewmill.main(
            ["export", str(model), "--explanations", str(FIRST / "store")]) == 0
    said = capsys.readouterr().out.splitlines()[-1].removeprefix(f"{model}: ")
    card = read_bundle(model).read("card.md").decode().splitlines()
    assert [line for line in card if line not in before] == [f"- Explanations: {said}."]
    assert len(card) == len(before) + 1
    assert "times as far" in said
    assert reviewmill.main(["inspect", str(model)]) == 0
    assert said in capsys.readouterr().out


def test_a_model_of_another_store_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = tmp_path / "store"
    shutil.copytree(FIRST / "store", store)
    manifest = json.loads((store / "manifest.json").read_text())
    (store / "manifest.json").write_text(json.dumps(manifest))
    model = tmp_path / "model"
    shutil.copytree(FIRST / "bag", model)
    assert reviewmill.main(["export", str(model), "--explanations", str(store)]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.endswith(f"was not trained on {store}")
