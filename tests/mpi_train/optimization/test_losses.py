"""Losses and their denominators are torch's own means."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from mpi_train.configuration.groups import LossOptions
from mpi_train.optimization.losses import Loss
from reviews.errors import UserError

BINARY = torch.linspace(-4, 4, 9, dtype=torch.float64)
SIDES = torch.tensor([0, 1, 0, 1, 1, 0, 1, 0, 1])
MANY = torch.from_numpy(np.random.default_rng(2).normal(size=(9, 3)))
CLASSES = torch.tensor([0, 2, 1, 1, 2, 0, 0, 1, 2])


def mean(logits: Tensor, labels: Tensor, **options: object) -> Tensor:
    loss = Loss.of(LossOptions(**options))  # type: ignore[arg-type]
    return loss.sum(logits, labels.to(torch.uint8)) / loss.denominator(labels.numpy())


@pytest.mark.parametrize("weight", [0.2, 1.0, 3.0])
def test_bce_has_torchs_positive_weight(weight: float) -> None:
    wanted = nn.BCEWithLogitsLoss(pos_weight=torch.tensor(weight))(BINARY, SIDES.double())
    torch.testing.assert_close(mean(BINARY, SIDES, positive_weight=weight), wanted)
    torch.testing.assert_close(mean(BINARY, SIDES, class_weights=f"1,{weight}"), wanted)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_cross_entropy_has_torchs_weights_and_smoothing(smoothing: float) -> None:
    weights = torch.tensor([0.5, 1.0, 4.0], dtype=torch.float64)
    wanted = functional.cross_entropy(MANY, CLASSES, weights, label_smoothing=smoothing)
    found = mean(MANY, CLASSES, loss="cross-entropy", class_weights="0.5,1,4",
                 label_smoothing=smoothing)
    torch.testing.assert_close(found, wanted)


def test_bce_smooths_as_cross_entropy_of_two_classes_does() -> None:
    two = torch.stack([torch.zeros_like(BINARY), BINARY], 1)
    wanted = functional.cross_entropy(two, SIDES, label_smoothing=0.3)
    torch.testing.assert_close(mean(BINARY, SIDES, label_smoothing=0.3), wanted)


def test_focal_without_gamma_is_the_plain_loss_and_with_it_scales_every_review() -> None:
    torch.testing.assert_close(mean(BINARY, SIDES, loss="focal", focal_gamma=0.0),
                               mean(BINARY, SIDES))
    losses = functional.cross_entropy(MANY, CLASSES, reduction="none")
    right = MANY.softmax(1)[torch.arange(9), CLASSES]
    weights = torch.tensor([0.5, 1.0, 4.0], dtype=torch.float64)[CLASSES]
    torch.testing.assert_close(
        mean(MANY, CLASSES, loss="focal", focal_gamma=2.5, class_weights="0.5,1,4"),
        (weights * (1 - right) ** 2.5 * losses).mean())


def test_focal_of_one_logit_is_that_of_two() -> None:
    two = torch.stack([torch.zeros_like(BINARY), BINARY], 1)
    torch.testing.assert_close(mean(BINARY, SIDES, loss="focal"), mean(two, SIDES, loss="focal"))


@pytest.mark.parametrize("weights", ["1,x", "0,0", "-1,1", "inf,1", ","])
def test_weights_that_are_none_are_refused(weights: str) -> None:
    with pytest.raises(UserError, match=f"--class-weights is {weights}: give balanced, or"):
        Loss.of(LossOptions(class_weights=weights))


@pytest.mark.parametrize("gamma", [0.3, 1.0, 2.0])
@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_slope_of_focal_is_a_number_however_sure_a_review_is(
    gamma: float, classes: int, dtype: torch.dtype
) -> None:
    sure = torch.tensor([-1e4, -200.0, -50.0, 0.0, 50.0, 200.0, 1e4], dtype=dtype)
    logits = sure if classes == 2 else torch.stack([sure, -sure, torch.zeros_like(sure)], 1)
    logits.requires_grad_()
    for label in range(classes):
        logits.grad = None
        labels = torch.full((len(sure),), label, dtype=torch.uint8)
        loss = Loss("focal", (), 0.0, gamma).sum(logits, labels)
        loss.backward()
        assert logits.grad is not None
        assert math.isfinite(loss.item()) and bool(logits.grad.isfinite().all())


def test_a_batch_whose_weights_are_all_0_is_divided_by_nothing() -> None:
    loss = Loss("cross-entropy", (0.0, 1.0), 0.0, 2.0)
    assert loss.denominator(np.zeros(4, np.uint8)) == 0
    assert loss.denominator(np.array([0, 1, 1], np.uint8)) == 2


def test_a_teacher_is_learned_by_hintons_formula() -> None:
    """The part of it is T^2 times the cross-entropy at temperature T (Hinton et al. 2015)."""
    teacher = torch.flip(BINARY, [0]) / 3
    options = LossOptions(teacher="run", teacher_weight=0.3, teacher_temperature=2.5,
                          class_weights="1,3")
    loss = Loss.of(options)
    own, its = (BINARY / 2.5).sigmoid(), (teacher / 2.5).sigmoid()
    soft = -(its * own.log() + (1 - its) * (1 - own).log())
    labels = Loss.of(LossOptions(class_weights="1,3")).sum(BINARY, SIDES)
    weights = torch.tensor([1.0, 3.0], dtype=torch.float64)[SIDES]
    wanted = 0.7 * labels + 0.3 * 2.5**2 * (weights * soft).sum()
    torch.testing.assert_close(loss.sum(BINARY, SIDES, teacher), wanted)
    two = torch.stack([-BINARY / 2, BINARY / 2], 1)
    as_two = Loss.of(LossOptions(loss="cross-entropy", teacher="run", teacher_weight=0.3,
                                 teacher_temperature=2.5, class_weights="1,3"))
    torch.testing.assert_close(as_two.sum(two, SIDES, teacher), wanted)
    views = torch.cat([BINARY, 2 * BINARY])
    torch.testing.assert_close(
        loss.sum(views, SIDES, teacher),
        (loss.sum(BINARY, SIDES, teacher) + loss.sum(2 * BINARY, SIDES, teacher)) / 2)


def test_a_teacher_of_many_classes() -> None:
    teacher = MANY.flip(0)
    loss = Loss.of(LossOptions(loss="cross-entropy", teacher="run", teacher_weight=1.0,
                               teacher_temperature=4.0))
    wanted = -16 * ((teacher / 4).softmax(1) * (MANY / 4).log_softmax(1)).sum()
    torch.testing.assert_close(loss.sum(MANY, CLASSES, teacher), wanted)


def test_options_of_a_teacher_without_one_are_refused() -> None:
    with pytest.raises(UserError, match="are about --teacher RUN"):
        LossOptions(teacher_temperature=3.0)
