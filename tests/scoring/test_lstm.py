"""The kernel of an LSTM of one layer computes what torch computes, whatever its sizes."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch

from models.nets import build
from scoring.encode import EncodedTexts
from scoring.model import LstmModel, load_model
from scoring.simd import LANES
from tests.scoring.bundles import make_bundle, options_of, torch_logits

# More than are read beside one another, among them one word and many.
LENGTHS = [1, 2, 90, 3, 3, 17, 1, *range(1, 64), 90]


def rows_of(lengths: list[int], ids: int, kind: type = np.uint16) -> EncodedTexts:
    """Random rows, with rubbish behind their ends."""
    rng = np.random.default_rng(len(lengths))
    sizes = np.array(lengths, np.int32)
    tokens = rng.integers(0, ids, (len(sizes), max(lengths, default=1))).astype(kind)
    return EncodedTexts(tokens, sizes, sizes, sizes)


def compare(rows: EncodedTexts, tolerance: float = 1e-5, scale: float = 3.0,
            **options: object) -> None:
    made = options_of("lstm", layers=1, **options)
    torch.manual_seed(0)
    net = build(made)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(scale)
    weights = {name: value.numpy() for name, value in net.state_dict().items()}
    ids = [row[:n].tolist() for row, n in zip(rows.tokens, rows.lengths, strict=True)]
    wanted = torch_logits(net, ids)
    found = LstmModel(weights, made).logits(rows)
    assert np.ptp(wanted) > 0.1
    np.testing.assert_allclose(found, wanted, rtol=0, atol=tolerance)


@pytest.mark.parametrize(("bidirectional", "pooling", "ngrams", "outputs"), [*itertools.product(
    (False, True), ("last", "max", "mean+max"), (0, 3), (1, 3))])
def test_logits_are_those_of_torch(
    bidirectional: bool, pooling: str, ngrams: int, outputs: int
) -> None:
    compare(rows_of(LENGTHS, 18), bidirectional=bidirectional, pooling=pooling, ngrams=ngrams,
            outputs=outputs, **({"buckets": 97, "ngram_dim": 4} if ngrams else {}))


@pytest.mark.parametrize("hidden", [1, LANES - 1, LANES, LANES + 1, 50, 64])
def test_any_number_of_units_is_computed(hidden: int) -> None:
    compare(rows_of(LENGTHS, 18), hidden_dim=hidden, scale=2.0)


def test_ids_of_large_vocabularies_are_read() -> None:
    compare(rows_of(LENGTHS, 70_000, np.uint32), vocabulary_size=70_000)


def test_large_weights_saturate_as_they_do_in_torch() -> None:
    compare(rows_of(LENGTHS, 18), scale=30.0, tolerance=1e-4)


def test_a_trained_bundle_of_one_layer_needs_no_onnx(tmp_path: Path) -> None:
    folder, _ = make_bundle(tmp_path, "views", with_onnx=False, layers=1)
    bundle, model = load_model(str(folder))
    assert isinstance(model, LstmModel)
    assert model.logits(rows_of([], len(bundle.vocabulary) + 2)).shape == (0, 1)
