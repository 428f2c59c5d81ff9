"""What an EMR cluster is made of: every choice in one frozen dataclass."""

import re
from collections.abc import Collection
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import yaml

from reviews.errors import UserError
from reviews.options import from_mapping, option, to_mapping

# On a cluster, its machines and its roles: policies let us touch only what carries it.
TAG = ("for-use-with", "reviewmill")
IDLE_LIMITS = (1, 7 * 24 * 60)  # minutes; AWS takes a minute to seven days
# The choices that the commands beside `create` read: only these are options of theirs.
SETUP_READS = ("region", "service_role", "node_role")
COST_READS = ("master_type", "core_type", "core_count", "task_type", "task_count", "task_bid",
              "disk_gb")


@dataclass(frozen=True)
class EmrConfig:
    """A cluster: one master, core nodes on demand, task nodes on spot bids."""

    name: str = option("reviewmill", "name of the cluster")
    region: str | None = option(None, "region (default: that of the buckets)")
    release: str = option("emr-7.9.0", "release of EMR, 7.1 or later")
    master_type: str = option("m5.xlarge", "instance type of the master")
    core_type: str = option("m5.2xlarge", "instance type of core nodes, which are on demand")
    core_count: int = option(2, "core nodes")
    task_type: str = option("m5.2xlarge", "instance type of task nodes, which are spot instances")
    task_count: int = option(0, "task nodes")
    task_bid: float | None = option(
        None, "most dollars an hour for a task node (default: the on-demand price)")
    disk_gb: int = option(128, "gigabytes of disk for each node")
    idle_minutes: int = option(15, "minutes without work after which the cluster ends itself")
    subnet: str | None = option(None, "subnet (default: AWS chooses one)")
    service_role: str = option("reviewmill-emr-service", "role of EMR itself")
    node_role: str = option("reviewmill-emr-nodes", "role and instance profile of the nodes")
    log_uri: str | None = option(None, "where EMR writes logs (default: logs beside the store)")
    tags: tuple[str, ...] = option((), "more tags, such as team=reviews,project=sentiment")

    def __post_init__(self) -> None:
        version = re.fullmatch(r"emr-(\d+)\.(\d+)\.\d+", self.release)
        if not version or (int(version[1]), int(version[2])) < (7, 1):
            raise UserError(
                f"release is {self.release!r}: give emr-7.1.0 or later, which has Python 3.11")
        for name in ("master_type", "core_type", "task_type"):
            if not re.fullmatch(r"[a-z][a-z0-9-]*\.[a-z0-9-]+", getattr(self, name)):
                raise UserError(f"{name} is {getattr(self, name)!r}: give a type such as m5.xlarge")
        if self.core_count < 1 or self.task_count < 0:
            raise UserError("give --core-count 1 or more and --task-count 0 or more")
        if self.task_bid is not None and self.task_bid <= 0:
            raise UserError(f"task_bid is {self.task_bid}: give dollars an hour above 0")
        if self.disk_gb < 10:
            raise UserError(f"disk_gb is {self.disk_gb}: give 10 or more")
        least, most = IDLE_LIMITS
        if not least <= self.idle_minutes <= most:
            raise UserError(f"idle_minutes is {self.idle_minutes}: give {least} to {most}")
        wrong = [tag for tag in self.tags if not re.fullmatch(r"[^=]+=.*", tag)]
        if wrong:
            raise UserError(f"tag {wrong[0]!r}: give NAME=VALUE")

    def to_yaml(self) -> str:
        """All choices, as --config takes them; there are no keys among them."""
        return yaml.safe_dump(to_mapping(self), sort_keys=False)


def all_but(names: Collection[str]) -> list[str]:
    """The other choices."""
    return [field.name for field in fields(EmrConfig) if field.name not in names]


def load_config(path: str | None, changes: dict[str, Any]) -> EmrConfig:
    """The configuration of a file (or the defaults), with changes laid over it."""
    values: Any = {}
    if path:
        try:
            values = yaml.safe_load(Path(path).read_text("utf-8")) or {}
        except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
            raise UserError(f"{path}: {str(error).splitlines()[0]}") from None
        if not isinstance(values, dict):
            raise UserError(f"{path}: not a list of KEY: VALUE")
    return from_mapping(EmrConfig, {**values, **changes}, path or "options")
