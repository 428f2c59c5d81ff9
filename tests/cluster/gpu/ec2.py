"""EC2 as it can be: late, wrong and short of machines. A layer of botocore over moto's server."""

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from botocore.exceptions import ClientError

from cluster.gpu.cloud import CLUSTER_TAG
from tests.cluster.aws import REGION, boto

IMAGE = "ami-12c6146b"  # one of moto's


def refused(code: str, operation: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": code}}, operation)


@dataclass
class Interference:
    """Faults of the requests of one client.

    Attributes:
        capacity: number of instances that there are, by (type, market); others are endless.
        hide: number of looks in which a new instance is not shown.
        hide_addresses: number of looks after those in which it is shown without addresses.
        ending: number of looks in which a terminated instance is shown as shutting down.
        errs: operations that do what they are asked, and answer an error once.
        fails: operations that answer an error so many times, and do nothing.
        kill_at: number of the request at which the process ends: -n before the n-th is sent, n
            after it is done and before its answer arrives.
        addresses: (public, private) of instances in the order in which they are started.
        consoles: console output of them in the same order.
    """

    capacity: dict[tuple[str, str], int] = field(default_factory=dict)
    hide: int = 0
    hide_addresses: int = 0
    ending: int = 0
    errs: set[str] = field(default_factory=set)
    fails: Counter[str] = field(default_factory=Counter)
    kill_at: int = 0
    addresses: list[tuple[str, str]] = field(default_factory=list)
    consoles: list[str] = field(default_factory=list)
    requests: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    looks: Counter[str] = field(default_factory=Counter)
    order: list[str] = field(default_factory=list)
    tokens: set[str] = field(default_factory=set)

    @contextmanager
    def on(self, client: Any) -> Iterator["Interference"]:
        """This happens to a client while the block runs."""
        hooks = {"provide-client-params.ec2.RunInstances": self._run_instances,
                 "before-call.ec2": self._before, "after-call.ec2": self._after}
        for name, hook in hooks.items():
            client.meta.events.register(name, hook)
        try:
            yield self
        finally:
            for name, hook in hooks.items():
                client.meta.events.unregister(name, hook)

    def _run_instances(self, params: dict[str, Any], **_: Any) -> dict[str, Any]:
        assert params["ClientToken"] not in self.tokens, "moto would start it twice"
        self.tokens.add(params["ClientToken"])
        market = params.get("InstanceMarketOptions", {}).get("MarketType", "on-demand")
        kind = params["InstanceType"], market
        there = min(self.capacity.get(kind, params["MaxCount"]), params["MaxCount"])
        if there < params["MinCount"]:
            raise refused("InsufficientInstanceCapacity", "RunInstances")
        if kind in self.capacity:
            self.capacity[kind] -= there
        return {**params, "MinCount": there}  # moto starts so many

    def _before(self, model: Any, params: dict[str, Any], **_: Any) -> None:
        self.requests.append((model.name, dict(params.get("body") or {})))
        if len(self.requests) == -self.kill_at:
            os._exit(137)
        if self.fails[model.name] > 0:
            self.fails[model.name] -= 1
            raise refused("DependencyViolation", model.name)

    def _after(self, model: Any, parsed: dict[str, Any], **_: Any) -> None:
        if len(self.requests) == self.kill_at:
            os._exit(137)
        if model.name == "RunInstances":
            self.order += [one["InstanceId"] for one in parsed.get("Instances", [])]
        if model.name in self.errs:
            self.errs.remove(model.name)
            raise refused("InternalError", model.name)
        if model.name == "DescribeInstances":
            for reservation in parsed["Reservations"]:
                reservation["Instances"] = [
                    one for one in reservation["Instances"] if self._shown(one)]
        if model.name == "GetConsoleOutput":
            number = self.order.index(parsed["InstanceId"])
            parsed["Output"] = self.consoles[number] if number < len(self.consoles) else ""

    def _shown(self, one: dict[str, Any]) -> bool:
        name = one["InstanceId"]
        self.looks[name] += 1
        if self.looks[name] <= self.hide:
            return False
        if name in self.order and self.order.index(name) < len(self.addresses):
            one["PublicIpAddress"], one["PrivateIpAddress"] = self.addresses[self.order.index(name)]
        if self.looks[name] <= self.hide + self.hide_addresses:
            one.pop("PublicIpAddress", None), one.pop("PrivateIpAddress", None)
        if one["State"]["Name"] == "terminated":
            self.looks[f"end of {name}"] += 1
            if self.looks[f"end of {name}"] <= self.ending:
                one["State"]["Name"] = "shutting-down"
        return True


@cache
def plain_ec2(address: str) -> Any:
    return boto("ec2", REGION)


def truth() -> Any:
    """A client to which nothing happens."""
    return plain_ec2(os.environ["AWS_ENDPOINT_URL"])


def instances(cluster: str | None = None) -> dict[str, Mapping[str, Any]]:
    """Instances as they really are, by id."""
    found = {}
    for reservation in truth().describe_instances()["Reservations"]:
        for one in reservation["Instances"]:
            tags = {tag["Key"]: tag["Value"] for tag in one.get("Tags", [])}
            if cluster in (None, tags.get(CLUSTER_TAG)):
                found[one["InstanceId"]] = one
    return found


def alive() -> list[str]:
    """Ids of what really runs."""
    return [name for name, one in instances().items() if one["State"]["Name"] != "terminated"]


def left_over() -> list[str]:
    """Names of what clusters shared and what is still there."""
    ec2 = truth()
    return [
        *(one["GroupName"] for one in ec2.describe_security_groups()["SecurityGroups"]
          if one["GroupName"] != "default"),
        *(one["LaunchTemplateName"] for one in ec2.describe_launch_templates()["LaunchTemplates"]),
        *(one["KeyName"] for one in ec2.describe_key_pairs()["KeyPairs"])]
