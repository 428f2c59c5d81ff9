"""A dataclass becomes command-line options and YAML keys, with errors of one line."""

import argparse
from dataclasses import dataclass
from typing import Any

import pytest

from reviews.errors import UserError
from reviews.options import (
    Leaf,
    add_options,
    build,
    config_from,
    flatten,
    from_mapping,
    given,
    leaves,
    make_parser,
    option,
    to_mapping,
)
from reviews.recipe import Recipe


@dataclass(frozen=True)
class Config:
    """One option of every kind."""

    name: str = option("plain", "a text")
    field_name: str | None = option(None, "a text, or none")
    count: int = option(0, "a whole number")
    rate: float = option(0.5, "a number; 100 % is 1")
    quick: bool = option(False, "a flag")
    slow: bool = option(True, "a flag that is on")
    mode: str = option("b", "one of three", ("a", "b", "c"))
    parts: tuple[float, ...] = option((1.0, 2.0), "several numbers")
    words: tuple[str, ...] = option((), "several words")
    inner: int = 7  # no option: it has no help


def parser() -> argparse.ArgumentParser:
    made = make_parser("tool", "What it does.")
    add_options(made, Config)
    return made


def parse(*arguments: str) -> Config:
    return config_from(parser().parse_args(arguments), Config)


def changed(leaf: Leaf) -> Any:
    """Some allowed value of the option that is not its default."""
    assert leaf.option is not None
    if leaf.option.choices:
        return next(choice for choice in leaf.option.choices if choice != leaf.default)
    values: dict[Any, Any] = {
        bool: not leaf.default, int: 3,
        str: "huggingface:folder" if leaf.name == "tokenizer" else "other",
        str | None: ";" if leaf.name == "delimiter" else "other",
        float: 2.5 if leaf.kind is float and leaf.default > 1 else 0.75,
        tuple[float, ...]: (1.0, 10.0) if leaf.name == "rating_scale" else (0.5, 0.25, 0.25),
         tuple[str, ...]: ("product", "time") if leaf.name == "keep_keys" else ("one", "two"),
    }  # fmt: skip
    return values[leaf.kind]


def spelled(name: str, value: Any) -> list[str]:
    """The option as words of the command line."""
    flag = name.replace("_", "-")
    if isinstance(value, bool):
        return [f"--{flag}" if value else f"--no-{flag}"]
    return [f"--{flag}", ",".join(map(str, value)) if isinstance(value, tuple) else str(value)]


OPTIONS = [(config, leaf) for config in (Config, Recipe) for leaf in leaves(config) if leaf.option]


@pytest.mark.parametrize(
    ("config", "leaf"), OPTIONS, ids=[f"{config.__name__}.{leaf.name}" for config, leaf in OPTIONS]
)
def test_every_option_reaches_the_command_line_the_help_and_yaml(config: type, leaf: Leaf) -> None:
    value, name = changed(leaf), leaf.name
    expected = build(config, {name: value})
    assert flatten(expected) == {**flatten(config()), name: value}
    made = make_parser("tool", "What it does.")
    add_options(made, config)
    assert config_from(made.parse_args(spelled(name, value)), config) == expected
    plain = list(value) if isinstance(value, tuple) else value
    assert from_mapping(config, {name: plain}, "file") == expected
    assert to_mapping(expected)[name] == plain
    words = " ".join(made.format_help().split())
    assert leaf.option is not None and " ".join(leaf.option.help.split()[:4]) in words


def test_all_keys_of_a_recipe_are_options() -> None:
    assert [leaf.name for leaf in leaves(Recipe) if leaf.option is None] == []


def test_a_field_without_help_is_no_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse("--inner", "3")
    assert "unknown argument --inner" in capsys.readouterr().err


def test_options_can_be_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    made = make_parser("tool", "What it does.")
    add_options(made, Config, skip=["count"])
    with pytest.raises(SystemExit):
        made.parse_args(["--count", "3"])
    assert "unknown argument --count" in capsys.readouterr().err


def test_what_is_not_given_leaves_the_default_and_no_trace() -> None:
    assert parse() == Config()
    args = parser().parse_args(["--count", "0", "--no-slow"])
    assert given(args, Config) == {"count": 0, "slow": False}


def test_both_spellings_of_a_value_and_an_empty_list_are_read() -> None:
    assert parse("--count=4", "--words=").count == 4
    assert parse("--parts", "").parts == ()
    assert parse("--parts", "1,2.5, 3").parts == (1.0, 2.5, 3.0)
    assert parse("--rate", "1").rate == 1.0


def test_the_help_shows_every_default() -> None:
    words = " ".join(parser().format_help().split())
    for text in (
        "a text (default: plain)",
        "a whole number (default: 0)",
        "100 % is 1 (default: 0.5)",
        "a flag that is on (default: on)",
        "one of three (default: b)",
        "several numbers (default: 1.0,2.0)",
    ):
        assert text in words
    assert "a text, or none (default" not in words


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--cuont", "3"], "unknown argument --cuont; did you mean --count?"),
        (["--cuont=3"], "unknown argument --cuont; did you mean --count?"),
        (["--zzz"], "unknown argument --zzz"),
        (["--coun", "3"], "unknown argument --coun; did you mean --count?"),  # no abbreviations
        (["surplus"], "unknown argument surplus"),
        (["--count"], "argument --count: expected one argument"),
        (["--count", "x"], "argument --count: 'x' is not a whole number"),
        (["--count", "1.5"], "argument --count: '1.5' is not a whole number"),
        (["--rate", "x"], "argument --rate: 'x' is not a number"),
        (["--rate", "nan"], "argument --rate: 'nan' is not a number"),
        (["--rate", "1e999"], "argument --rate: '1e999' is not a number"),
        (["--parts", "1,x"], "argument --parts: 'x' is not a number"),
        (["--parts", "1,,2"], "argument --parts: '' is not a number"),
        (["--mode", "d"], "argument --mode: invalid choice: 'd' (choose from 'a', 'b', 'c')"),
        (["--quick=yes"], "argument --quick/--no-quick: ignored explicit argument 'yes'"),
    ],
)
def test_a_mistake_is_one_line_and_exit_status_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        parse(*arguments)
    assert stop.value.code == 2
    assert capsys.readouterr().err == f"tool: {message}\n"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"cuont": 3}, "file: unknown key 'cuont'; did you mean count?"),
        ({"inner-": 3}, "file: unknown key 'inner-'; did you mean inner?"),
        ({"zzz": 3}, "file: unknown key 'zzz'; allowed: name, field_name, count, rate"),
        ({1: 3}, "file: unknown key 1; allowed: name, "),
        ({None: 3}, "file: unknown key None"),
        ({"count": None}, "file: count has no value"),
        ({"count": "3"}, "file: count is '3', not a whole number"),
        ({"count": 3.0}, "file: count is 3.0, not a whole number"),
        ({"count": True}, "file: count is True, not a whole number"),
        ({"rate": "x"}, "file: rate is 'x', not a number"),
        ({"rate": False}, "file: rate is False, not a number"),
        ({"rate": float("inf")}, "file: rate is inf, not a number"),
        ({"quick": 1}, "file: quick is 1, not true or false"),
        ({"name": 5}, "file: name is 5, not a text"),
        ({"field_name": []}, r"file: field_name is [], not a text"),
        ({"parts": "1,2"}, "file: parts is '1,2', not a list"),
        ({"parts": 1}, "file: parts is 1, not a list"),
        ({"parts": [1, "x"]}, "file: parts is 'x', not a number"),
        ({"words": [None]}, "file: words has no value"),
        ({"mode": "d"}, "file: mode is 'd', not one of a, b, c"),
    ],
)
def test_a_mistake_in_a_file_names_the_file_and_the_key(
    values: dict[Any, Any], message: str
) -> None:
    with pytest.raises(UserError) as error:
        from_mapping(Config, values, "file")
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


def test_whole_numbers_in_a_file_stand_for_numbers_too() -> None:
    made = from_mapping(Config, {"rate": 2, "parts": [1, 2.5], "field_name": None}, "file")
    assert made == Config(rate=2.0, parts=(1.0, 2.5))
    assert type(made.rate) is float


def test_plain_values_make_the_same_configuration_again() -> None:
    config = Config(name="ä: #", field_name="x", parts=(0.1, 1e-9), words=("a", "b"), slow=False)
    assert from_mapping(Config, to_mapping(config), "file") == config
