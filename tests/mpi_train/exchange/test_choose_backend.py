"""A second of measurement says which backend sums gradients."""

from collections.abc import Mapping

import pytest
from torch import Tensor

from mpi_train.exchange import choose_backend
from mpi_train.exchange.choose_backend import LIMIT_S, MOST, fastest, measure


class Sums:
    """Stands for a group whose sums take a time to begin and a time for each number."""

    def __init__(self, latency_s: float, number_s: float) -> None:
        self.latency_s, self.number_s = latency_s, number_s
        self.sizes: list[int] = []

    def reserve(self, tensors: list[Tensor]) -> None:
        """Room is not the question here."""

    def seconds(self, values: Tensor) -> float:
        self.sizes.append(len(values))
        return self.latency_s + self.number_s * len(values)


class Ranks:
    """Stands for two ranks, of which the other one takes twice as long."""

    @property
    def world(self) -> "Ranks":
        return self

    def allgather(self, own: list[float]) -> list[list[float]]:
        return [own, [2 * seconds for seconds in own]]


@pytest.fixture(autouse=True)
def no_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choose_backend, "sum_seconds", Sums.seconds)


def measured(groups: Mapping[str, Sums], numbers: int) -> tuple[int, dict[str, float]]:
    return measure(groups, Ranks(), numbers)  # type: ignore[arg-type]


def test_the_message_grows_to_the_gradients_size_and_the_last_rank_counts() -> None:
    groups = {"gloo": Sums(1e-3, 1e-8), "shm+gloo": Sums(2e-3, 5e-9)}
    size, seconds = measured(groups, 1_000_000)
    assert size == 1_000_000
    assert seconds == {"gloo": pytest.approx(2 * 11e-3), "shm+gloo": pytest.approx(2 * 7e-3)}
    assert groups["gloo"].sizes == groups["shm+gloo"].sizes == sorted(groups["gloo"].sizes)


def test_a_slow_network_ends_it_after_about_a_second() -> None:
    group = Sums(0.0, 1e-5)
    size, _ = measured({"gloo": group}, MOST)
    assert size < MOST // 32
    assert 2 * sum(group.sizes[1:]) * 1e-5 <= LIMIT_S  # without the first, which connects


@pytest.mark.parametrize("numbers", [0, 1, 1 << 13, 10 * MOST])
def test_small_and_huge_gradients_are_timed_too(numbers: int) -> None:
    size, seconds = measured({"gloo": Sums(1e-3, 0.0)}, numbers)
    assert size == min(max(numbers, 1), MOST)
    assert seconds == {"gloo": pytest.approx(2e-3)}


def test_mpi_which_sends_when_it_is_asked_has_to_be_much_faster() -> None:
    assert fastest({"gloo": 3.0, "shm+gloo": 2.0, "mpi": 1.9}) == "shm+gloo"
    assert fastest({"gloo": 3.0, "shm+gloo": 2.0, "mpi": 1.5}) == "mpi"
    assert fastest({"gloo": 2.0, "mpi": 1.9}) == "gloo"
