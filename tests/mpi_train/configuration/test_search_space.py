"""Search space of a training: what is searched, and that all of it can be trained with."""

import itertools
import json

import pytest

from models.records import RECORDS
from mpi_train.configuration import search_space
from mpi_train.configuration.config import TrainingConfig
from mpi_train.configuration.presets import CONFIGS
from mpi_train.configuration.resolve import layered
from reviews.errors import UserError
from reviews.options import Search, flatten, leaves, replace_flat

STARTS = [*({"model": name} for name in RECORDS), *({"config": name} for name in CONFIGS)]


def space_of(**named: object) -> dict[str, Search]:
    return search_space.search_space(layered(named), named)


@pytest.mark.parametrize("named", STARTS, ids=str)
def test_every_value_that_is_searched_can_be_trained_with(named: dict[str, str]) -> None:
    config, space = layered(named), space_of(**named)
    assert len(space) >= 4
    for name, search in space.items():
        default = flatten(config)[name]
        assert default in search.values if search.values else (
            search.low <= default <= search.high)
        for value in search.values or (search.low, search.high):
            assert flatten(replace_flat(config, **{name: type(default)(value)}))[name] == value
    ends = [search.values or (search.low, search.high) for search in space.values()]
    for corner in ([one[0] for one in ends], [one[-1] for one in ends]):
        replace_flat(config, **{name: type(flatten(config)[name])(value) for name, value in zip(
            space, corner, strict=True)})


def test_ends_may_be_factors_of_the_default_of_a_model() -> None:
    assert space_of(model="lstm")["learning_rate"] == Search(low=0.0004, high=0.01, log=True)
    assert space_of(model="bag")["learning_rate"] == Search(low=0.06, high=1.5, log=True)
    assert space_of(model="cnn")["batch_size"] == Search(low=64, high=1024, log=True)


def test_what_is_off_or_not_read_or_named_is_not_searched() -> None:
    assert {"ngrams", "ngram_dim", "ngram_rate"} & space_of(model="lstm").keys() == set()
    assert {"ngrams", "ngram_dim", "ngram_rate"} <= space_of(config="default").keys()
    assert "weight_decay" in space_of(config="electronics")
    assert "weight_decay" not in space_of(model="lstm")
    assert "hidden_dim" not in space_of(model="bag")
    assert "dropout" not in space_of(model="lstm", dropout=0.2)
    assert "label_smoothing" not in space_of(model="lstm", loss="focal")


def test_what_is_searched_is_inside_the_bounds_of_the_option() -> None:
    declared = [leaf.option for leaf in leaves(TrainingConfig)
                if leaf.option and leaf.option.search]
    assert len(declared) > 10
    for option in declared:
        assert option.search
        if not option.search.factors:
            ends = itertools.chain(option.search.values) or (option.search.low, option.search.high)
            assert all(option.choices is None or end in option.choices for end in ends)


def test_the_trainer_says_what_lies_beneath_the_search(
    capsys: pytest.CaptureFixture[str]
) -> None:
    search_space.main(["--config=views", "--epochs=1"])
    found = json.loads(capsys.readouterr().out)
    assert found["base"] == {**CONFIGS["views"], "epochs": 1}
    assert found["defaults"].keys() == found["space"].keys()
    assert found["defaults"]["dropout"] == CONFIGS["views"]["dropout"]
    assert (found["keep"], found["keep_by"]) == ("best", "accuracy")


@pytest.mark.parametrize("option", ["--seed=1", "--rows=x", "--out=x", "--resume"])
def test_what_tune_chooses_itself_is_refused(option: str) -> None:
    with pytest.raises(UserError, match=f"{option.split('=')[0]} is what tune chooses itself"):
        search_space.main(["--model=bag", option])
