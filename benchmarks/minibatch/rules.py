"""Rules by which learning rate and warm-up follow the batch size."""

from collections.abc import Sequence
from dataclasses import dataclass

RULES = {
    "none": "rate and warm-up epochs as they are",
    "sqrt": "rate times the root of the ratio of the batch sizes, warm-up over a tenth of the run",
    "linear": "rate times the ratio (Goyal et al. 2017), warm-up over a tenth of the run",
    "legw": "rate times the root, warm-up epochs times the ratio (You et al. 2019)",
    "lamb": "--optimizer lamb with rate and warm-up as legw has them (You et al. 2020)",
}
GRADUAL = 0.1  # of the run, the warm-up of sqrt and linear


@dataclass(frozen=True)
class Base:
    """Choices at the base batch size, that a rule scales from.

    Attributes:
        batch_size: reviews of an update.
        learning_rate, lamb_rate: highest rates of Adam and of LAMB.
        warmup_epochs: epochs in which the rate rises.
    """

    batch_size: int
    learning_rate: float
    lamb_rate: float
    warmup_epochs: float


def rules_at(batch_size: int, rules: Sequence[str], base: Base) -> list[tuple[str, str]]:
    """Pairs (rule that is run, its title) at a batch size: rules that are the same are one.

    At the base batch size all rules but lamb are none.
    """
    if batch_size != base.batch_size:
        return [(rule, rule) for rule in rules]
    same = [rule for rule in rules if rule != "lamb"]
    return ([("none", ", ".join(same))] if same else []) + [
        (rule, rule) for rule in rules if rule == "lamb"]


def train_options(rule: str, batch_size: int, base: Base) -> list[str]:
    """Options of `train` for a rule at a batch size."""
    scaling = {"lamb": "legw"}.get(rule, rule)
    rate = base.lamb_rate if rule == "lamb" else base.learning_rate
    gradual = rule in ("sqrt", "linear")
    return [
        "--batch-size", str(batch_size), "--learning-rate", str(rate),
        *(["--optimizer", "lamb"] if rule == "lamb" else []),
        *(["--warmup-fraction", str(GRADUAL)] if gradual else
          ["--warmup-epochs", str(base.warmup_epochs)]),
        *(["--learning-rate-scaling", scaling, "--base-batch-size", str(base.batch_size)]
          if scaling != "none" else []),
    ]
