"""`reviewmill inspect MODEL` shows what a bundle of training holds."""

import json
import shutil
from pathlib import Path

import pytest

import reviewmill
from models.inspect_model import is_model
from reviews.bundle import read_bundle

RUNS = Path(__file__).resolve().parents[1] / "fixtures" / "first"


def inspected(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert reviewmill.main(["inspect", *map(str, arguments)]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("name", ["lstm", "bag"])
def test_card_sizes_and_origin_are_shown(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = inspected(capsys, RUNS / name)
    model = RUNS / name / "model"
    described = json.loads((model / "model.json").read_text())
    assert (model / "card.md").read_text() in shown
    assert described["store"] in shown
    assert f"{(model / 'vocabulary.txt').stat().st_size:,}" in shown
    assert f"accuracy {described['validation']['accuracy']:.4f}" in shown


def test_json_has_the_figures(capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(inspected(capsys, RUNS / "lstm" / "model", "--json").splitlines()[-1])
    weights = read_bundle(RUNS / "lstm").weights
    assert found["parameters"] == sum(array.size for array in weights.values())
    assert found["model"] == "lstm"
    assert "verified" not in found


def test_verify_finds_a_changed_byte(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "bag"
    shutil.copytree(RUNS / "bag" / "model", folder)
    assert "verified: " in inspected(capsys, folder, "--verify")
    with (folder / "weights.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\xff")
    assert reviewmill.main(["inspect", str(folder), "--verify"]) == 2
    assert "damaged: weights.safetensors" in capsys.readouterr().err


def test_a_store_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text('{"format": "reviewmill-store/1"}')
    assert not is_model(str(tmp_path))
    assert not is_model("s3://nowhere/store")
    assert is_model(str(RUNS / "lstm"))
