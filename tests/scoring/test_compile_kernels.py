"""Compiling once leaves nothing to compile for the first review."""

from pathlib import Path

import pytest

import reviews.text.ngrams
import scoring.lstm
from scoring import load
from scoring.compile_kernels import main
from tests.scoring.bundles import make_bundle

KERNELS = (scoring.lstm._read, reviews.text.ngrams.find_rows, reviews.text.ngrams.mean_rows)


@pytest.mark.parametrize("model", ["views", "bag", "lstm"])
def test_kernels_are_compiled_for_what_models_call_them_with(tmp_path: Path, model: str) -> None:
    main()
    known = [len(kernel.signatures) for kernel in KERNELS]
    others = {"layers": 1} if model == "views" else {}
    load(str(make_bundle(tmp_path, model, **others)[0]))(["good tea", ""])
    assert [len(kernel.signatures) for kernel in KERNELS] == known
