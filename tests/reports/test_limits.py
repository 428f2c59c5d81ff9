"""The sentence about who limits a run."""

import numpy as np
import pytest

from reports.limits import limits


@pytest.mark.parametrize(("compute", "wait", "said"), [
    ([9.8, 9.7], [0.1, 0.2], "time was waiting: nobody limits the run."),
    ([3.0, 9.5], [6.8, 0.2], "rank 1 limits the run, the others wait for it."),
    ([7.0, 7.1], [2.9, 2.8], "no rank limits the run, but the exchange of gradients does."),
    ([9.8, 0.0], [0.1, 0.0], "nobody limits the run; 1 of 2 ranks were parked all the time."),
])
def test_the_sentence_names_what_limits(
    compute: list[float], wait: list[float], said: str
) -> None:
    assert limits(np.array(compute), np.array(wait), 10.0).endswith(said)


def test_a_run_without_time_says_nothing() -> None:
    assert limits(np.zeros(2), np.zeros(2), 0.0) == ""
