"""End of a cluster: it is over when EC2 says that every instance is terminated."""

import time
from collections.abc import Sequence

from cluster.aws import aws_errors, say
from cluster.gpu.cloud import ENDING, TERMINATED, Cloud, Instance, error_code
from cluster.gpu.resources import delete_resources
from cluster.gpu.state import load_record
from reviews.errors import EngineError


def end_cluster(cloud: Cloud, cluster: str) -> None:
    """End all instances of a cluster, delete what they shared, and forget it, in this order.

    Nothing but the id is needed. The record, if this machine has it, names instances that EC2 may
    not show yet. Raises UserError or EngineError where something is left, which the message says.
    """
    record = load_record(cluster)
    say(f"ending {cluster}")
    end_instances(cloud, cluster, record.known if record else [])
    delete_resources(cloud, cluster)
    if record:
        record.remove()
    say(f"{cluster} has ended: EC2 shows every instance as terminated")


def end_instances(cloud: Cloud, cluster: str, known: Sequence[str]) -> None:
    """Terminate what carries the cluster's tag or is known to belong to it, until all is.

    An end is believed when nothing was alive in two looks, some time apart: EC2 may show an
    instance late that a request started whose answer was lost.
    """
    until, quiet, gone = time.monotonic() + cloud.pace.end_s, 0, set[str]()
    while quiet < 2:
        found = {one.id: one for one in (*cloud.tagged(cluster), *cloud.named(known))}
        for one in found.values():
            if one.state not in ENDING:
                _terminate(cloud, one.id)
        for unseen in set(known) - set(found) - gone:
            # Not shown: it is ended by its id, unless EC2 says twice that there is none.
            if not _terminate(cloud, unseen) and quiet:
                gone.add(unseen)
        left = [one for one in found.values() if one.state != TERMINATED]
        hidden = set(known) - set(found) - gone
        quiet = 0 if left else min(quiet + 1, 1 if hidden else 2)
        if quiet < 2:
            if time.monotonic() > until:
                raise EngineError(_still_there(cloud, left, hidden))
            time.sleep(cloud.pace.absence_s if not left else cloud.pace.poll_s)


def _terminate(cloud: Cloud, instance: str) -> bool:
    """Ask for the end of an instance; False where EC2 says that there is none."""
    from botocore.exceptions import ClientError

    with aws_errors(f"{instance} COULD NOT BE ENDED and may cost money, end it by hand"):
        try:
            cloud.ec2.terminate_instances(InstanceIds=[instance])
        except ClientError as error:
            if error_code(error) != "InvalidInstanceID.NotFound":
                raise
            return False
    return True


def _still_there(cloud: Cloud, left: Sequence[Instance], hidden: set[str]) -> str:
    names = ", ".join([*(f"{one.id} ({one.state})" for one in left), *sorted(hidden)])
    return (f"after {cloud.pace.end_s:.0f} s EC2 does not say that these are terminated, and they "
            f"MAY COST MONEY: {names}; run down again")
