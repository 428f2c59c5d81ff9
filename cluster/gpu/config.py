"""Configuration of a GPU cluster: every choice in one frozen dataclass."""

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass

from cluster.gpu.catalog import Catalog, InstanceType
from reviews.errors import UserError
from reviews.options import check_bounds, flag, option

SPOT, ON_DEMAND = "spot", "on-demand"
MARKETS = {SPOT: (SPOT,), ON_DEMAND: (ON_DEMAND,), "spot-first": (SPOT, ON_DEMAND)}
DISK_GB_HOUR = 0.08 / 730  # dollars; gp3
_PLAN = ("plan", "up")
_UP = ("up",)
_SETUP = ("up", "setup")


@dataclass(frozen=True)
class GpuConfig:
    """A cluster: groups of nodes, its limits of time and money, and how it is reached."""

    nodes: tuple[str, ...] = option(
        ("g5.xlarge",), "groups of nodes, TYPE:COUNT each, as g5.xlarge:2,g4dn.xlarge:4; "
        "TYPE/TYPE:COUNT names types to fall back to, in order", commands=_PLAN)
    market: str = option(
        ON_DEMAND, "market of the instances; spot-first asks for on-demand ones where there is no "
        "spot capacity", tuple(MARKETS), commands=_PLAN)
    max_dollars: float = option(
        25.0, "budget: the most that the cluster may cost, at prices on demand", above=0,
        commands=_PLAN)
    max_hours: float = option(
        12.0, "number of hours after which all nodes are shut down", above=0, commands=_PLAN)
    disk_gb: int = option(100, "size of each node's disk in gigabytes", at_least=50, commands=_PLAN)
    lease_minutes: int = option(
        20, "number of minutes without a heartbeat after which a node shuts itself down",
        at_least=10, at_most=240, commands=_UP)
    ready_minutes: float = option(
        20.0, "number of minutes in which the nodes must be ready", above=0, commands=_UP)
    region: str | None = option(
        None, "region (default: that of the S3 folders; for prices: us-east-1)",
        commands=("plan", *_SETUP))
    image: str | None = option(
        None, "machine image (default: Amazon's newest base image with NVIDIA's driver, on Amazon "
        "Linux 2023)", commands=_UP)
    subnet: str | None = option(
        None, "subnet (default: one of the default network)", commands=_UP)
    ssh_from: str | None = option(
        None, "network that may use ssh, as 192.0.2.7/32 (default: this machine's address as the "
        "internet sees it)", commands=_UP)
    user: str = option("ec2-user", "user of the nodes", commands=_UP)
    node_role: str = option(
        "reviewmill-gpu-nodes", "role and instance profile of the nodes", commands=_SETUP)

    def __post_init__(self) -> None:
        check_bounds(self, flag)
        parse_groups(self.nodes)
        if self.ssh_from is not None:
            try:
                network = ipaddress.IPv4Network(self.ssh_from)
            except ValueError:
                raise UserError(f"--ssh-from is {self.ssh_from}: give a network such as "
                                "192.0.2.7/32") from None
            if network.prefixlen < 8:
                raise UserError(f"--ssh-from {self.ssh_from} is nearly everybody: give the "
                                "network of this machine")


@dataclass(frozen=True)
class NodeGroup:
    """Nodes of which each may be of one of several types, the first that there is."""

    types: tuple[str, ...]
    count: int


def parse_groups(texts: Sequence[str]) -> tuple[NodeGroup, ...]:
    """Groups as --nodes has them; UserError for a wrong one."""
    groups = []
    for text in texts:
        found = re.fullmatch(r"([a-z0-9.-]+(?:/[a-z0-9.-]+)*)(?::(\d+))?", text)
        count = int(found[2] or 1) if found else 0
        if not found or not 1 <= count <= 1000:
            raise UserError(f"--nodes {text}: give TYPE:COUNT or TYPE/TYPE:COUNT, such as "
                            "g5.xlarge/g6.xlarge:4")
        groups.append(NodeGroup(tuple(found[1].split("/")), count))
    if not groups:
        raise UserError("--nodes is empty: give TYPE:COUNT")
    return tuple(groups)


@dataclass(frozen=True)
class Budget:
    """Limits of a cluster: dollars an hour at most, and the hours that its money lasts."""

    hourly: float
    hours: float

    @property
    def dollars(self) -> float:
        """Dollars at most."""
        return self.hourly * self.hours


def budget(config: GpuConfig, catalog: Catalog) -> Budget:
    """The limits; of each group the dearest type counts, at its price on demand.

    A spot instance never costs more than that.
    """
    hourly = sum(
        group.count * (max(catalog[name].price for name in group.types)
                       + config.disk_gb * DISK_GB_HOUR)
        for group in parse_groups(config.nodes))
    return Budget(hourly, min(config.max_hours, config.max_dollars / hourly))


def first_types(config: GpuConfig, catalog: Catalog) -> list[tuple[InstanceType, int]]:
    """Types and counts as they are wished for, without falling back."""
    return [(catalog[group.types[0]], group.count) for group in parse_groups(config.nodes)]
