"""The state of a run goes through a checkpoint's JSON unchanged."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpi_train.train_state import EpochTotals, TrainState

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
COUNTS = st.integers(0, 2**50)
STATES = st.builds(
    TrainState, store=st.text(), rows=st.text(), step=COUNTS,
    best=st.none() | st.fixed_dictionaries({"epoch": COUNTS, "accuracy": st.none() | NUMBERS}),
    highest=st.none() | NUMBERS, worse=COUNTS, seconds=NUMBERS, reviews=COUNTS,
    step_seconds=NUMBERS, skipped=COUNTS,
    balancer=st.none() | st.dictionaries(st.text(), st.lists(NUMBERS)),
    epoch=st.builds(EpochTotals, loss=NUMBERS, reviews=COUNTS, seconds=NUMBERS))


@given(STATES)
def test_a_state_comes_back_as_it_was(state: TrainState) -> None:
    body = json.loads(json.dumps({"format": "any", **state.to_json(), "files": {}}))
    assert TrainState.from_json(body) == state


def test_what_is_written_shares_nothing_with_a_run_that_goes_on() -> None:
    state = TrainState("store", balancer={"speeds": [1.0, 2.0]}, epoch=EpochTotals(reviews=64))
    written = state.to_json()
    state.epoch.reviews += 64
    assert state.balancer is not None
    state.balancer["speeds"][0] = 9.0
    assert written["epoch"]["reviews"] == 64 and written["balancer"] == {"speeds": [1.0, 2.0]}


def test_a_checkpoint_of_the_first_version_has_neither_chosen_rows_nor_skipped_updates() -> None:
    body = TrainState("store", step=3).to_json()
    del body["rows"], body["skipped"]
    assert TrainState.from_json(body) == TrainState("store", step=3)


@pytest.mark.parametrize("name", ["store", "step", "epoch", "balancer"])
def test_what_lacks_a_field_is_no_state(name: str) -> None:
    body = TrainState("store").to_json()
    del body[name]
    with pytest.raises((KeyError, TypeError)):
        TrainState.from_json(body)
