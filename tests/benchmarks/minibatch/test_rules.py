"""Each rule of scaling gives `train` the rate and the warm-up of its formula."""

import pytest

from benchmarks.minibatch.rules import RULES, Base, rules_at, train_options
from mpi_train.configuration.config import make_training_parser
from mpi_train.configuration.resolve import layered
from mpi_train.optimization.schedules import Schedule

BASE = Base(batch_size=100, learning_rate=0.002, lamb_rate=0.01, warmup_epochs=0.5)
UPDATES, EPOCHS = 50, 8  # of an epoch at batch 400


@pytest.mark.parametrize(("rule", "optimizer", "rate", "warmup"), [
    ("none", "adam", 0.002, 0.5 * UPDATES),
    ("sqrt", "adam", 0.004, 0.1 * UPDATES * EPOCHS),
    ("linear", "adam", 0.008, 0.1 * UPDATES * EPOCHS),
    ("legw", "adam", 0.004, 4 * 0.5 * UPDATES),
    ("lamb", "lamb", 0.02, 4 * 0.5 * UPDATES),
])
def test_a_rule_at_four_times_the_base_batch_size(
    rule: str, optimizer: str, rate: float, warmup: float
) -> None:
    named = make_training_parser("train").parse_args(
        ["--config", "plain-lstm", *train_options(rule, 400, BASE)])
    config = layered(vars(named))
    schedule = Schedule.of(config.schedule, config.data.batch_size, UPDATES * EPOCHS, UPDATES)
    assert config.optimizer.optimizer == optimizer
    assert (schedule.peak, schedule.warmup) == (pytest.approx(rate), warmup)


def test_at_the_base_batch_size_all_rules_but_lamb_are_one_run() -> None:
    assert rules_at(400, list(RULES), BASE) == [(rule, rule) for rule in RULES]
    assert rules_at(100, list(RULES), BASE) == [
        ("none", "none, sqrt, linear, legw"), ("lamb", "lamb")]
    assert rules_at(100, ["legw"], BASE) == [("none", "legw")]
    assert rules_at(100, ["lamb"], BASE) == [("lamb", "lamb")]
