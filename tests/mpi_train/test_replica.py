"""A replica gives away all of its state, and takes it back, wherever its tensors lie."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from models.nets import build
from models.records import make_options
from mpi_train.configuration.resolve import layered
from mpi_train.exchange.communicator import Communicator
from mpi_train.exchange.group import Group
from mpi_train.monitoring.phase_timer import PhaseTimer
from mpi_train.replica import Replica

CPU = torch.device("cpu")


def make_replica(model: nn.Module, device: torch.device = CPU, **choices: Any) -> Replica:
    config = layered({"model": "lstm", "store": "store", **choices})
    communicator = Communicator()
    communicator.connect("auto")
    return Replica(config, model, Group(communicator), device, PhaseTimer())


def lstm(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return build(make_options("lstm", dropout=0.0, vocabulary_size=20, padding=0, unknown=1,
                              embedding_dim=4, hidden_dim=3, layers=1, pooling="last"))


def trained(replica: Replica, steps: int) -> Replica:
    """The replica after updates along made-up gradients."""
    draws = torch.Generator().manual_seed(1)
    for step in range(1, steps + 1):
        for parameter in replica.model.parameters():
            assert parameter.grad is not None
            parameter.grad.copy_(torch.randn(parameter.shape, generator=draws))
        replica.step(0.1)
        replica.average(step)
    return replica


def equal(one: Any, other: Any) -> bool:
    return one.keys() == other.keys() and all(
        torch.equal(one[name], other[name]) for name in one)


def test_the_full_state_put_into_another_replica_makes_the_same_updates() -> None:
    first = trained(make_replica(lstm(0), keep="average"), 3)
    second = make_replica(lstm(1), keep="average")
    second.load(first.full_state())
    for replica in (first, second):
        trained(replica, 2)
    one, other = first.full_state(), second.full_state()
    assert all(equal(one[part], other[part]) for part in ("weights", "optimizer", "average"))
    assert one["optimizer"] and one["average"]


def test_the_full_state_is_a_copy() -> None:
    replica = make_replica(lstm(0))
    before = replica.full_state()
    trained(replica, 1)
    assert not equal(before["weights"], replica.full_state()["weights"])
    assert before["optimizer"] == before["average"] == {}


def test_an_average_that_a_resume_begins_starts_with_the_weights() -> None:
    before = trained(make_replica(lstm(0), keep="last"), 2).full_state()
    replica = make_replica(lstm(1), keep="average")
    replica.load(before)
    assert equal(replica.full_state()["average"], before["weights"])


def test_predictions_and_the_bundle_are_of_the_average_inside() -> None:
    replica = trained(make_replica(lstm(0), keep="average"), 3)
    own, averages = replica.arrays(), replica.full_state()["average"]
    own = {name: value.copy() for name, value in own.items()}
    with replica.predicting([]):
        inside = {name: value.copy() for name, value in replica.arrays().items()}
    assert all(np.array_equal(inside[name], averages[name].numpy()) for name in inside)
    assert all(np.array_equal(value, own[name]) for name, value in replica.arrays().items())
    assert not all(np.array_equal(inside[name], own[name]) for name in own)


def test_clipping_bounds_a_step() -> None:
    replica = make_replica(lstm(0), optimizer="sgd", momentum=0.0, clip_norm=0.01)
    before = replica.full_state()["weights"]
    trained(replica, 1)
    after = replica.full_state()["weights"]
    moved = torch.stack([(after[name] - before[name]).norm() for name in before]).norm()
    assert float(moved) == pytest.approx(0.1 * 0.01, rel=1e-3)


@pytest.mark.filterwarnings("ignore:for .* copying from a non-meta parameter")
def test_the_optimizers_state_comes_back_to_where_its_parameter_is() -> None:
    before = trained(make_replica(lstm(0)), 1).full_state()
    elsewhere = make_replica(lstm(0), torch.device("meta"))  # stands for a GPU
    elsewhere.load(before)
    moments = [value for state in elsewhere._optimizer.state.values() for value in state.values()]
    assert len(moments) == len(before["optimizer"]) > 0
    assert {value.device.type for value in moments} == {"meta"}
