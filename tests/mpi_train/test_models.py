"""Recurrent models read every review to its length and not a word further."""

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from mpi_train.losses import binary_cross_entropy
from mpi_train.models import Recurrent, build
from mpi_train.models.dropout import Draws
from mpi_train.models.options import ModelOptions
from mpi_train.schedules import learning_rate

WORDS, LENGTHS = 50, torch.tensor([1, 3, 7, 9, 9, 12])
KINDS = list(itertools.product(("lstm", "gru"), (1, 2), (False, True),
                               ("last", "max", "mean+max")))


def options_of(model: str = "lstm", layers: int = 1, bidirectional: bool = False,
               pooling: str = "mean+max", **others: float) -> ModelOptions:
    return ModelOptions(
        model=model, embedding_dim=6, hidden_dim=5, layers=layers, bidirectional=bidirectional,
        pooling=pooling, vocabulary_size=WORDS, padding=0, unknown=1,
        **{"dropout": 0.0, "word_dropout": 0.0, **others},
    )


def model_of(options: ModelOptions) -> Recurrent:
    torch.manual_seed(4)
    return build(options).double()


def reviews(width: int = 12) -> Tensor:
    """Tokens (6, width): reviews of LENGTHS, with rubbish behind their ends."""
    numbers = np.random.default_rng(0).integers(2, WORDS, (len(LENGTHS), 12))
    tokens = np.random.default_rng(width).integers(0, WORDS, (len(LENGTHS), width))
    tokens[:, :12] = np.where(np.arange(12) < LENGTHS.numpy()[:, None], numbers, tokens[:, :12])
    return torch.from_numpy(tokens)


def plain(model: Recurrent, words: Tensor) -> Tensor:
    """The logit of one review (T,) by torch's own layers, alone and without padding."""
    options = model.options
    kind = {"lstm": nn.LSTM, "gru": nn.GRU}[options.model]
    whole = kind(options.embedding_dim, options.hidden_dim, options.layers,
                 bidirectional=options.bidirectional).double()
    for layer, directions in enumerate(model.layers):
        for direction, own in enumerate(directions):
            ending = f"_l{layer}" + ("_reverse" if direction else "")
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                getattr(whole, name + ending).data = getattr(own, name + "_l0").data
    outputs, state = whole(model.embedding.weight[words][:, None])
    outputs = outputs[:, 0]  # (T, W)
    if options.pooling == "last":
        hidden = (state[0] if options.model == "lstm" else state)[:, 0]
        pooled = torch.cat([hidden[-2], hidden[-1]]) if options.bidirectional else hidden[-1]
    elif options.pooling == "max":
        pooled = outputs.max(0).values
    else:
        pooled = torch.cat([outputs.mean(0), outputs.max(0).values])
    return functional.linear(pooled, model.output.weight, model.output.bias)[0]


@pytest.mark.parametrize(("model", "layers", "bidirectional", "pooling"), KINDS)
def test_a_padded_batch_gives_the_logits_of_every_review_by_itself(
    model: str, layers: int, bidirectional: bool, pooling: str
) -> None:
    ours = model_of(options_of(model, layers, bidirectional, pooling))
    tokens = reviews()
    logits = ours(tokens, LENGTHS)
    alone = [plain(ours, tokens[i, :n]) for i, n in enumerate(LENGTHS.tolist())]
    torch.testing.assert_close(logits, torch.stack(alone), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("model", "layers", "bidirectional", "pooling"), KINDS)
def test_what_lies_behind_a_reviews_end_changes_neither_logit_nor_gradient(
    model: str, layers: int, bidirectional: bool, pooling: str
) -> None:
    found = []
    for width in (12, 40):
        ours = model_of(options_of(model, layers, bidirectional, pooling, dropout=0.3))
        logits = ours(reviews(width), LENGTHS, Draws.of(1, 2, 3, torch.arange(6)))
        logits.sum().backward()
        found.append([logits.detach(), *(p.grad for p in ours.parameters())])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-14)


def test_padding_gets_no_gradient() -> None:
    ours = model_of(options_of(bidirectional=True))
    ours(reviews(40), LENGTHS).sum().backward()
    assert ours.embedding.weight.grad[0].abs().sum() == 0


def test_dropout_belongs_to_the_review_wherever_it_is() -> None:
    ours = model_of(options_of(layers=2, dropout=0.5, word_dropout=0.3))
    tokens = reviews()
    whole = ours(tokens, LENGTHS, Draws.of(0, 0, 0, torch.arange(6)))
    parts = [ours(tokens[i : i + 2], LENGTHS[i : i + 2],
                  Draws.of(0, 0, 0, torch.arange(i, i + 2))) for i in (0, 2, 4)]
    torch.testing.assert_close(whole, torch.cat(parts), rtol=1e-12, atol=1e-14)


def test_dropout_changes_with_seed_epoch_update_and_place() -> None:
    positions = torch.arange(100)
    draws = [Draws.of(*key, positions).dropped(place, 64, 0.5)
             for key in ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)) for place in (0, 1)]
    for one, other in itertools.combinations(draws, 2):
        assert 0.45 < (one == other).double().mean() < 0.55


@pytest.mark.parametrize("probability", [0.1, 0.5, 0.9])
def test_dropout_drops_its_part_and_keeps_the_mean(probability: float) -> None:
    draws = Draws.of(3, 0, 0, torch.arange(2000))
    assert abs(draws.dropped(0, 50, probability).double().mean() - probability) < 0.01
    scale = draws.scale(0, 50, probability, torch.float64)
    assert abs(scale.mean() - 1) < 0.03
    assert set(scale.unique().tolist()) == {0, 1 / (1 - probability)}


def test_word_dropout_reads_the_unknown_word() -> None:
    ours = model_of(options_of(word_dropout=0.999999))
    draws = Draws.of(0, 0, 0, torch.arange(6))
    unknown = torch.ones_like(reviews())
    torch.testing.assert_close(ours(reviews(), LENGTHS, draws), ours(unknown, LENGTHS))


@pytest.mark.parametrize("weight", [0.2, 1.0, 3.0])
def test_the_loss_is_torchs_with_its_positive_weight(weight: float) -> None:
    logits = torch.linspace(-4, 4, 9, dtype=torch.float64)
    labels = torch.tensor([0, 1, 0, 1, 1, 0, 1, 0, 1])
    wanted = nn.BCEWithLogitsLoss(pos_weight=torch.tensor(weight), reduction="sum")
    torch.testing.assert_close(
        binary_cross_entropy(logits, labels, weight), wanted(logits, labels.double()))


def test_the_learning_rate_rises_then_falls_to_nothing() -> None:
    rates = [learning_rate("linear", 1.0, step, 10, 4) for step in range(10)]
    assert rates[:4] == [0.25, 0.5, 0.75, 1.0]
    assert rates[4:] == pytest.approx([1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6])
    assert {learning_rate("constant", 0.3, step, 10, 0) for step in range(10)} == {0.3}
