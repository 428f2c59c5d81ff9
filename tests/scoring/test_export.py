"""`reviewmill export` gives an older bundle its ONNX file."""

import json
from pathlib import Path

import pytest

import reviewmill
from reviews.bundle import read_bundle
from scoring import load
from tests.scoring.bundles import make_bundle


def test_a_bundle_without_onnx_scores_after_export(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, _ = make_bundle(tmp_path / "old", with_onnx=False)
    whole, _ = make_bundle(tmp_path / "new")
    assert reviewmill.main(["export", str(folder.parent)]) == 0
    assert "model.onnx" in capsys.readouterr().out
    assert load(str(folder))(["tea"]).labels == load(str(whole))(["tea"]).labels
    assert (folder / "model.onnx").read_bytes() == (whole / "model.onnx").read_bytes()
    files = [json.loads((one / "manifest.json").read_text()) for one in (folder, whole)]
    assert files[0] == files[1]
    read_bundle(folder).read("model.onnx")


def test_export_of_what_is_no_model_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert reviewmill.main(["export", str(tmp_path)]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "neither a run with a model nor a bundle" in line
