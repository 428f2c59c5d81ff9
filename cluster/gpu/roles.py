"""The role of a cluster's nodes, and the policy of the user who starts them."""

from collections.abc import Sequence
from typing import Any

from cluster import roles

NAMES = ("gpu-nodes", "gpu-nodes-trust", "gpu-user")


def documents(
    node_role: str, account: str, region: str, read: Sequence[str], write: Sequence[str]
) -> dict[str, Any]:
    """The policies by file name, for these addresses to read and to write below."""
    values = {"account": account, "region": region, "node_role": node_role}
    return roles.documents(NAMES, values, read, write)


def differences(node_role: str, wanted: dict[str, Any]) -> list[str]:
    """Differences of the role, its policy and the instance profile from what they should be."""
    return roles.differences({node_role: "gpu-nodes"}, node_role, wanted)


def set_up(node_role: str, wanted: dict[str, Any]) -> None:
    """Create what is missing, and bring what is there up to date."""
    roles.set_up({node_role: "gpu-nodes"}, node_role, wanted)
