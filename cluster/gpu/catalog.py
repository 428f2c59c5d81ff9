"""Instance types: their GPUs and their prices, from the dated file beside this module."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources

import yaml

from reviews.errors import UserError
from reviews.options import near


@dataclass(frozen=True)
class InstanceType:
    """A type of instance; price in dollars an hour on demand."""

    name: str
    gpus: int
    gpu: str
    vcpus: int
    price: float

    @property
    def slots(self) -> int:
        """Number of ranks: one a GPU, or one for all cores where there is none."""
        return max(1, self.gpus)


# Regions with the prices of us-east-1; others are up to half as much again.
CHEAP_REGIONS, DEARER = ("us-east-1", "us-east-2", "us-west-2"), 1.5


@dataclass(frozen=True)
class Catalog:
    """All known types by name, and whose prices they have."""

    prices_of: str
    types: Mapping[str, InstanceType]

    def __getitem__(self, name: str) -> InstanceType:
        if name not in self.types:
            raise UserError(f"no instance type {name!r}{near(name, self.types)}; "
                            f"known: {', '.join(self.types)}")
        return self.types[name]

    def with_prices(self, prices: Mapping[str, float]) -> "Catalog":
        """The same types, some at other prices."""
        changed = {name: replace(self[name], price=price) for name, price in prices.items()}
        return Catalog(self.prices_of, {**self.types, **changed})

    def in_region(self, region: str | None) -> "Catalog":
        """The same types at the most that they may cost in a region; None: in us-east-1."""
        if region is None or region in CHEAP_REGIONS:
            return self
        dearer = {name: replace(one, price=DEARER * one.price) for name, one in self.types.items()}
        return Catalog(f"{self.prices_of}, times {DEARER} for {region}", dearer)


@cache
def load_catalog() -> Catalog:
    """The types of instances.yaml."""
    text = (resources.files("cluster.gpu") / "instances.yaml").read_text("utf-8")
    read = yaml.safe_load(text)
    return Catalog(f"us-east-1, {read['date']}", {name: InstanceType(name, **entry)
                                  for name, entry in read["types"].items()})
