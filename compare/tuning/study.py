"""Choice of the next trial's options, and of the trials that are not worth their end, by Optuna.

The study is made anew from the finished trials whenever a trial begins, and its random numbers
follow from the seed and the number of the trial: a search that was interrupted goes on as it would
have gone on.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import TrialState

from reviews.hashing import hash_key

COMPLETE, PRUNED, FAILED = "complete", "pruned", "failed"
STATES = {COMPLETE: TrialState.COMPLETE, PRUNED: TrialState.PRUNED, FAILED: TrialState.FAIL}
RANDOM_TRIALS = 8  # before the sampler has enough of them to tell good from bad
UNPRUNED = 4  # complete trials before one can be pruned
DIGITS = 4  # of a number that is tried

optuna.logging.set_verbosity(optuna.logging.WARNING)


class Dimension(TypedDict):
    """Values that are tried of an option: some, or the numbers from low to high."""

    values: Sequence[Any]
    low: float
    high: float
    log: bool


class Trial(TypedDict):
    """A trial that has ended.

    params: the options that are searched.
    value: of the metric; None of one that failed, and of a pruned one its last.
    steps: number and metric of each validation that could have pruned it.
    """

    number: int
    params: Mapping[str, Any]
    state: str
    value: float | None
    steps: Sequence[tuple[int, float]]
    seconds: float
    reason: str


class NextTrial:
    """The trial that comes after some others.

    Args:
        space: what is tried, by the name of the option.
        defaults: of these options: the first trial has them.
        direction: of the better values.
    """

    def __init__(
        self, space: Mapping[str, Dimension], defaults: Mapping[str, Any],
        finished: Sequence[Trial], direction: Literal["maximize", "minimize"], seed: int,
    ) -> None:
        study = make_study(space, finished, direction, hash_key(seed, len(finished)) % 2**32)
        if not finished:
            study.enqueue_trial(dict(defaults))
        found = distributions(space, defaults)
        self._trial = study.ask(found)
        self.params = dict(defaults) if not finished else {
            name: rounded(value, found[name]) for name, value in self._trial.params.items()}

    def report(self, step: int, value: float) -> bool:
        """Take in a validation; True where the trial is worse than half of those before it."""
        self._trial.report(value, step)
        return self._trial.should_prune()


def make_study(
    space: Mapping[str, Dimension], finished: Sequence[Trial],
    direction: Literal["maximize", "minimize"], seed: int,
) -> optuna.Study:
    """The study of some finished trials."""
    study = optuna.create_study(
        direction=direction,
        sampler=optuna.samplers.TPESampler(n_startup_trials=RANDOM_TRIALS, seed=seed),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=UNPRUNED))
    for trial in finished:
        study.add_trial(optuna.trial.create_trial(
            state=STATES[trial["state"]], value=trial["value"], params=dict(trial["params"]),
            distributions=distributions(space, trial["params"]),
            intermediate_values=dict(trial["steps"])))
    return study


def distributions(
    space: Mapping[str, Dimension], values: Mapping[str, Any]
) -> dict[str, BaseDistribution]:
    """Distributions of Optuna, whole numbers where the values are such."""
    found: dict[str, BaseDistribution] = {}
    for name, searched in space.items():
        low, high, log = searched["low"], searched["high"], searched["log"]
        if searched["values"]:
            found[name] = CategoricalDistribution(tuple(searched["values"]))
        elif isinstance(values[name], int):
            found[name] = IntDistribution(int(low), int(high), log=log)
        else:
            found[name] = FloatDistribution(low, high, log=log)
    return found


def rounded(value: Any, distribution: BaseDistribution) -> Any:
    """The value with the digits that matter, inside of the distribution."""
    if not isinstance(distribution, FloatDistribution):
        return value
    short = float(f"{value:.{DIGITS}g}")
    return min(max(short, distribution.low), distribution.high)


def importance(
    space: Mapping[str, Dimension], finished: Sequence[Trial],
    direction: Literal["maximize", "minimize"],
) -> dict[str, float]:
    """Share of each option in what the best trials have apart from the others (PED-ANOVA, Watanabe
    et al. 2023), the largest first; nothing for fewer complete trials than random ones."""
    complete = [trial for trial in finished if trial["state"] == COMPLETE]
    if len(complete) <= RANDOM_TRIALS or len({trial["value"] for trial in complete}) < 2:
        return {}
    study = make_study(space, complete, direction, 0)
    evaluator = optuna.importance.PedAnovaImportanceEvaluator()
    found = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return {name: float(part) for name, part in found.items()}
