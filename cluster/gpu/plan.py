"""Plan of a run on a GPU cluster: price, and expected time and money."""

from collections.abc import Mapping
from dataclasses import dataclass

from cluster.gpu.catalog import Catalog
from cluster.gpu.config import ON_DEMAND, Budget, GpuConfig, budget, first_types
from reviews.errors import UserError

START_MINUTES = 10.0  # assumed: machines, driver, packages, health
EFFICIENCY = 0.9  # assumed: throughput of a group as a part of the sum of its members'


@dataclass(frozen=True)
class Plan:
    """Price of a cluster, and of a run on it where the rates of its types are known.

    Attributes:
        rows: of the table: type, count, GPUs, dollars an hour, reviews/s of one or None.
        reviews: to train on, all epochs together; 0 where no run is planned.
    """

    rows: tuple[tuple[str, int, str, float, float | None], ...]
    limits: Budget
    market: str
    prices_of: str
    reviews: float
    efficiency: float

    @property
    def unknown(self) -> list[str]:
        """Types whose rate nobody measured."""
        return [name for name, *_, rate in self.rows if rate is None]

    @property
    def rate(self) -> float | None:
        """Reviews/s of the group; None where a type's is unknown."""
        if self.unknown:
            return None
        return self.efficiency * sum(count * (rate or 0.0) for _, count, _, _, rate in self.rows)

    @property
    def hours(self) -> float | None:
        """Expected hours from the start of the machines on; None where they are not known."""
        if self.rate is None or not self.reviews:
            return None
        return START_MINUTES / 60 + self.reviews / self.rate / 3600

    def lines(self) -> list[str]:
        """The plan in words."""
        table = [("type", "count", "GPUs", "$/h", "reviews/s of one"),
                 *((name, str(count), gpus, f"{count * price:.2f}",
                    "unknown" if rate is None else f"{rate:,.0f}")
                   for name, count, gpus, price, rate in self.rows)]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
                 .rstrip() for row in table]
        spot = "; spot costs less" if self.market != ON_DEMAND else ""
        lines.append(f"at most ${self.limits.hourly:.2f}/h, disks included (list prices on demand, "
                     f"{self.prices_of}{spot})")
        lines.append(f"ends after {self.limits.hours:.1f} h, at most ${self.limits.dollars:.2f}, "
                     "whatever happens (--max-hours, --max-dollars)")
        return [*lines, *self._run_lines()]

    def _run_lines(self) -> list[str]:
        if self.unknown:
            names = ", ".join(self.unknown)
            return [f"expected time: unknown, nobody measured {names}: give --rate TYPE=REVIEWS/S, "
                    "or --measured TYPE=RUN of a short run on one"]
        if self.hours is None:
            return [f"expected rate: {self.rate:,.0f} reviews/s; --store STORE gives the time"]
        cost = self.hours * self.limits.hourly
        lines = [f"expected: {self.hours:.2f} h, ${cost:.2f} ({self.reviews:,.0f} reviews at "
                 f"{self.rate:,.0f}/s, which assumes {self.efficiency:.0%} of the sum, after "
                 f"{START_MINUTES:.0f} minutes of starting)"]
        if self.hours > self.limits.hours:
            lines.append(f"the run does not fit: it takes {self.hours:.2f} h, and the limits end "
                         f"it after {self.limits.hours:.2f} h; --resume would go on")
        return lines


def make_plan(
    config: GpuConfig, catalog: Catalog, rates: Mapping[str, float], reviews: float = 0,
    efficiency: float = EFFICIENCY,
) -> Plan:
    """The plan of a configuration; UserError for a type that is not in the catalog."""
    if not 0 < efficiency <= 1:
        raise UserError(f"--efficiency is {efficiency:g}: give a fraction above 0, at most 1")
    rows = tuple(
        (one.name, count, f"{count * one.gpus} x {one.gpu}" if one.gpus else "none", one.price,
         rates.get(one.name))
        for one, count in first_types(config, catalog))
    return Plan(rows, budget(config, catalog), config.market, catalog.prices_of, reviews,
                efficiency)
