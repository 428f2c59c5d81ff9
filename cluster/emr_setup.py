"""The two roles of an EMR cluster: that of EMR itself, and that of the nodes."""

from collections.abc import Sequence
from typing import Any

from cluster import roles
from cluster.emr_config import EmrConfig

NAMES = ("emr-nodes", "emr-nodes-trust", "emr-service", "emr-service-trust", "emr-user")


def documents(
    config: EmrConfig, account: str, region: str, read: Sequence[str], write: Sequence[str]
) -> dict[str, Any]:
    """The policies by file name, for these addresses to read and to write below."""
    values = {"account": account, "region": region, "service_role": config.service_role,
              "node_role": config.node_role}
    return roles.documents(NAMES, values, read, write)


def differences(config: EmrConfig, wanted: dict[str, Any]) -> list[str]:
    """Differences of roles, policies and instance profile from what they should be."""
    return roles.differences(_roles(config), config.node_role, wanted)


def set_up(config: EmrConfig, wanted: dict[str, Any]) -> None:
    """Create what is missing, and bring what is there up to date."""
    roles.set_up(_roles(config), config.node_role, wanted)


def _roles(config: EmrConfig) -> dict[str, str]:
    return {config.service_role: "emr-service", config.node_role: "emr-nodes"}
