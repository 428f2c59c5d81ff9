"""Start of a cluster: first its record, then what nodes share, then the nodes."""

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cluster.aws import aws_errors, say
from cluster.gpu import resources
from cluster.gpu.catalog import Catalog
from cluster.gpu.cloud import ENDING, Cloud, Instance, error_code, tags
from cluster.gpu.config import MARKETS, SPOT, GpuConfig, budget, parse_groups
from cluster.gpu.node_files import NodeFiles, user_data
from cluster.gpu.state import Call, Record
from reviews.errors import EngineError

# Errors after which another type or market may do; others stop the start.
NO_CAPACITY = {
    "InsufficientInstanceCapacity", "InsufficientHostCapacity", "InstanceLimitExceeded",
    "MaxSpotInstanceCountExceeded", "SpotMaxPriceTooLow", "Unsupported", "VcpuLimitExceeded",
}


@dataclass(frozen=True)
class Node:
    """An instance of which all addresses are known."""

    instance: Instance
    slots: int
    gpus: int

    @property
    def name(self) -> str:
        """Address at which the other nodes reach it."""
        return self.instance.private


def new_record(config: GpuConfig, catalog: Catalog, region: str) -> Record:
    """The record of a cluster to be, written before anything is asked of AWS."""
    limits, now = budget(config, catalog), time.time()
    name = f"gpu-{time.strftime('%Y%m%d-%H%M%S', time.gmtime(now))}-{secrets.token_hex(2)}"
    record = Record(name, region, config.user, limits.hourly, now + 3600 * limits.hours)
    record.save()
    return record


def start(cloud: Cloud, record: Record, config: GpuConfig, catalog: Catalog, files: NodeFiles
          ) -> None:
    """Make what nodes share and start all nodes.

    Raises EngineError where there are not as many as are wanted; whatever was started is then
    still there, for `down` to end.
    """
    image = config.image or resources.newest_image(cloud.region)
    device = resources.root_device(cloud, image)
    ssh_from = config.ssh_from or resources.own_network()
    key = resources.make_key(record.folder)
    resources.create_key_pair(cloud, record.id, key.with_suffix(".pub").read_bytes())
    group = resources.create_security_group(cloud, record.id, ssh_from, config.subnet)
    resources.create_template(
        cloud, record.id, resources.template(config, record.id, image, device, group))
    for wanted in parse_groups(config.nodes):
        missing, reasons = wanted.count, []
        choices = [(kind, market) for market in MARKETS[config.market] for kind in wanted.types]
        for kind, market in choices:
            if missing == 0:
                break
            script = user_data(files, catalog[kind].gpus, record.deadline, config.lease_minutes,
                               config.user)
            started, reason = request(cloud, record, kind, market, missing, script)
            missing -= len(started)
            reasons += [reason] * bool(reason)
            say(f"{len(started)} of {wanted.count} nodes: {kind}, {market}"
                + (f" ({reason})" if reason else ""))
        if missing:
            raise EngineError(
                f"{wanted.count - missing} of {wanted.count} nodes "
                f"{'/'.join(wanted.types)} ({config.market}) were there, {missing} were not: "
                f"{'; '.join(reasons) or 'AWS gave fewer than it was asked for'}; name other types "
                "to fall back to, another --market or another --region")


def request(
    cloud: Cloud, record: Record, kind: str, market: str, count: int, script: str
) -> tuple[list[str], str]:
    """Ask once for so many nodes; ids of those that were started, and why not all were.

    The request is in the record before it is sent, and its token in the record makes sure that
    it starts nothing twice. An error that does not say that nothing was started is looked behind.
    """
    import botocore.exceptions as boto

    call = Call(f"{record.id}-{len(record.calls)}", kind, market, count)
    record.calls.append(call)
    record.save()
    asked: dict[str, Any] = {
        "LaunchTemplate": {"LaunchTemplateName": resources.name_of(record.id),
                           "Version": "$Latest"},
        "InstanceType": kind, "MinCount": 1, "MaxCount": count, "ClientToken": call.token,
        "UserData": script, "TagSpecifications": tags(
            ["instance", "volume", "network-interface"]
            + ["spot-instances-request"] * (market == SPOT), record.id)}
    if market == SPOT:
        # Without a price of its own, a spot instance costs at most the price on demand.
        asked["InstanceMarketOptions"] = {"MarketType": "spot", "SpotOptions": {
            "SpotInstanceType": "one-time", "InstanceInterruptionBehavior": "terminate"}}
    reason = ""
    try:
        answer = cloud.ec2.run_instances(**asked)
        call.instances = [one["InstanceId"] for one in answer["Instances"]]
    except (boto.ClientError, boto.BotoCoreError) as error:
        reason = error_code(error) or type(error).__name__
        unseen = set(record.known)
        found = cloud.look(lambda: [one.id for one in cloud.tagged(record.id)
                                    if one.id not in unseen and one.state not in ENDING] or None)
        call.instances = found or []
        if not found and reason not in NO_CAPACITY:
            record.save()
            with aws_errors(f"no {kind} was started"):
                raise
    record.save()
    return call.instances, reason


def wait_for_nodes(cloud: Cloud, record: Record, catalog: Catalog, limit_s: float) -> list[Node]:
    """All nodes, once EC2 shows each one running with its addresses; the first leads.

    What EC2 does not show yet is waited for. EngineError where a node ends, or after the limit.
    """
    until, wanted = time.monotonic() + limit_s, record.known
    while True:
        shown = {one.id: one for one in cloud.named(wanted)}
        for one in shown.values():
            if one.state in (*ENDING, "stopping", "stopped"):
                raise EngineError(f"{one.id} ({one.type}) is {one.state}: AWS took it back, or it "
                                  "could not start")
        ready = [one for one in shown.values()
                 if one.state == "running" and one.public and one.private]
        if len(ready) == len(wanted):
            return to_nodes(ready, catalog, wanted)
        if time.monotonic() > until:
            late = next(one for one in wanted if one not in {node.id for node in ready})
            raise EngineError(f"{late} is not running after {limit_s / 60:.0f} minutes "
                              f"({len(ready)} of {len(wanted)} are)")
        time.sleep(cloud.pace.poll_s)


def to_nodes(
    found: list[Instance], catalog: Catalog, order: list[str]
) -> list[Node]:
    """Nodes in the order in which they were asked for."""
    by_id: Mapping[str, Instance] = {one.id: one for one in found}
    return [Node(by_id[one], catalog[by_id[one].type].slots, catalog[by_id[one].type].gpus)
            for one in order if one in by_id]


