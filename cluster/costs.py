"""Costs of a cluster, before it is started.

Prices are on-demand list prices of us-east-1 in dollars an hour, as AWS published them in the
summer of 2025; other regions are up to half as much again. `--price TYPE=DOLLARS` replaces one.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cluster.emr_config import EmrConfig
from reviews.errors import UserError

# type: (vCPUs, EC2, what EMR adds), dollars an hour
INSTANCES: dict[str, tuple[int, float, float]] = {
    "m5.xlarge": (4, 0.192, 0.048), "m5.2xlarge": (8, 0.384, 0.096),
    "m5.4xlarge": (16, 0.768, 0.192), "m5.8xlarge": (32, 1.536, 0.270),
    "m6i.xlarge": (4, 0.192, 0.048), "m6i.2xlarge": (8, 0.384, 0.096),
    "m6i.4xlarge": (16, 0.768, 0.192), "m6g.xlarge": (4, 0.154, 0.0385),
    "m6g.2xlarge": (8, 0.308, 0.077), "m6g.4xlarge": (16, 0.616, 0.154),
    "m7g.xlarge": (4, 0.1632, 0.0408), "m7g.2xlarge": (8, 0.3264, 0.0816),
    "m7g.4xlarge": (16, 0.6528, 0.1632), "c5.2xlarge": (8, 0.340, 0.085),
    "c5.4xlarge": (16, 0.680, 0.170), "c6i.2xlarge": (8, 0.340, 0.085),
    "c6g.2xlarge": (8, 0.272, 0.068), "r5.xlarge": (4, 0.252, 0.063),
    "r5.2xlarge": (8, 0.504, 0.126),
}  # fmt: skip
EMR_SHARE = 0.25  # of the EC2 price, for a type that only --price names
DISK_GB_HOUR = 0.08 / 730  # gp3
START_MINUTES = 8.0  # machines, EMR and the bootstrap action, before the first step
# Inflated bytes a second of one vCPU, half a core: the core of docs/scale.md has 62 MB/s by
# itself, of which nine tenths are left beside a busy one.
VCPU_RATE = 28e6
INFLATED = 3.0  # times the size of a packed input


@dataclass(frozen=True)
class Estimate:
    """Dollars an hour by group of nodes, and the hours assumed."""

    hourly: dict[str, float]
    hours: float

    @property
    def total(self) -> float:
        """Dollars for all of it."""
        return sum(self.hourly.values()) * self.hours

    def line(self) -> str:
        """In one line."""
        groups = ", ".join(f"{name} ${price:.2f}/h" for name, price in self.hourly.items())
        return f"about ${self.total:.2f} for {self.hours * 60:.0f} minutes ({groups})"


def estimate(
    config: EmrConfig, hours: float, prices: Mapping[str, float] | None = None
) -> Estimate:
    """Costs of the cluster in so many hours; task nodes at most at their bid.

    Raises UserError for an instance type whose price is not known.
    """
    disk = config.disk_gb * DISK_GB_HOUR
    groups = {
        "master": (config.master_type, 1, None),
        "core": (config.core_type, config.core_count, None),
        "task (at most)": (config.task_type, config.task_count, config.task_bid),
    }
    hourly = {}
    for name, (kind, count, bid) in groups.items():
        if count:
            _, machine, emr = _instance(kind, prices or {})
            hourly[name] = count * ((machine if bid is None else bid) + emr + disk)
    return Estimate(hourly, hours)


def hours_for(
    config: EmrConfig, inflated: float, prices: Mapping[str, float] | None = None
) -> float:
    """Hours from the start of the cluster to the store, for so many bytes of plain input."""
    vcpus = config.core_count * _instance(config.core_type, prices or {})[0]
    if config.task_count:
        vcpus += config.task_count * _instance(config.task_type, prices or {})[0]
    return START_MINUTES / 60 + inflated / (vcpus * VCPU_RATE) / 3600


def _instance(kind: str, prices: Mapping[str, float]) -> tuple[int, float, float]:
    if kind in prices:
        vcpus = INSTANCES[kind][0] if kind in INSTANCES else _vcpus(kind)
        return vcpus, prices[kind], prices[kind] * EMR_SHARE
    if kind not in INSTANCES:
        raise UserError(f"the price of {kind} is not known; give --price {kind}=DOLLARS, an hour "
                        f"on demand (known: {', '.join(INSTANCES)})")
    return INSTANCES[kind]


def _vcpus(kind: str) -> int:
    """By the size in the name: large has 2, xlarge 4, 2xlarge 8, and so on."""
    size = kind.partition(".")[2]
    if size == "large":
        return 2
    times = size.removesuffix("xlarge")
    return 4 * int(times or 1) if times.isdigit() or not times else 4


def parse_prices(texts: Sequence[str]) -> dict[str, float]:
    """Dollars an hour by type of instance, from TYPE=DOLLARS."""
    return numbers_by_type("--price", texts, "TYPE=DOLLARS, such as m7i.2xlarge=0.4032")


def numbers_by_type(option: str, texts: Sequence[str], form: str) -> dict[str, float]:
    """Numbers above 0 by type of instance, from TYPE=NUMBER; a UserError asks for `form`."""
    numbers = {}
    for text in texts:
        kind, _, number = text.partition("=")
        try:
            numbers[kind] = float(number)
        except ValueError:
            numbers[kind] = 0.0
        if not kind or not 0 < numbers[kind] < math.inf:
            raise UserError(f"{option} {text}: give {form}")
    return numbers
