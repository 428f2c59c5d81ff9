"""Time and money of mixes of instances: `reviewmill cluster cost --frontier RATES`.

A mix whose shares follow the speeds of its instances is as fast as their sum, times what the
exchange of gradients leaves of it. Of all mixes, those are the front that no other is both at
least as fast and at least as cheap as.
"""

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from reviews.errors import UserError

Mix = tuple[tuple[str, int], ...]  # instances and their numbers
MOST_KINDS = 6  # that are mixed: the number of mixes grows fast with it


@dataclass(frozen=True)
class Rates:
    """Rates and prices of a file.

    seconds: of one instance of each kind for the whole work.
    prices: dollars an hour of each.
    measured: mixes with a remark, and seconds; those of one mix one after another.
    """

    date: str
    seconds: Mapping[str, float]
    prices: Mapping[str, float]
    measured: Sequence[tuple[Mix, str, float]] = ()


@dataclass(frozen=True)
class Row:
    """A mix with its time and price, and a remark, which may be empty."""

    mix: Mix
    seconds: float
    dollars: float
    remark: str = ""

    @property
    def name(self) -> str:
        """The mix in words."""
        said = " + ".join(f"{count} {kind}" for kind, count in self.mix)
        return f"{said}, {self.remark}" if self.remark else said


def read_rates(where: str) -> Rates:
    """The rates of a file, or of one that comes with the program by its name; UserError where it
    is none."""
    own = resources.files("cluster.rates")
    names = sorted(item.name.removesuffix(".yaml") for item in own.iterdir()
                   if item.name.endswith(".yaml"))
    if where in names:
        text = own.joinpath(f"{where}.yaml").read_text("utf-8")
    else:
        try:
            text = Path(where).read_text("utf-8")
        except (OSError, UnicodeDecodeError):
            raise UserError(f"--frontier {where} is neither a file of rates nor one of "
                            f"{', '.join(names)}") from None
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError:
        raise UserError(f"--frontier {where} is not YAML") from None
    if not isinstance(values, dict) or {"date", "seconds", "prices"} - values.keys():
        raise UserError(f"--frontier {where} has not date, seconds and prices")
    if unknown := values.keys() - {"date", "seconds", "prices", "measured"}:
        raise UserError(f"{where}: unknown key {min(map(str, unknown))!r}")
    seconds, prices, measured = (
        _numbers(values.get(name) or {}, f"{where}: {name}")
        for name in ("seconds", "prices", "measured"))
    if not seconds or len(seconds) > MOST_KINDS:
        raise UserError(f"{where}: seconds has {len(seconds)} kinds: give 1 to {MOST_KINDS}")
    for kind in seconds:
        if kind not in prices:
            raise UserError(f"{where}: prices has no {kind}")
    return Rates(str(values["date"]), seconds, prices,
                 [(*_mix_of(name, prices, where), time) for name, time in measured.items()])


def _numbers(values: Any, where: str) -> dict[str, float]:
    """A mapping of names to numbers above 0."""
    if not isinstance(values, dict):
        raise UserError(f"{where} is no mapping")
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e12:
            raise UserError(f"{where}: {name} is {value!r}: give a number above 0")
    return {str(name): float(value) for name, value in values.items()}


def _mix_of(name: str, prices: Mapping[str, float], where: str) -> tuple[Mix, str]:
    """Mix and remark of a name such as '3 g3.4xlarge + 1 p2.xlarge, equal shares'."""
    said, _, remark = name.partition(", ")
    found = [re.fullmatch(r"(\d+) (\S+)", part) for part in said.split(" + ")]
    mix = tuple((one[2], int(one[1])) for one in found if one)
    if len(mix) < len(found) or any(kind not in prices or not count for kind, count in mix):
        raise UserError(f"{where}: measured: {name} is no mix of instances with a price")
    return mix, remark


def dollars(rates: Rates, mix: Mix, seconds: float) -> float:
    """Price of a mix for so many seconds."""
    return sum(count * rates.prices[kind] for kind, count in mix) * seconds / 3600


def balanced_seconds(rates: Rates, mix: Mix, efficiency: float = 1.0) -> float:
    """Time of a mix that is as fast as the sum of its instances' speeds, times the efficiency
    where they are several."""
    speed = sum(count / rates.seconds[kind] for kind, count in mix)
    return 1 / (speed * (efficiency if sum(count for _, count in mix) > 1 else 1.0))


def mixes(rates: Rates, most: int) -> Iterator[Mix]:
    """All mixes of at most so many instances."""
    for counts in itertools.product(range(most + 1), repeat=len(rates.seconds)):
        if 0 < sum(counts) <= most:
            yield tuple((kind, count) for kind, count in zip(rates.seconds, counts, strict=True)
                        if count)


def front(rows: Sequence[Row]) -> list[Row]:
    """The rows that no other is both at least as fast and at least as cheap as, the cheapest first;
    of equal ones the first."""
    kept: list[Row] = []
    for row in sorted(rows, key=lambda row: (row.seconds, row.dollars)):
        if not kept or row.dollars < kept[-1].dollars:
            kept.append(row)
    return kept[::-1]


def frontier(rates: Rates, most: int, efficiency: float) -> tuple[list[Row], list[Row]]:
    """The front of all mixes of at most so many instances, and the measured mixes."""
    computed = []
    for mix in mixes(rates, most):
        seconds = balanced_seconds(rates, mix, efficiency)
        computed.append(Row(mix, seconds, dollars(rates, mix, seconds)))
    measured = [Row(mix, seconds, dollars(rates, mix, seconds), remark)
                for mix, remark, seconds in rates.measured]
    return front(computed), measured


def frontier_lines(rates: Rates, most: int, efficiency: float) -> list[str]:
    """The table: the front, and beside each measured mix its time with shares that follow the
    speeds."""
    found, measured = frontier(rates, most, efficiency)
    lines = [f"rates and prices of {rates.date}; at most {most} instances, {efficiency:.0%} of the "
             "sum of their speeds", "", f"{'hours':>7}  {'dollars':>8}  cheapest for its time"]
    lines += [_line(row) for row in found]
    if measured:
        lines += ["", f"{'hours':>7}  {'dollars':>8}  measured"]
        for mix, rows in itertools.groupby(measured, lambda row: row.mix):
            lines += [_line(row) for row in rows]
            if all(kind in rates.seconds for kind, _ in mix):
                seconds = balanced_seconds(rates, mix, efficiency)
                lines.append(_line(Row(mix, seconds, dollars(rates, mix, seconds),
                                       "computed, shares by speed")))
    return lines


def _line(row: Row) -> str:
    return f"{row.seconds / 3600:>7.2f}  {row.dollars:>8.2f}  {row.name}"
