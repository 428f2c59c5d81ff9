"""A loaded bundle says of texts what its network in torch says of their ids."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from reviews.errors import UserError
from scoring import load
from scoring.model import OnnxModel
from tests.scoring.bundles import MODELS, TEXTS, make_bundle, torch_logits


@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("model", MODELS)
def test_probabilities_are_those_of_torch(tmp_path: Path, model: str, outputs: int) -> None:
    folder, net = make_bundle(tmp_path, model, outputs=outputs)
    predictor = load(str(folder))
    made = predictor.encoder.encode(pa.array(TEXTS))
    ids = [row[:n].tolist() for row, n in zip(made.tokens, made.lengths, strict=True)]
    logits = torch.from_numpy(torch_logits(net, ids))
    wanted = logits.softmax(1) if outputs > 1 else torch.cat([1 - logits.sigmoid(),
                                                             logits.sigmoid()], 1)
    found = predictor(TEXTS)
    np.testing.assert_allclose(found.probabilities, wanted.numpy(), rtol=0, atol=1e-5)
    assert np.ptp(found.probabilities[:, -1]) > 0.001
    assert found.labels == [predictor.classes[k] for k in wanted.argmax(1).tolist()]


@pytest.mark.parametrize("model", MODELS)
def test_a_text_gets_the_same_alone_and_among_others(tmp_path: Path, model: str) -> None:
    predictor = load(str(make_bundle(tmp_path, model)[0]))
    together = predictor(TEXTS * 40).probabilities
    alone = np.concatenate([predictor([text]).probabilities for text in TEXTS])
    np.testing.assert_allclose(together, np.tile(alone, (40, 1)), rtol=0, atol=1e-5)


def test_no_texts_have_no_labels(tmp_path: Path) -> None:
    for model in ("lstm", "bag"):
        found = load(str(make_bundle(tmp_path / model, model)[0]))([])
        assert found.labels == []
        assert found.probabilities.shape == (0, 2)


def test_a_text_that_is_none_is_named(tmp_path: Path) -> None:
    predictor = load(str(make_bundle(tmp_path)[0]))
    with pytest.raises(ValueError, match="text 1 is None"):
        predictor(["tea", None])  # type: ignore[list-item]


def test_a_bundle_without_onnx_says_how_to_get_it(tmp_path: Path) -> None:
    folder, _ = make_bundle(tmp_path, with_onnx=False)
    with pytest.raises(UserError, match=r"has no model\.onnx; `reviewmill export"):
        load(str(folder))


def test_a_bag_needs_no_onnx(tmp_path: Path) -> None:
    assert load(str(make_bundle(tmp_path, "bag", with_onnx=False)[0]))(["tea"]).labels


def test_a_model_that_reads_fields_is_not_for_texts_alone(tmp_path: Path) -> None:
    folder, _ = make_bundle(tmp_path, "mlp", features=2, description={"features": ["likes", "x"]})
    with pytest.raises(UserError, match=r"reads fields beside the text \(likes, x"):
        load(str(folder))


def test_onnx_runtime_gets_as_many_threads_as_asked_for(tmp_path: Path) -> None:
    folder, _ = make_bundle(tmp_path, "gru")
    for threads in (1, 3):
        model = load(str(folder), threads).model
        assert isinstance(model, OnnxModel)
        assert model._session.get_session_options().intra_op_num_threads == threads
