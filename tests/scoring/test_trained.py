"""A run as training leaves it is scored as torch computes it: files, Python and HTTP alike."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import reviewmill
from models.nets.load_model import load_model
from reviews.bundle import ONNX, read_bundle
from scoring import load
from tests.mpi_train.runs import train
from tests.scoring.bundles import torch_logits
from tests.scoring.service.server import serving
from tests.stores import make_store

MODELS = {
    "lstm": {"bidirectional": True, "ngrams": 2, "buckets": 500, "ngram_dim": 4},
    "gru": {},
    "bag": {"buckets": 500},
}


@pytest.mark.parametrize("model", MODELS)
def test_every_way_gives_the_probabilities_of_torch(tmp_path: Path, model: str) -> None:
    store = make_store(tmp_path / "store", {"train": 300, "validation": 50})
    run = train(store, tmp_path / "run", model=model, epochs=1, **MODELS[model])
    bundle = read_bundle(run)
    assert ONNX in bundle.files
    rng = np.random.default_rng(0)
    texts = ["", *(" ".join(f"w{k}" for k in rng.integers(0, 260, n))
                   for n in rng.integers(1, 60, 200))]
    predictor = load(str(run))
    rows = predictor.encoder.encode(pa.array(texts))
    logits = torch_logits(load_model(bundle).eval(), [
        row[:n].tolist() for row, n in zip(rows.tokens, rows.lengths, strict=True)])[:, 0]
    wanted = 1 / (1 + np.exp(-logits.astype(np.float64)))

    np.testing.assert_allclose(predictor(texts).probabilities[:, 1], wanted, rtol=0, atol=1e-5)
    (tmp_path / "in.jsonl").write_text("".join(json.dumps({"text": t}) + "\n" for t in texts))
    line = ["score", str(run), str(tmp_path / "in.jsonl"), "--out", str(tmp_path / "out.parquet")]
    assert reviewmill.main(line) == 0
    of_files = pq.read_table(tmp_path / "out.parquet")["probability_positive"].to_numpy()
    np.testing.assert_allclose(of_files, wanted, rtol=0, atol=1e-5)
    with serving(run) as server:
        status, answer = server.post({"texts": texts})
    assert status == 200
    of_http = [result["probabilities"]["positive"] for result in answer["results"]]
    np.testing.assert_allclose(of_http, wanted, rtol=0, atol=1e-5)
