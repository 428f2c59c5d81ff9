"""State of a run between two updates: what a checkpoint holds beside the tensors."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self, TypedDict

from mpi_train.optimization.loss_scale import LossScaleState
from reviews.runtime.noise_sums import NoiseSums


class Kept(TypedDict):
    """The epoch whose weights are the model, and their accuracy where it was measured."""

    epoch: int
    accuracy: float | None


@dataclass
class EpochTotals:
    """Sums over the updates of an epoch under way.

    Attributes:
        loss: sum over its reviews.
        reviews: number of reviews.
        seconds: wall time before this start of the program.
        noise: estimates for the gradient noise scale.
    """

    loss: float = 0.0
    reviews: int = 0
    seconds: float = 0.0
    noise: NoiseSums = field(default_factory=NoiseSums)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The totals of a checkpoint."""
        return cls(**{**values, "noise": NoiseSums(**values.get("noise", {}))})


@dataclass
class TrainState:
    """State of a run between two updates.

    Attributes:
        store: fingerprint of the store.
        rows: digest of the chosen rows; empty without them.
        step: updates done.
        best: the epoch that the model is of.
        highest: highest score of --keep-by, larger is better.
        worse: validations since then.
        seconds: wall time of the run.
        reviews: number of reviews over all updates.
        step_seconds: seconds of all updates.
        skipped: updates without a step.
        loss_scale: state of the loss scale (`LossScale.state`).
        noise_scale: figures of the last epoch with any (`NoiseSums.figures`).
        balancer: state of the balancer (`ShareCoordinator.state`).
        epoch: totals of the epoch under way.
    """

    store: str
    rows: str = ""
    step: int = 0
    best: Kept | None = None
    highest: float | None = None
    worse: int = 0
    seconds: float = 0.0
    reviews: int = 0
    step_seconds: float = 0.0
    skipped: int = 0
    loss_scale: LossScaleState | None = None
    noise_scale: dict[str, Any] | None = None
    balancer: dict[str, Any] | None = None
    epoch: EpochTotals = field(default_factory=EpochTotals)

    def to_json(self) -> dict[str, Any]:
        """The state as plain values, which share nothing with it."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The state of a checkpoint; fields that earlier versions did not write have defaults.

        Raises KeyError or TypeError for values that are no state.
        """
        known = {each.name: values[each.name] for each in fields(cls)
                 if each.name in values or each.name not in _LATER}
        return cls(**{**known, "epoch": EpochTotals.from_json(known["epoch"])})


# Fields that checkpoints of the first version lack.
_LATER = ("rows", "skipped", "loss_scale", "noise_scale")
