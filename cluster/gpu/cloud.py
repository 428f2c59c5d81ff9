"""EC2 as clusters need it: instances by tag, and answers that may be late or wrong.

EC2 shows what it made some time later, and may make what it answers an error to. So nothing is
believed absent that was looked for once.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from cluster.aws import aws_errors, client
from cluster.emr_config import TAG
from reviews.errors import EngineError

T = TypeVar("T")
CLUSTER_TAG = "reviewmill-cluster"
TERMINATED = "terminated"
ENDING = ("shutting-down", TERMINATED)


@dataclass(frozen=True)
class Pace:
    """Seconds between two looks, between two after which absence is believed, and the most
    that an end may take."""

    poll_s: float = 5.0
    absence_s: float = 20.0
    end_s: float = 900.0


PACE = Pace()


@dataclass(frozen=True)
class Instance:
    """An instance as EC2 shows it; addresses are empty while it shows none."""

    id: str
    type: str
    state: str
    public: str
    private: str
    cluster: str
    spot: bool
    launched: float


class Cloud:
    """EC2 of one region."""

    def __init__(self, region: str | None, pace: Pace | None = None) -> None:
        self.ec2 = client("ec2", region)
        self.region = str(self.ec2.meta.region_name)
        self.pace = pace or PACE

    def tagged(self, cluster: str | None = None) -> list[Instance]:
        """Instances of a cluster, or of all clusters, in every state."""
        own = {"Name": f"tag:{CLUSTER_TAG}", "Values": [cluster]}
        wanted = own if cluster else {"Name": "tag-key", "Values": [CLUSTER_TAG]}
        return list(self._described(Filters=[wanted]))

    def named(self, ids: Sequence[str]) -> list[Instance]:
        """Instances with these ids, as far as EC2 shows them."""
        if not ids:
            return []
        # As a filter: as InstanceIds, one that is not shown yet would be an error for all.
        return list(self._described(Filters=[{"Name": "instance-id", "Values": list(ids)}]))

    def _described(self, **wanted: Any) -> Iterator[Instance]:
        with aws_errors("instances"):
            for page in self.ec2.get_paginator("describe_instances").paginate(**wanted):
                for reservation in page["Reservations"]:
                    yield from map(_instance, reservation["Instances"])

    def look(self, find: Callable[[], T | None]) -> T | None:
        """Result of `find`; None only where it found nothing twice, some time apart."""
        found = find()
        if found is None:
            time.sleep(self.pace.absence_s)
            found = find()
        return found

    def ensure(self, create: Callable[[], Any], find: Callable[[], T | None]) -> T:
        """Result of a request, as `find` shows it.

        An error of the request is believed where nothing is found twice.

        Args:
            create: the request.
            find: what it makes, or None.
        """
        import botocore.exceptions as boto

        try:
            create()
        except (boto.ClientError, boto.BotoCoreError):
            if (found := self.look(find)) is None:
                raise
            return found
        until = time.monotonic() + self.pace.end_s
        while (found := find()) is None:  # it is there, and will be shown
            if time.monotonic() > until:
                raise EngineError(f"{self.region}: EC2 does not show what it made")
            time.sleep(self.pace.poll_s)
        return found


def error_code(error: Exception) -> str:
    """Code of an error of AWS; empty where it is none."""
    return str(getattr(error, "response", {}).get("Error", {}).get("Code", ""))


def tags(kinds: Sequence[str], cluster: str) -> list[dict[str, Any]]:
    """TagSpecifications of a request: what it makes carries the cluster's id from the start."""
    every = [{"Key": TAG[0], "Value": TAG[1]}, {"Key": CLUSTER_TAG, "Value": cluster},
             {"Key": "Name", "Value": f"reviewmill {cluster}"}]
    return [{"ResourceType": kind, "Tags": every} for kind in kinds]


def _instance(entry: dict[str, Any]) -> Instance:
    own = {tag["Key"]: tag["Value"] for tag in entry.get("Tags", [])}
    return Instance(
        entry["InstanceId"], entry.get("InstanceType", ""),
        entry.get("State", {}).get("Name", "pending"), entry.get("PublicIpAddress") or "",
        entry.get("PrivateIpAddress") or "", own.get(CLUSTER_TAG, ""),
        entry.get("InstanceLifecycle") == "spot", entry["LaunchTime"].timestamp())
