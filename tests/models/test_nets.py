"""Models read every review to its length and not a word further."""

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from models.nets import build, recurrent
from models.nets.bag import Table, sum_rows
from models.nets.dropout import DropoutRandom
from models.nets.recurrent import Gru, Lstm, MeanMax
from models.options import InputsAndOutputs, ModelOptions
from models.records import RECORDS, make_options
from reviews.options import leaves

WORDS, LENGTHS = 50, torch.tensor([1, 3, 7, 9, 9, 12])
KINDS = list(itertools.product(("lstm", "gru"), (1, 2), (False, True),
                               ("last", "max", "mean+max")))
OTHERS = ("bilstm-attention", "cnn", "bag", "lstm+ngrams", "bilstm-attention+ngrams")


def options_of(model: str = "lstm", layers: int = 1, bidirectional: bool = False,
               pooling: str = "mean+max", **others: Any) -> ModelOptions[Any]:
    """Small ones; `+ngrams` behind a model's name gives it those."""
    model, _, joined = model.partition("+")
    values = {"embedding_dim": 6, "hidden_dim": 5, "layers": layers, "pooling": pooling,
              "bidirectional": bidirectional, "widths": (1, 2, 5), "filters": 4, "dropout": 0.0,
              "word_dropout": 0.0, "buckets": 70, "ngram_dim": 3,
              "ngrams": 3 if joined or model == "bag" else 0, "vocabulary_size": WORDS,
              "padding": 0, "unknown": 1, **others}
    own = {leaf.name for kind in (RECORDS[model].network, InputsAndOutputs)
           for leaf in leaves(kind)}
    return make_options(model, **{name: values[name] for name in own & set(values)})


def gradients(model: Any) -> list[Tensor]:
    """Of all parameters; that of a table of n-grams as a whole."""
    for module in model.modules():
        if isinstance(module, Table):
            [(rows, values)] = module.parts
            module.weight.grad = torch.zeros_like(module.weight)
            module.weight.grad[rows] = values
    return [parameter.grad for parameter in model.parameters()]


def model_of(options: ModelOptions[Any]) -> Any:
    torch.manual_seed(4)
    return build(options).double()


def reviews(width: int = 12) -> Tensor:
    """Tokens (6, width): reviews of LENGTHS, with rubbish behind their ends."""
    numbers = np.random.default_rng(0).integers(2, WORDS, (len(LENGTHS), 12))
    tokens = np.random.default_rng(width).integers(0, WORDS, (len(LENGTHS), width))
    tokens[:, :12] = np.where(np.arange(12) < LENGTHS.numpy()[:, None], numbers, tokens[:, :12])
    return torch.from_numpy(tokens)


def plain(model: Any, words: Tensor) -> Tensor:
    """The logit of one review (T,) by torch's own layers, alone and without padding."""
    is_lstm, options = model.options.model == "lstm", model.options.network
    kind = nn.LSTM if is_lstm else nn.GRU
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
        hidden = (state[0] if is_lstm else state)[:, 0]
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


@pytest.mark.parametrize("model", OTHERS)
@pytest.mark.parametrize("outputs", [1, 3])
def test_a_review_has_the_same_logits_alone_and_in_a_padded_batch(
    model: str, outputs: int
) -> None:
    ours = model_of(options_of(model, layers=2, outputs=outputs))
    tokens = reviews()
    alone = [ours(tokens[i : i + 1, :n], torch.tensor([n])) for i, n in enumerate(LENGTHS.tolist())]
    assert ours(tokens, LENGTHS).shape == ((6,) if outputs == 1 else (6, outputs))
    torch.testing.assert_close(ours(tokens, LENGTHS), torch.cat(alone), rtol=1e-10, atol=1e-12)


def test_the_gradient_of_mean_and_maximum_is_autograds() -> None:
    torch.manual_seed(0)
    x = torch.randn(12, 6, 4, dtype=torch.float64, requires_grad=True)
    inside = torch.arange(12)[:, None] < LENGTHS
    outside, scale = ~inside[:, :, None], torch.linspace(1, 2, 8, dtype=torch.float64)
    wanted = torch.cat([x.masked_fill(outside, 0).sum(0) / LENGTHS[:, None],
                        x.masked_fill(outside, -torch.inf).max(0).values], 1)
    found = MeanMax.apply(x, inside, LENGTHS)
    torch.testing.assert_close(found, wanted)
    gradients = [torch.autograd.grad((pooled * scale).sum(), x)[0] for pooled in (found, wanted)]
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float64])
@pytest.mark.parametrize(("ours", "torchs"), [(Lstm, nn.LSTM), (Gru, nn.GRU)])
def test_a_layer_that_autocast_would_round_otherwise_is_rounded_as_it_asks_for(
    ours: type[Lstm] | type[Gru], torchs: type[nn.LSTM] | type[nn.GRU], kind: torch.dtype,
    monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recurrent, "rounded_type", lambda device: kind)
    torch.manual_seed(0)
    layer, x = ours(6, 5), torch.randn(7, 3, 6)
    rounded = torchs(6, 5).to(kind)
    rounded.load_state_dict(layer.state_dict())
    outputs = layer(x)[0]
    torch.testing.assert_close(outputs, rounded(x.to(kind))[0], rtol=0, atol=0)
    outputs.sum().backward()
    rounded(x.to(kind))[0].sum().backward()
    for own, theirs in zip(layer.parameters(), rounded.parameters(), strict=True):
        assert own.grad is not None and theirs.grad is not None
        torch.testing.assert_close(own.grad, theirs.grad.float(), rtol=1e-2, atol=1e-2)


def test_layers_on_a_processor_are_left_to_autocast() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        assert recurrent.rounded_type(torch.device("cpu")) is None
    assert recurrent.rounded_type(torch.device("cuda")) is None  # outside of any


def test_attention_is_a_weighted_mean_of_torchs_own_bidirectional_outputs() -> None:
    ours = model_of(options_of("bilstm-attention"))
    whole = nn.LSTM(6, 5, bidirectional=True).double()
    for direction, own in enumerate(ours.layers[0]):
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
            target = getattr(whole, name + "_l0" + ("_reverse" if direction else ""))
            target.data = getattr(own, name + "_l0").data
    words = reviews()[3, :9]
    outputs = whole(ours.embedding.weight[words])[0]  # (9, 10)
    weights = (torch.tanh(ours.attention(outputs)) @ ours.context).softmax(0)
    wanted = ours.output(weights @ outputs)[0]
    torch.testing.assert_close(ours(reviews(), LENGTHS)[3], wanted)


def test_convolutions_are_torchs_over_the_review_between_zeros() -> None:
    ours = model_of(options_of("cnn"))
    vectors = ours.embedding.weight[reviews()[2, :7]].t()[None]  # (1, E, 7)
    found = [
        functional.conv1d(functional.pad(vectors, (before, behind)), layer.weight,
                          layer.bias).relu().amax(2)
        for layer, (before, behind) in zip(ours.convolutions, [(0, 0), (0, 1), (2, 2)], strict=True)
    ]
    wanted = ours.output(torch.cat(found, 1))[0, 0]
    torch.testing.assert_close(ours(reviews(), LENGTHS)[2], wanted)


def ngram_rows(words: list[int], ours: Any) -> list[int]:
    """The rows of a review's words and n-grams: equal n-grams have equal rows."""
    seen = ours.table.ids(torch.tensor([words]), torch.tensor([len(words)]))
    return seen[0].tolist()


def test_a_bag_counts_every_word_and_ngram_and_mixes_no_two_reviews() -> None:
    ours = model_of(options_of("bag", buckets=10_000))
    once, twice = ngram_rows([5, 6, 7], ours), ngram_rows([5, 6, 7, 5, 6, 7], ours)
    assert once[:3] == [5, 6, 7]
    assert len(once) == 3 + 2 + 1
    assert len(set(once)) == 6
    assert min(once[3:]) >= WORDS
    assert set(once) < set(twice)
    assert len(twice) == 6 + 5 + 4
    assert ngram_rows([6, 5], ours)[2] != ngram_rows([5, 6], ours)[2]
    assert ngram_rows([9], ours) == [9]


def test_a_bags_gradient_is_that_of_torchs_embedding_bag_on_the_rows_touched() -> None:
    ours = model_of(options_of("bag"))
    ids, counts = ours.table.ids(reviews(), LENGTHS)
    weight = ours.table.weight.detach().clone().requires_grad_()
    pooled = functional.embedding_bag(ids, weight, counts.cumsum(0) - counts, mode="mean")
    scale = torch.linspace(1, 2, 6, dtype=torch.float64)
    (functional.linear(pooled, ours.output.weight, ours.output.bias)[:, 0] * scale).sum().backward()
    (ours(reviews(), LENGTHS) * scale).sum().backward()
    [(rows, values)] = ours.table.parts
    assert rows.tolist() == sorted(set(ids.tolist()))
    assert weight.grad is not None
    torch.testing.assert_close(gradients(ours)[0], weight.grad)
    assert values.shape == (len(rows), 6)


def test_ngrams_are_a_second_view_whose_logits_count_as_much_as_the_first_ones() -> None:
    ours, tokens = model_of(options_of("lstm+ngrams")), reviews()
    read_in_order = torch.stack([plain(ours, tokens[i, :n]) for i, n in enumerate(LENGTHS)])
    view = ours.ngrams
    bags = [view.table.weight[view.table.ids(tokens[i : i + 1, :n], torch.tensor([n]))[0]].mean(0)
            for i, n in enumerate(LENGTHS.tolist())]
    own = view.output(torch.stack(bags))[:, 0]
    torch.testing.assert_close(ours(tokens, LENGTHS), (read_in_order + own) / 2)
    draws = DropoutRandom.of(0, 0, 0, torch.arange(6))
    torch.testing.assert_close(ours(tokens, LENGTHS, draws), torch.cat([read_in_order, own]))


def test_rows_are_summed_by_their_number() -> None:
    rows, values = sum_rows(torch.tensor([4, 1, 4, 9]), torch.tensor([0, 1, 2, 2]),
                            torch.tensor([[1.0], [2.0], [4.0]]))
    assert rows.tolist() == [1, 4, 9]
    assert values[:, 0].tolist() == [2, 5, 4]


@pytest.mark.parametrize(
    ("model", "layers", "bidirectional", "pooling"),
    [*KINDS, *((model, 2, False, "max") for model in OTHERS)])
def test_what_lies_behind_a_reviews_end_changes_neither_logit_nor_gradient(
    model: str, layers: int, bidirectional: bool, pooling: str
) -> None:
    found = []
    for width in (12, 40):
        ours = model_of(options_of(model, layers, bidirectional, pooling, dropout=0.3))
        logits = ours(reviews(width), LENGTHS, DropoutRandom.of(1, 2, 3, torch.arange(6)))
        logits.sum().backward()
        found.append([logits.detach(), *gradients(ours)])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("model", ["lstm", *OTHERS])
def test_padding_gets_no_gradient(model: str) -> None:
    ours = model_of(options_of(model, bidirectional=True))
    ours(reviews(40), LENGTHS).sum().backward()
    first = next(name for name, _ in ours.named_parameters() if name.endswith(
        ("embedding.weight", "table.weight")))
    table = dict(zip((n for n, _ in ours.named_parameters()), gradients(ours), strict=True))[first]
    assert table[0].abs().sum() == 0


@pytest.mark.parametrize("model", ["lstm", *OTHERS])
def test_dropout_belongs_to_the_review_wherever_it_is(model: str) -> None:
    ours = model_of(options_of(model, layers=2, dropout=0.5, word_dropout=0.3))
    tokens = reviews()
    whole = ours(tokens, LENGTHS, DropoutRandom.of(0, 0, 0, torch.arange(6)))
    parts = [ours(tokens[i : i + 2], LENGTHS[i : i + 2],
                  DropoutRandom.of(0, 0, 0, torch.arange(i, i + 2))) for i in (0, 2, 4)]
    if "ngrams" in model:  # both views of each part
        parts = [part.reshape(2, -1) for part in parts]
        whole = whole.reshape(2, -1)
    torch.testing.assert_close(whole, torch.cat(parts, -1), rtol=1e-12, atol=1e-14)


def test_dropout_changes_with_seed_epoch_update_and_place() -> None:
    positions = torch.arange(100)
    draws = [DropoutRandom.of(*key, positions).dropped(place, 64, 0.5)
             for key in ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)) for place in (0, 1)]
    for one, other in itertools.combinations(draws, 2):
        assert 0.45 < (one == other).double().mean() < 0.55


@pytest.mark.parametrize("probability", [0.1, 0.5, 0.9])
def test_dropout_drops_its_part_and_keeps_the_mean(probability: float) -> None:
    draws = DropoutRandom.of(3, 0, 0, torch.arange(2000))
    assert abs(draws.dropped(0, 50, probability).double().mean() - probability) < 0.01
    scale = draws.scale(0, 50, probability, torch.float64)
    assert abs(scale.mean() - 1) < 0.03
    assert set(scale.unique().tolist()) == {0, 1 / (1 - probability)}


@pytest.mark.parametrize("model", ["lstm", "bilstm-attention", "cnn", "bag"])
def test_word_dropout_reads_the_unknown_word(model: str) -> None:
    ours = model_of(options_of(model, word_dropout=0.999999))
    draws = DropoutRandom.of(0, 0, 0, torch.arange(6))
    unknown = torch.ones_like(reviews())
    torch.testing.assert_close(ours(reviews(), LENGTHS, draws), ours(unknown, LENGTHS))
