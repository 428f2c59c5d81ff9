"""Labels follow from probabilities by the rule that the user names."""

import numpy as np
import pytest

from reviews.errors import UserError
from scoring.decision import Decision

TWO = ("negative", "positive")
P = np.array([[0.9, 0.1], [0.55, 0.45], [0.4, 0.6], [0.2, 0.8]], np.float32)


@pytest.mark.parametrize(("named", "labels"), [
    ({}, "negative negative positive positive"),
    ({"threshold": 0.8}, "negative negative negative positive"),
    ({"threshold": 0.0}, "positive positive positive positive"),
    ({"unsure": (0.45, 0.8)}, "negative unsure unsure positive"),
])
def test_labels(named: dict, labels: str) -> None:
    assert Decision(TWO, **named).labels(P).tolist() == labels.split()


def test_of_several_classes_the_most_probable_is_named() -> None:
    found = Decision(("a", "b", "c")).labels(np.array([[0.2, 0.5, 0.3], [0.4, 0.2, 0.4]]))
    assert found.tolist() == ["b", "a"]


@pytest.mark.parametrize(("classes", "named", "message"), [
    (TWO, {"threshold": 0.5, "unsure": (0.1, 0.2)}, "either --threshold or --unsure"),
    (TWO, {"unsure": (0.6, 0.4)}, "--unsure wants two probabilities"),
    (TWO, {"unsure": (0.6,)}, "--unsure wants two probabilities"),
    (TWO, {"threshold": 1.5}, "are probabilities, 0 to 1"),
    (("a", "b", "c"), {"threshold": 0.5}, "are for two classes; the model has a, b, c"),
])
def test_what_makes_no_sense_is_refused(classes: tuple, named: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Decision(classes, **named)
