"""Optimizers are torch's own, on dense gradients and on the rows of sparse ones; so is clipping."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models.nets.bag import Table
from mpi_train.configuration.config import TrainingConfig
from mpi_train.exchange.communicator import Communicator
from mpi_train.exchange.gradient_buckets import GradientBuckets
from mpi_train.exchange.group import Group
from mpi_train.optimization.ema import EMA
from mpi_train.optimization.optimizers import Adagrad, make_optimizer
from reviews.errors import UserError

RATES = (0.1, 0.3, 0.05)


def optimizer_of(model: nn.Module, **options: Any) -> Any:
    config = TrainingConfig.of(**options)
    return make_optimizer(config.optimizer, config.schedule, config.network, model)


def two_layers() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 1)).double()


def trained(model: nn.Module, optimizer: torch.optim.Optimizer) -> list[Tensor]:
    """The weights after three updates at changing rates."""
    x = torch.linspace(-1, 1, 8, dtype=torch.float64).reshape(2, 4)
    for rate in RATES:
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.zero_grad()
        (model(x) ** 2).sum().backward()
        optimizer.step()
    return [parameter.detach() for parameter in model.parameters()]


@pytest.mark.parametrize(("options", "wanted"), [
    ({"optimizer": "adam", "betas": (0.8, 0.95), "eps": 1e-4, "weight_decay": 0.1},
     lambda p: torch.optim.Adam(p, betas=(0.8, 0.95), eps=1e-4, weight_decay=0.1)),
    ({"optimizer": "adamw", "betas": (0.8, 0.95), "eps": 1e-4, "weight_decay": 0.1},
     lambda p: torch.optim.AdamW(p, betas=(0.8, 0.95), eps=1e-4, weight_decay=0.1)),
    ({"optimizer": "sgd", "momentum": 0.7, "weight_decay": 0.1},
     lambda p: torch.optim.SGD(p, momentum=0.7, weight_decay=0.1)),
    ({"optimizer": "adagrad", "eps": 1e-4}, lambda p: torch.optim.Adagrad(p, eps=1e-4)),
], ids=lambda value: value["optimizer"] if isinstance(value, dict) else "")
def test_every_optimizer_is_torchs_with_its_options(options: Any, wanted: Any) -> None:
    ours, theirs = two_layers(), two_layers()
    found = trained(ours, optimizer_of(ours, **options))
    torch.testing.assert_close(found, trained(theirs, wanted(theirs.parameters())))


def test_lamb_is_the_papers_algorithm() -> None:
    """You et al. 2020, algorithm 2, in NumPy; a tensor of zeros has a step of Adam's length."""
    ours = two_layers()
    with torch.no_grad():
        ours[0].bias.zero_()
    weights = [parameter.detach().numpy().copy() for parameter in ours.parameters()]
    m, v = ([np.zeros_like(value) for value in weights] for _ in range(2))
    optimizer = optimizer_of(ours, optimizer="lamb", betas=(0.8, 0.95), eps=1e-4,
                             weight_decay=0.1)
    rng = np.random.default_rng(4)
    for step, rate in enumerate(RATES, 1):
        optimizer.param_groups[0]["lr"] = rate
        for number, parameter in enumerate(ours.parameters()):
            gradient = rng.normal(size=weights[number].shape)
            parameter.grad = torch.from_numpy(gradient.copy())
            m[number] = 0.8 * m[number] + 0.2 * gradient
            v[number] = 0.95 * v[number] + 0.05 * gradient**2
            direction = (m[number] / (1 - 0.8**step)
                         / (np.sqrt(v[number] / (1 - 0.95**step)) + 1e-4) + 0.1 * weights[number])
            length = np.linalg.norm(weights[number])
            ratio = length / np.linalg.norm(direction) if length else 1
            weights[number] = weights[number] - rate * ratio * direction
        optimizer.step()
    for found, wanted in zip(ours.parameters(), weights, strict=True):
        np.testing.assert_allclose(found.detach().numpy(), wanted, rtol=1e-12)


def test_momentum_is_of_gradients_and_not_of_steps_when_the_rate_changes() -> None:
    """Goyal et al. 2017, equation 9: v = m v + g, w = w - rate v."""
    weight = nn.Parameter(torch.tensor([2.0], dtype=torch.float64))
    model = nn.Module()
    model.weight = weight
    optimizer = optimizer_of(model, optimizer="sgd", momentum=0.9)
    velocity, value = 0.0, 2.0
    for rate, gradient in zip(RATES, (1.0, -3.0, 2.0), strict=True):
        weight.grad = torch.full_like(weight, gradient)
        optimizer.param_groups[0]["lr"] = rate
        optimizer.step()
        velocity = 0.9 * velocity + gradient
        value -= rate * velocity
    assert weight.item() == pytest.approx(value)


def test_ngrams_learn_by_adagrad_beside_a_model_that_learns_by_another() -> None:
    model = nn.Module()
    model.rest, model.table = two_layers(), Table(5, 2)
    optimizer = optimizer_of(model, ngrams=2, learning_rate=0.1, ngram_rate=0.4)
    rates = [0.1 * group.get("scale", 1) for group in optimizer.param_groups]
    assert rates == pytest.approx([0.1, 0.4])
    before = model.table.weight.detach().clone()
    model.table.weight.grad = torch.sparse_coo_tensor(
        torch.tensor([[3]]), torch.ones(1, 2), before.shape, is_coalesced=True,
        check_invariants=True)
    model.rest(torch.ones(1, 4, dtype=torch.float64)).sum().backward()
    optimizer.step()
    moved = (model.table.weight - before).abs()
    torch.testing.assert_close(moved[3], torch.full((2,), 0.4))
    assert moved.sum() == moved[3].sum()
    assert set(optimizer.state[model.rest[0].weight]) == {"step", "exp_avg", "exp_avg_sq"}
    assert set(optimizer.state[model.table.weight]) == {"sum"}


def test_rows_that_an_update_does_not_touch_stay_and_others_share_one_sum_of_squares() -> None:
    weight = nn.Parameter(torch.ones(5, 2, dtype=torch.float64))
    optimizer = Adagrad([weight], lr=0.1, eps=1e-8)
    rows, values = torch.tensor([1, 3]), torch.tensor([[3.0, 1.0], [0.5, -0.5]]).double()
    weight.grad = torch.sparse_coo_tensor(rows[None], values, weight.shape, is_coalesced=True,
                                          check_invariants=True)
    optimizer.step()
    optimizer.step()
    sums = values.square().mean(1, keepdim=True)
    wanted = torch.ones(5, 2, dtype=torch.float64)
    wanted[rows] -= 0.1 * values / sums.sqrt() + 0.1 * values / (2 * sums).sqrt()
    torch.testing.assert_close(weight.detach(), wanted)
    assert optimizer.state[weight]["sum"].shape == (5,)


class TwoKinds(nn.Module):
    """A table and a dense layer."""

    def __init__(self) -> None:
        super().__init__()
        self.table = Table(10, 3)
        self.output = nn.Linear(3, 1)

    def forward(self, ids: Tensor, counts: Tensor) -> Tensor:
        return self.output(self.table(ids, counts))


@pytest.mark.parametrize("limit", [0.01, 100.0])
def test_clipping_takes_the_norm_of_dense_and_sparse_gradients_together(limit: float) -> None:
    torch.manual_seed(0)
    model = TwoKinds().double()
    gradients = GradientBuckets(model, Group(Communicator()))
    gradients.start()
    gradients.arm()
    model(torch.tensor([1, 2, 2, 7]), torch.tensor([3, 1])).square().sum().backward()
    gradients.finish(np.ones(1))
    dense = [nn.Parameter(torch.zeros_like(p)) for p in model.parameters()]
    for parameter, own in zip(dense, model.parameters(), strict=True):
        assert own.grad is not None
        parameter.grad = own.grad.to_dense().clone()
    torch.nn.utils.clip_grad_norm_(dense, limit)
    gradients.clip(limit)
    for parameter, own in zip(dense, model.parameters(), strict=True):
        assert own.grad is not None
        torch.testing.assert_close(own.grad.to_dense(), parameter.grad)


def test_the_average_follows_the_weights_and_stands_in_for_them() -> None:
    model = nn.Linear(1, 1, bias=False).double()
    average, wanted = EMA(model, decay=0.3), model.weight.item()
    for step, value in enumerate((1.0, 5.0, -2.0), start=1):
        model.weight.data.fill_(value)
        average.update(step)
        decay = min(0.3, (1 + step) / (10 + step))
        wanted = decay * wanted + (1 - decay) * value
    with average.in_place():
        assert model.weight.item() == pytest.approx(wanted)
    assert model.weight.item() == -2.0


@pytest.mark.parametrize(("options", "message"), [
    ({"model": "bag"}, "--optimizer adam would change all rows of a bag"),
    ({"model": "bag", "optimizer": "sgd"}, "give --momentum 0"),
    ({"model": "bag", "optimizer": "adagrad", "keep": "average"}, "--keep average would read"),
    ({"optimizer": "adagrad", "weight_decay": 0.1},
     "--weight-decay is for sgd, adam, adamw and lamb"),
    ({"betas": (0.9, 1.0)}, "--betas is 0.9,1: give two numbers"),
    ({"betas": (0.9,)}, "--betas is 0.9: give two numbers"),
    ({"label_smoothing": 0.1, "loss": "focal"}, "--label-smoothing is not for --loss focal"),
    ({"positive_weight": 2.0, "loss": "focal"}, "--positive-weight is for --loss bce"),
    ({"model": "cnn", "widths": (3, 0)}, "--widths is 3,0: give numbers of 1 or more"),
])
def test_what_does_not_go_together_is_refused_in_one_line(options: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        TrainingConfig.of(**options)
