"""Host keys of nodes, from their console's output, which AWS's own interface brings.

So the first connection is as safe as any: no key is taken from whoever answers at an address.
"""

import re
import time
from collections.abc import Sequence

from cluster.aws import aws_errors
from cluster.gpu.cloud import Cloud, error_code
from cluster.gpu.up import Node
from reviews.errors import EngineError

BEGIN, END = "-----BEGIN SSH HOST KEY KEYS-----", "-----END SSH HOST KEY KEYS-----"
KEY = re.compile(r"\b((?:ssh|ecdsa)-[a-z0-9-]+ AAAA[A-Za-z0-9+/]+=*)")


def known_hosts(cloud: Cloud, nodes: Sequence[Node], limit_s: float) -> str:
    """Lines of known_hosts for all nodes, by public and private address.

    EngineError for a node whose console shows no keys within the limit.
    """
    until, found = time.monotonic() + limit_s, dict[str, list[str]]()
    while len(found) < len(nodes):
        for node in nodes:
            name = node.instance.id
            if name not in found and (keys := parse_keys(console(cloud, name))):
                found[name] = keys
        if len(found) < len(nodes):
            if time.monotonic() > until:
                late = next(one.instance.id for one in nodes if one.instance.id not in found)
                raise EngineError(f"{late}: its console shows no host keys after "
                                  f"{limit_s / 60:.0f} minutes")
            time.sleep(cloud.pace.poll_s)
    return "".join(f"{node.instance.public},{node.instance.private} {key}\n"
                   for node in nodes for key in found[node.instance.id])


def parse_keys(output: str) -> list[str]:
    """Host keys between the two lines around them; lines may begin with a time or a name."""
    _, begin, rest = output.rpartition(BEGIN)
    keys, end, _ = rest.partition(END)
    return [match[1] for line in keys.splitlines() if (match := KEY.search(line))] if (
        begin and end) else []


def console(cloud: Cloud, instance: str) -> str:
    """Console output of an instance so far; empty where EC2 has nothing yet."""
    from botocore.exceptions import ClientError

    with aws_errors(f"console of {instance}"):
        try:
            answer = cloud.ec2.get_console_output(InstanceId=instance, Latest=True)
        except ClientError as error:
            if error_code(error) == "InvalidInstanceID.NotFound":
                return ""
            if error_code(error) != "UnsupportedOperation":  # of older types
                raise
            answer = cloud.ec2.get_console_output(InstanceId=instance)
    return str(answer.get("Output") or "")
