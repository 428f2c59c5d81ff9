"""Mistakes on a command line are one line, which names the nearest option."""

import pytest

from reviews.runtime.parser import flag, make_parser, near


def test_near_names_are_close_ones_only() -> None:
    assert near("lenght", ["length", "seed"]) == "; did you mean length?"
    assert near("zzz", ["length", "seed"]) == ""


def test_an_option_has_dashes_for_underscores() -> None:
    assert flag("some_name") == "--some-name"


@pytest.mark.parametrize(("arguments", "message"), [
    (["one", "--cuont=3"], "tool one: unknown argument --cuont; did you mean --count?"),
    (["one", "--coun", "3"], "tool one: unknown argument --coun; did you mean --count?"),
    (["one", "--kind", "lage"], "tool one: argument --kind: invalid choice: 'lage' (choose from "
     "'large', 'small'); did you mean large?"),
    (["one", "--count"], "tool one: argument --count: expected one argument"),
])
def test_a_mistake_in_a_subcommand_is_one_line_and_exit_status_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    parser = make_parser("tool", "Tool.")
    one = parser.add_subparsers().add_parser("one")
    one.add_argument("--count")
    one.add_argument("--kind", choices=["large", "small"])
    with pytest.raises(SystemExit) as stop:
        one.parse_args(arguments[1:])
    assert stop.value.code == 2
    assert capsys.readouterr().err == f"{message}\n"


@pytest.mark.parametrize("value", ["-1,1", "-1", "-.5,2", "-1|0,1"])
def test_a_value_may_be_negative_numbers(value: str) -> None:
    parser = make_parser("tool", "Tool.")
    parser.add_argument("--scale")
    parser.add_argument("-v", action="store_true")
    assert parser.parse_args(["--scale", value, "-v"]).scale == value
