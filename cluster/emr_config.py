"""Configuration of an EMR cluster: every choice in one frozen dataclass."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from cluster.aws import split_uri
from reviews.errors import UserError
from reviews.options import check_bounds, from_mapping, option, to_mapping

# On a cluster, its machines and its roles: policies let us touch only what carries it.
TAG = ("for-use-with", "reviewmill")
IDLE_LIMITS = (1, 7 * 24 * 60)  # minutes; AWS takes a minute to seven days
# The commands that have an option; all are options of `create`.
_SETUP = ("create", "setup")
_COST = ("create", "cost")
_CREATE = ("create",)


@dataclass(frozen=True)
class EmrConfig:
    """A cluster: one master, core nodes on demand, task nodes on spot bids."""

    name: str = option("reviewmill", "name of the cluster", commands=_CREATE)
    region: str | None = option(None, "region (default: that of the buckets)", commands=_SETUP)
    release: str = option("emr-7.9.0", "release of EMR, 7.1 or later", commands=_CREATE)
    master_type: str = option("m5.xlarge", "instance type of the master", commands=_COST)
    core_type: str = option(
        "m5.2xlarge", "instance type of core nodes, which are on demand",
        commands=_COST)
    core_count: int = option(2, "number of core nodes", commands=_COST)
    task_type: str = option(
        "m5.2xlarge", "instance type of task nodes, which are spot instances",
        commands=_COST)
    task_count: int = option(0, "number of task nodes", commands=_COST)
    task_bid: float | None = option(
        None, "highest price in dollars an hour for a task node (default: the on-demand price)",
        above=0, wanted="dollars an hour above 0", commands=_COST)
    disk_gb: int = option(128, "size of each node's disk in gigabytes", at_least=10, commands=_COST)
    idle_minutes: int = option(
        15, "number of minutes without work after which the cluster ends itself",
        at_least=IDLE_LIMITS[0], at_most=IDLE_LIMITS[1], commands=_CREATE)
    subnet: str | None = option(None, "subnet (default: AWS chooses one)", commands=_CREATE)
    service_role: str = option("reviewmill-emr-service", "role of EMR itself", commands=_SETUP)
    node_role: str = option(
        "reviewmill-emr-nodes", "role and instance profile of the nodes",
        commands=_SETUP)
    log_uri: str | None = option(
        None, "folder that EMR writes logs to (default: logs beside the store)",
        commands=_CREATE)
    bootstrap_actions: tuple[str, ...] = option(
        (), "scripts of your own that every node runs after reviewmill's, at addresses on s3://, "
        "each with its arguments, as 's3://b/one.sh --fast,s3://b/two.sh'", commands=_CREATE)
    packages: str | None = option(
        None, "requirements file of more packages for the nodes' Python; versions that reviewmill "
        "needs stay as they are", commands=_CREATE)
    tags: tuple[str, ...] = option(
        (), "tags to add, such as team=reviews,project=sentiment",
        commands=_CREATE)

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
        check_bounds(self)
        for action in self.bootstrap_actions:
            parse_action(action)
        wrong = [tag for tag in self.tags if not re.fullmatch(r"[^=]+=.*", tag)]
        if wrong:
            raise UserError(f"tag {wrong[0]!r}: give NAME=VALUE")

    def to_yaml(self) -> str:
        """All choices, as --config takes them; there are no keys among them."""
        return yaml.safe_dump(to_mapping(self), sort_keys=False)


def parse_action(text: str) -> tuple[str, list[str]]:
    """Address and arguments of a bootstrap action, as a shell would divide them."""
    try:
        address, *arguments = shlex.split(text)
        split_uri(address)
    except (ValueError, UserError):
        raise UserError(f"bootstrap action {text!r}: give an address such as "
                        "s3://bucket/script.sh, and its arguments behind it") from None
    return address, arguments


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
