"""Groups of options make a tree, of which the command line and files know the leaves alone."""

import argparse
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from reviews.errors import UserError
from reviews.options import (
    AtLeast,
    Option,
    add_options,
    build,
    check_bounds,
    check_conditions,
    condition_text,
    config_from,
    flag,
    flatten,
    from_mapping,
    given,
    groups,
    leaves,
    make_parser,
    option,
    replace_flat,
    to_mapping,
    unread,
    variant,
    with_default,
)


@dataclass(frozen=True)
class Loss:
    """A group of the tree."""

    loss: str = option("bce", "loss function", ("bce", "focal"), fixed=True)
    focal_gamma: float = option(2.0, "exponent", at_least=0, only_if={"loss": ("focal",)})


@dataclass(frozen=True)
class Ngrams:
    """A group inside a group."""

    ngrams: int = option(0, "number of words of the longest n-gram", at_least=0)
    buckets: int = option(
        100, "number of rows", at_least=1, only_if={"loss": ("bce",), "ngrams": AtLeast(2)})


@dataclass(frozen=True)
class Model:
    """A group with a group."""

    width: int = option(4, "number of columns", above=0, at_most=9)
    bag: Ngrams = Ngrams()


@dataclass(frozen=True)
class Tree:
    """Groups between leaves."""

    seed: int = option(0, "seed")
    objective: Loss = Loss()
    model: Model = Model()
    betas: tuple[float, ...] = option((0.9,), "decays", at_least=0, below=1)
    cost: float | None = option(None, "price", above=0, commands=("buy",))
    resume: bool = option(False, "continue", one_start=True)

    def __post_init__(self) -> None:
        check_bounds(self, flag)


NAMES = ["seed", "loss", "focal_gamma", "width", "ngrams", "buckets", "betas", "cost", "resume"]
VALUES = st.fixed_dictionaries({}, optional={
    "seed": st.integers(), "loss": st.sampled_from(["bce", "focal"]),
    "focal_gamma": st.floats(0, 5), "width": st.integers(1, 9), "ngrams": st.integers(0, 5),
    "buckets": st.integers(1, 99), "betas": st.lists(st.floats(0, 0.99)).map(tuple),
    "cost": st.none() | st.floats(0.1, 9), "resume": st.booleans(),
})


def test_the_leaves_of_a_tree_come_in_order_with_their_paths() -> None:
    assert [leaf.name for leaf in leaves(Tree)] == NAMES == list(flatten(Tree()))
    assert {leaf.name: leaf.path for leaf in leaves(Tree)}["buckets"] == (
        "model", "bag", "buckets")
    assert [leaf.name for leaf in leaves(Tree) if leaf.option and leaf.option.fixed] == ["loss"]


def test_a_name_stands_once_in_a_tree() -> None:
    @dataclass(frozen=True)
    class Twice:
        loss: str = option("", "a text")
        objective: Loss = Loss()

    with pytest.raises(ValueError, match="Twice has two options loss"):
        leaves(Twice)


@for_all(VALUES, VALUES)
def test_values_by_name_and_the_tree_are_the_same_choices(
    values: dict[str, Any], others: dict[str, Any]
) -> None:
    config = build(Tree, values)
    assert flatten(config) == {**flatten(Tree()), **values}
    assert build(Tree, flatten(config)) == config
    assert replace_flat(config, **others) == build(Tree, {**values, **others})


@for_all(VALUES)
def test_a_tree_is_flat_in_files_without_what_is_for_one_start(values: dict[str, Any]) -> None:
    config = build(Tree, values)
    plain = to_mapping(config)
    assert list(plain) == NAMES[:-1]
    assert from_mapping(Tree, plain, "file") == replace_flat(config, resume=False)


def test_a_tree_is_flat_on_the_command_line() -> None:
    made = make_parser("tool", "Tool.")
    add_options(made, Tree)
    args = made.parse_args(["--buckets", "7", "--loss", "focal", "--resume"])
    assert given(args, Tree) == {"buckets": 7, "loss": "focal", "resume": True}
    assert config_from(args, Tree) == Tree(
        objective=Loss("focal"), model=Model(bag=Ngrams(buckets=7)), resume=True)
    with pytest.raises(UserError, match="unknown key 'bucket'; did you mean buckets"):
        from_mapping(Tree, {"bucket": 7}, "file")


def test_a_name_that_the_tree_has_not_is_a_mistake_of_the_program() -> None:
    with pytest.raises(TypeError, match="Tree has no option bag"):
        replace_flat(Tree(), bag=Ngrams())


@pytest.mark.parametrize(("command", "there"), [("buy", True), ("look", False), (None, True)])
def test_a_command_has_the_options_that_name_it(command: str | None, there: bool) -> None:
    made = make_parser("tool", "Tool.")
    add_options(made, Tree, command=command)
    assert ("--cost" in made.format_help()) is there
    other = argparse.Namespace(cost=1.0, width=2)
    assert given(other, Tree, command) == ({"cost": 1.0} if there else {}) | {"width": 2}
    assert "--width" in made.format_help()


@pytest.mark.parametrize(("values", "message"), [
    ({"width": 0}, "--width is 0: give more than 0, at most 9"),
    ({"width": 10}, "--width is 10: give more than 0, at most 9"),
    ({"ngrams": -1}, "--ngrams is -1: give 0 or more"),
    ({"focal_gamma": float("inf")}, "--focal-gamma is inf: give 0 or more"),
    ({"cost": 0.0}, "--cost is 0.0: give more than 0"),
    ({"betas": (0.5, 1.0)}, "--betas is 0.5,1: give numbers of 0 or more, below 1"),
])
def test_a_value_out_of_bounds_is_refused_with_the_bounds(
    values: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError) as error:
        build(Tree, values)
    assert str(error.value) == message


@for_all(
    st.floats() | st.integers(),
    *[st.none() | st.integers(-5, 5)] * 4,
)
def test_bounds_allow_the_finite_numbers_inside_them(
    number: float, at_least: float | None, above: float | None, at_most: float | None,
    below: float | None,
) -> None:
    declared = Option("", at_least=at_least, above=above, at_most=at_most, below=below)
    inside = float("-inf") < number < float("inf") and not (
        (at_least is not None and number < at_least) or (above is not None and number <= above)
        or (at_most is not None and number > at_most) or (below is not None and number >= below))
    assert declared.allows(number) == inside


def test_bounds_in_words_are_those_declared_or_those_of_the_numbers() -> None:
    assert Option("", at_least=1, at_most=3).bounds == "1 to 3"
    assert Option("", at_least=0, wanted="0 or more MB").bounds == "0 or more MB"
    assert Option("").bounds == ""


def test_an_option_without_an_effect_is_refused_where_it_was_named() -> None:
    check_conditions(Tree(), ["seed", "loss"])
    check_conditions(build(Tree, {"loss": "focal"}), ["focal_gamma"])
    with pytest.raises(UserError) as error:
        check_conditions(Tree(), ["focal_gamma"])
    assert str(error.value) == "--focal-gamma is for --loss focal: bce has no use for it"
    with pytest.raises(UserError) as error:
        check_conditions(
            build(Tree, {"ngrams": 1}), ["buckets"], lambda other, value: f"{flag(other)} {value}")
    assert str(error.value) == (
        "--buckets is for --ngrams 2 or more: --ngrams 1 has no use for it")


@pytest.mark.parametrize(("values", "names"), [
    ({}, {"focal_gamma", "buckets"}),
    ({"ngrams": 2}, {"focal_gamma"}),
    ({"loss": "focal", "ngrams": 2}, {"buckets"}),
])
def test_all_conditions_of_an_option_must_hold(values: dict[str, Any], names: set[str]) -> None:
    assert unread(build(Tree, values)) == names


@dataclass(frozen=True)
class Layers:
    """Options that two kinds have."""

    width_of_layer: int = option(8, "width", at_least=1, fixed=True)
    dropped: float = option(0.2, "fraction", at_least=0, below=1)


@dataclass(frozen=True)
class Deep(Layers):
    """The first kind."""

    depth: int = option(2, "depth", at_least=1, only_if={"width_of_layer": AtLeast(4)})


@dataclass(frozen=True)
class Wide(Layers):
    """The second, with another default."""

    width_of_layer: int = with_default(Layers, "width_of_layer", 64)


@dataclass(frozen=True)
class Flat:
    """The third, which has one of the options alone."""

    dropped: float = with_default(Layers, "dropped", 0.5)


KINDS = {"deep": Deep, "wide": Wide, "flat": Flat}


@dataclass(frozen=True)
class Chosen:
    """A tree with a group of one of three kinds."""

    kind: str = option("deep", "kind", tuple(KINDS))
    shape: Layers | Flat = field(**variant("kind", KINDS))

    def __post_init__(self) -> None:
        check_bounds(self, flag)


def test_a_group_of_several_kinds_has_the_options_of_all_and_the_values_of_one() -> None:
    assert [leaf.name for leaf in leaves(Chosen)] == ["kind", "width_of_layer", "dropped", "depth"]
    assert Chosen() == build(Chosen, {}) and type(Chosen().shape) is Deep
    assert flatten(build(Chosen, {"kind": "wide"})) == {
        "kind": "wide", "width_of_layer": 64, "dropped": 0.2}
    assert flatten(build(Chosen, {"kind": "flat", "dropped": 0.1, "depth": 9})) == {
        "kind": "flat", "dropped": 0.1}
    assert groups(Chosen) == {Chosen, Deep, Wide, Flat}


def test_another_kind_takes_over_what_it_has_and_its_own_defaults_for_the_rest() -> None:
    chosen = build(Chosen, {"kind": "flat", "dropped": 0.1})
    assert replace_flat(chosen, kind="wide") == Chosen("wide", Wide(64, 0.1))


def test_what_only_some_kinds_have_is_read_with_these_alone() -> None:
    conditions = {leaf.name: leaf.option.only_if for leaf in leaves(Chosen) if leaf.option}
    assert conditions["dropped"] == {}
    assert conditions["width_of_layer"] == {"kind": ("deep", "wide")}
    assert list(conditions["depth"]) == ["kind", "width_of_layer"]
    assert unread(build(Chosen, {"kind": "flat"})) == {"width_of_layer", "depth"}
    assert unread(build(Chosen, {"kind": "deep", "width_of_layer": 3})) == {"depth"}
    assert unread(Wide()) == set()
    with pytest.raises(UserError) as error:
        check_conditions(build(Chosen, {"kind": "wide"}), ["depth"])
    assert str(error.value) == "--depth is for --kind deep: wide has no use for it"


def test_values_of_a_chosen_group_are_checked_by_its_own_bounds_and_kept_in_files() -> None:
    with pytest.raises(UserError, match="--width-of-layer is 0: give 1 or more"):
        build(Chosen, {"kind": "wide", "width_of_layer": 0})
    config = build(Chosen, {"kind": "wide", "width_of_layer": 5})
    assert to_mapping(config) == {"kind": "wide", "width_of_layer": 5, "dropped": 0.2}
    assert from_mapping(Chosen, to_mapping(config), "file") == config


def test_the_help_says_with_which_values_an_option_is_read() -> None:
    made = make_parser("tool", "What it does.")
    add_options(made, Chosen)
    words = " ".join(made.format_help().split())
    assert "width (with --kind deep or wide; default: 8)" in words
    assert "depth (with --kind deep and --width-of-layer 4 or more; default: 2)" in words
    assert "fraction (default: 0.2)" in words


def test_a_condition_on_a_switch_is_its_flag() -> None:
    assert condition_text(Option("width", only_if={"int8": (True,)}), "int8") == "--int8"
    assert condition_text(Option("width", only_if={"kind": ("a", "b")}), "kind") == "--kind a or b"
