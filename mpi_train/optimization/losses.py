"""Losses as sums over reviews, and what an update divides them by: known before it begins."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from mpi_train.configuration.groups import LossOptions


@lru_cache(maxsize=8)
def _on_device(weights: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Class weights (C,), copied once: a GPU would stand still for the copy at each micro-batch."""
    return torch.tensor(weights, dtype=dtype, device=device)


@dataclass(frozen=True)
class Loss:
    """A loss over logits (n,) of two classes, or (n, C)."""

    kind: str  # bce, cross-entropy or focal
    weights: tuple[float, ...]  # one for each class, or none at all
    smoothing: float
    gamma: float
    teacher_weight: float = 0.0
    temperature: float = 1.0

    @classmethod
    def of(cls, options: LossOptions) -> "Loss":
        """The loss that resolved options ask for."""
        weights = options.weights
        if options.positive_weight != 1:
            weights = (1.0, options.positive_weight)
        return cls(options.loss, weights, options.label_smoothing, options.focal_gamma,
                   options.teacher_weight, options.teacher_temperature)

    def denominator(self, labels: np.ndarray) -> float:
        """Denominator of the sum over a whole batch with these labels (|G|,).

        As in torch: the number of reviews, for cross-entropy the sum of their weights, which
        may be 0.
        """
        if self.kind == "cross-entropy" and self.weights:
            return float(np.array(self.weights)[labels].sum())
        return float(len(labels))

    def sum(self, logits: Tensor, labels: Tensor, teacher: Tensor | None = None) -> Tensor:
        """Summed loss, a scalar, of logits (n,) or (n, C) with labels (n,) uint8.

        Of v views of the reviews, one below the other (v n, ...), the mean over the views. With
        the logits of a teacher, (n,) for two classes, else (n, C), a part of each review's loss is
        the cross-entropy with the teacher's probabilities (Hinton et al. 2015).
        """
        views = len(logits) // max(1, len(labels))
        if views > 1:
            repeated = None if teacher is None else torch.cat([teacher] * views)
            return self.sum(logits, labels.repeat(views), repeated) / views
        found = self._of_labels(logits, labels)
        if teacher is None:
            return found
        own = self._of_teacher(logits, labels, teacher.to(logits.dtype))
        return (1 - self.teacher_weight) * found + self.teacher_weight * own

    def _of_teacher(self, logits: Tensor, labels: Tensor, teacher: Tensor) -> Tensor:
        """T^2 times the cross-entropy of both sides' probabilities at temperature T, so that its
        slope is about as steep at any T; weighted by the classes of the labels."""
        if logits.ndim == 2 and logits.shape[1] == 2:
            logits = logits[:, 1] - logits[:, 0]
        cooler, wanted = logits / self.temperature, teacher / self.temperature
        if logits.ndim == 1:
            losses = functional.binary_cross_entropy_with_logits(
                cooler, wanted.sigmoid(), reduction="none")
        else:
            losses = functional.cross_entropy(cooler, wanted.softmax(1), reduction="none")
        if self.weights:
            losses = losses * _on_device(
                self.weights, logits.dtype, logits.device)[labels.long()]
        return self.temperature**2 * losses.sum()

    def _of_labels(self, logits: Tensor, labels: Tensor) -> Tensor:
        weights = _on_device(self.weights, logits.dtype, logits.device)
        if self.kind == "cross-entropy":
            return functional.cross_entropy(
                logits, labels.long(), weight=weights if self.weights else None,
                label_smoothing=self.smoothing, reduction="sum")
        if self.kind == "focal":
            losses = self._focal(logits, labels.long())
        else:
            truth = labels.to(logits.dtype) * (1 - self.smoothing) + self.smoothing / 2
            losses = functional.binary_cross_entropy_with_logits(logits, truth, reduction="none")
        return (losses * weights[labels.long()]).sum() if self.weights else losses.sum()

    def _focal(self, logits: Tensor, labels: Tensor) -> Tensor:
        """-(1 - p)^gamma log p of each review, p being that of its class (Lin et al. 2017).

        1 - p is taken from the logarithm of the other classes' probability: as a difference it is
        0 for a sure review, where its power has no finite slope for gamma < 1.
        """
        if logits.ndim == 1:
            signed = torch.where(labels == 1, logits, -logits)
            right, wrong = functional.logsigmoid(signed), functional.logsigmoid(-signed)
        else:
            logs = logits.log_softmax(1)
            right = logs.gather(1, labels[:, None]).squeeze(1)
            wrong = logs.scatter(1, labels[:, None], -torch.inf).logsumexp(1)
        return -(self.gamma * wrong).exp() * right
