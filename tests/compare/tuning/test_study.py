"""Choice of trials: a function of the seed and of the trials before."""

from collections.abc import Callable
from statistics import median
from typing import Any

import pytest

from compare.tuning.study import (
    COMPLETE,
    DIGITS,
    FAILED,
    PRUNED,
    RANDOM_TRIALS,
    UNPRUNED,
    Dimension,
    NextTrial,
    Trial,
    importance,
)

SPACE: dict[str, Dimension] = {
    "rate": {"values": (), "low": 0.001, "high": 1.0, "log": True},
    "width": {"values": (), "low": 8, "high": 64, "log": True},
    "pooling": {"values": ("last", "max"), "low": 0, "high": 0, "log": False},
    "noise": {"values": (), "low": 0, "high": 1, "log": False},
}
DEFAULTS = {"rate": 0.02, "width": 16, "pooling": "last", "noise": 0.5}


def quality(params: Any) -> float:
    """The best rate is 0.1; max is a little better; noise does nothing."""
    return 1 - abs(params["rate"] - 0.1) + 0.02 * (params["pooling"] == "max")


def search(
    trials: int, seed: int = 0, before: tuple[Trial, ...] = (),
    state: Callable[[int], str] = lambda number: COMPLETE,
) -> list[Trial]:
    found = [*before]
    for number in range(len(before), trials):
        params = NextTrial(SPACE, DEFAULTS, found, "maximize", seed).params
        found.append(Trial(
            number=number, params=params, state=state(number),
            value=None if state(number) == FAILED else quality(params), steps=[(0, 0.5)],
            seconds=1.0, reason=""))
    return found


@pytest.fixture(scope="module")
def long() -> list[Trial]:
    return search(32)


def test_the_first_trial_has_the_defaults() -> None:
    assert search(1)[0]["params"] == DEFAULTS


def test_a_search_that_was_interrupted_goes_on_as_it_would_have() -> None:
    def state(number: int) -> str:
        return {3: FAILED, 5: PRUNED}.get(number, COMPLETE)

    whole = search(14, state=state)
    for cut in (1, 6, 11):
        assert search(14, before=tuple(whole[:cut]), state=state) == whole
    assert search(14, seed=1, state=state) != whole


def test_values_are_inside_of_the_space_and_short() -> None:
    for trial in search(12):
        params = trial["params"]
        assert 0.001 <= params["rate"] <= 1
        assert isinstance(params["width"], int)
        assert 8 <= params["width"] <= 64
        assert params["pooling"] in ("last", "max")
        assert params["rate"] == float(f"{params['rate']:.{DIGITS}g}")


def test_later_trials_are_better_than_random_ones(long: list[Trial]) -> None:
    values = [quality(trial["params"]) for trial in long]
    later, first = values[-15:], values[1:RANDOM_TRIALS]
    assert median(later) > median(first) + 0.02
    assert max(later) > max(first)


@pytest.mark.parametrize(("direction", "bad", "good"), [
    ("maximize", 0.1, 0.9), ("minimize", 0.9, 0.1)])
def test_a_trial_that_is_worse_than_half_is_pruned_once_enough_are_complete(
    direction: Any, bad: float, good: float
) -> None:
    done = search(UNPRUNED)
    assert not NextTrial(SPACE, DEFAULTS, done[:-1], direction, 0).report(0, bad)
    assert NextTrial(SPACE, DEFAULTS, done, direction, 0).report(0, bad)
    assert not NextTrial(SPACE, DEFAULTS, done, direction, 0).report(0, good)


def test_importance_finds_what_matters(long: list[Trial]) -> None:
    found = importance(SPACE, long, "maximize")
    assert next(iter(found)) == "rate"
    assert found["rate"] > 5 * found["noise"]
    assert sum(found.values()) == pytest.approx(1)
    assert importance(SPACE, long[:RANDOM_TRIALS], "maximize") == {}
