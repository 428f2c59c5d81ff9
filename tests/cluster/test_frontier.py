"""Mixes of instances: time, price, and the front; the rows of 2019 re-computed."""

import itertools
from pathlib import Path

import pytest

import reviewmill
from cluster.frontier import (
    Rates,
    Row,
    balanced_seconds,
    dollars,
    front,
    frontier,
    mixes,
    read_rates,
)
from reviews.errors import UserError

# What was paid in 2019 for these seconds; each row again below by arithmetic.
PAID = {
    "1 g3.4xlarge": (35_920, 11.38), "1 p2.xlarge": (63_923, 15.98),
    "1 g3.16xlarge": (13_156, 16.64), "2 g3.4xlarge": (24_316, 15.39),
    "4 g3.4xlarge": (13_973, 17.69), "2 g3.16xlarge": (9_531, 24.17),
    "3 g3.4xlarge + 1 p2.xlarge, equal shares": (24_256, 29.12),
    "3 g3.4xlarge + 1 p2.xlarge, balanced once an epoch": (23_007, 27.60),
    "1 g3.4xlarge + 1 p2.xlarge, equal shares": (39_382, 22.32),
    "1 g3.4xlarge + 1 p2.xlarge, balanced once an epoch": (37_503, 21.26),
}
ONE_OF_EACH = (("g3.4xlarge", 1), ("p2.xlarge", 1))
THREE_AND_ONE = (("g3.4xlarge", 3), ("p2.xlarge", 1))


@pytest.fixture(scope="module")
def rates() -> Rates:
    return read_rates("lstm-2019")


def test_the_rows_of_2019_are_what_was_paid(rates: Rates) -> None:
    alone = [Row(((kind, 1),), seconds, dollars(rates, ((kind, 1),), seconds))
             for kind, seconds in rates.seconds.items()]
    found = {row.name: row
             for row in [*alone, *frontier(rates, 1, 1.0)[1]]}
    assert found.keys() == PAID.keys()
    for name, (seconds, price) in PAID.items():
        assert found[name].seconds == seconds
        assert found[name].dollars == pytest.approx(price, abs=0.025)


@pytest.mark.parametrize(("mix", "seconds", "price", "of_2019"), [
    (ONE_OF_EACH, 23_002, 13.03, 37_503), (THREE_AND_ONE, 10_087, 12.10, 23_007)])
def test_shares_that_follow_the_speeds_reach_their_sum(
    rates: Rates, mix: tuple[tuple[str, int], ...], seconds: float, price: float, of_2019: float
) -> None:
    found = balanced_seconds(rates, mix)
    assert found == pytest.approx(seconds, rel=1e-3)
    assert dollars(rates, mix, found) == pytest.approx(price, abs=0.01)
    assert found < 0.62 * of_2019


def test_the_exchange_costs_several_alone(rates: Rates) -> None:
    assert balanced_seconds(rates, (("p2.xlarge", 1),), 0.5) == 63_923
    assert balanced_seconds(rates, ONE_OF_EACH, 0.5) == 2 * balanced_seconds(rates, ONE_OF_EACH)


def test_every_mix_is_there_once(rates: Rates) -> None:
    found = [*mixes(rates, 3)]
    assert len(found) == len(set(found)) == 19  # of 3 kinds, 1 to 3 in all: C(6, 3) - 1
    assert (("g3.4xlarge", 1), ("g3.16xlarge", 1), ("p2.xlarge", 1)) in found


def test_nothing_is_faster_and_cheaper_than_a_row_of_the_front(rates: Rates) -> None:
    rows, _ = frontier(rates, 5, 0.9)
    every = []
    for mix in mixes(rates, 5):
        seconds = balanced_seconds(rates, mix, 0.9)
        every.append((seconds, dollars(rates, mix, seconds)))
    kept = {(row.seconds, row.dollars) for row in rows}
    for seconds, price in every:
        beaten = any(t <= seconds and p <= price and (t, p) != (seconds, price) for t, p in every)
        assert beaten or (seconds, price) in kept
    for one, other in itertools.pairwise(rows):
        assert one.dollars < other.dollars
        assert one.seconds > other.seconds


def test_of_equal_rows_one_stays() -> None:
    mix = (("a", 1),)
    rows = [Row(mix, 10, 2.0, "first"), Row(mix, 10, 2.0, "second"), Row(mix, 9, 3.0),
            Row(mix, 11, 2.0)]
    assert [row.remark for row in front(rows)] == ["first", ""]


def test_the_command_prints_the_front_and_what_was_measured(
    capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["cluster", "cost", "--frontier", "lstm-2019"]
    assert reviewmill.main([*line, "--most", "4"]) == 0
    text = capsys.readouterr().out
    assert "rates and prices of 2019-05; at most 4 instances, 100% of the sum" in text
    assert "   2.49     11.37  4 g3.4xlarge\n" in text
    assert "   6.39     27.61  3 g3.4xlarge + 1 p2.xlarge, balanced once an epoch\n" in text
    assert "   2.80     12.10  3 g3.4xlarge + 1 p2.xlarge, computed, shares by speed\n" in text
    assert reviewmill.main([*line, "--efficiency", "0.5"]) == 0
    assert "   5.60     24.20  3 g3.4xlarge + 1 p2.xlarge, computed, shares by speed\n" in (
        capsys.readouterr().out)


@pytest.mark.parametrize(("text", "message"), [
    ("[1]", "has not date, seconds and prices"),
    ("a: [", "is not YAML"),
    ("{date: 1, seconds: {a: 0}, prices: {a: 1}}", "a is 0: give a number above 0"),
    ("{date: 1, seconds: {a: x}, prices: {a: 1}}", "a is 'x': give a number above 0"),
    ("{date: 1, seconds: [], prices: {a: 1}}", "seconds has 0 kinds: give 1 to 6"),
    ("{date: 1, seconds: 3, prices: {a: 1}}", "seconds is no mapping"),
    ("{date: 1, seconds: {a: 1}, prices: {b: 1}}", "prices has no a"),
    ("{date: 1, seconds: {a: 1}, prices: {a: 1}, speed: 1}", "unknown key 'speed'"),
    ("{date: 1, seconds: {a: 1}, prices: {a: 1}, measured: {2 b: 1}}", "2 b is no mix"),
    ("{date: 1, seconds: {a: 1}, prices: {a: 1}, measured: {two a: 1}}", "two a is no mix"),
])
def test_a_file_that_is_none_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "rates.yaml").write_text(text)
    with pytest.raises(UserError, match=message):
        read_rates(str(tmp_path / "rates.yaml"))


@pytest.mark.parametrize(("options", "message"), [
    (["--frontier", "lstm-2018"], "neither a file of rates nor one of lstm-2019"),
    (["--frontier", "lstm-2019", "--most", "0"], "--most is 0: give 1 to 32"),
    (["--frontier", "lstm-2019", "--efficiency", "1.1"], "give more than 0, at most 1"),
    (["--frontier", "lstm-2019", "--hours", "3"], "--frontier goes without --hours"),
    (["--frontier", "lstm-2019", "--packed"], "--frontier goes without --packed"),
    (["--frontier", "lstm-2019", "--core-count", "3"], "--frontier goes without --core-count"),
    (["--hours", "1", "--most", "3"], "are about --frontier"),
])
def test_options_that_do_not_go_together_are_refused(
    options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert reviewmill.main(["cluster", "cost", *options]) == 2
    assert message in capsys.readouterr().err
