"""Learning rates are those of torch's own schedulers, scaled and warmed up as the papers say."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.optim import lr_scheduler

from mpi_train.configuration.config import TrainingConfig
from mpi_train.optimization.schedules import Schedule
from reviews.errors import UserError

TOTAL, EPOCH = 40, 10  # updates


def rates(**options: Any) -> list[float]:
    config = TrainingConfig.of(learning_rate=0.5, **options)
    schedule = Schedule.of(config.schedule, config.data.batch_size, TOTAL, EPOCH)
    return [schedule.rate(step) for step in range(TOTAL)]


def torchs(make: Callable[[torch.optim.Optimizer], Any], steps: int = TOTAL) -> list[float]:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], 0.5)
    scheduler, found = make(optimizer), []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


@pytest.mark.parametrize("warmup", [0, 1, 7])
@pytest.mark.parametrize(("schedule", "make"), [
    ("constant", lambda o, n: lr_scheduler.ConstantLR(o, 1.0)),
    ("linear", lambda o, n: lr_scheduler.LinearLR(o, 1.0, 0.0, n)),
    ("cosine", lambda o, n: lr_scheduler.CosineAnnealingLR(o, n)),
    ("step", lambda o, n: lr_scheduler.StepLR(o, 5, 0.3)),
])
def test_after_a_linear_rise_the_rate_follows_torchs_scheduler(
    schedule: str, make: Callable[[Any, int], Any], warmup: int
) -> None:
    found = rates(schedule=schedule, warmup_steps=warmup, step_epochs=0.5, step_factor=0.3)
    assert found[:warmup] == pytest.approx([0.5 * (i + 1) / warmup for i in range(warmup)])
    assert found[warmup:] == pytest.approx(
        torchs(lambda o: make(o, TOTAL - warmup), TOTAL - warmup), abs=1e-12)


@pytest.mark.parametrize("fraction", [0.1, 0.3, 0.5])
def test_one_cycle_is_torchs(fraction: float) -> None:
    wanted = torchs(lambda o: lr_scheduler.OneCycleLR(
        o, 0.5, total_steps=TOTAL, pct_start=fraction), TOTAL - 1)
    assert rates(schedule="one-cycle", warmup_fraction=fraction)[:-1] == pytest.approx(wanted)


def test_one_cycle_rises_for_three_tenths_unless_told_otherwise() -> None:
    assert rates(schedule="one-cycle") == rates(schedule="one-cycle", warmup_fraction=0.3)


def test_a_warm_up_is_as_long_in_updates_epochs_and_as_a_fraction() -> None:
    assert rates(warmup_steps=5) == rates(warmup_epochs=0.5) == rates(warmup_fraction=0.125)


@pytest.mark.parametrize(("scaling", "factor"), [("none", 1), ("linear", 16), ("sqrt", 4)])
def test_the_rate_grows_with_the_batch_as_asked(scaling: str, factor: float) -> None:
    options = {"learning_rate_scaling": scaling, "batch_size": 16_384, "base_batch_size": 1024}
    assert rates(**options) == pytest.approx([factor * rate for rate in rates()])


def test_legw_scales_by_the_square_root_and_lengthens_the_warm_up_with_the_batch() -> None:
    found = rates(learning_rate_scaling="legw", batch_size=4096, base_batch_size=1024,
                  warmup_epochs=0.5, schedule="constant")
    wanted = rates(warmup_epochs=2.0, schedule="constant")
    assert found == pytest.approx([2 * rate for rate in wanted])


@pytest.mark.parametrize(("options", "message"), [
    ({"warmup_steps": 1, "warmup_epochs": 1.0}, "--warmup-steps and --warmup-epochs both say"),
    ({"learning_rate_scaling": "legw"}, "legw needs --warmup-epochs"),
    ({"warmup_fraction": 1.0}, "--warmup-fraction is 1.0"),
    ({"step_factor": 0.0}, "--step-factor is 0.0: give more than 0"),
])
def test_what_says_nothing_or_too_much_is_refused(options: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        rates(**options)
