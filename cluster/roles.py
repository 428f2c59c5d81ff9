"""Roles of AWS, from our own least-privilege policies in cluster/iam."""

import argparse
import contextlib
import json
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

from cluster.aws import aws_errors, client, say, split_uri
from cluster.emr_config import TAG
from reviews.errors import UserError

POLICY = "reviewmill"


def add_setup_options(setup: argparse.ArgumentParser, read: str, write: str) -> None:
    """Options of a command that makes roles; `read` and `write` say what lies in the folders."""
    setup.add_argument("--read", nargs="+", default=[], metavar="S3-FOLDER", help=read)
    setup.add_argument("--write", nargs="+", default=[], metavar="S3-FOLDER", help=write)
    setup.add_argument("--check", action="store_true", help="change nothing, say what differs")
    setup.add_argument("--print-user-policy", action="store_true",
                       help="print the rights that your own user or role needs, as JSON, and end")


def documents(
    names: Sequence[str], values: Mapping[str, Any], read: Sequence[str], write: Sequence[str]
) -> dict[str, Any]:
    """The policies of these names, filled with values and with folders to read and write below."""
    if not write:
        raise UserError("name at least one s3:// folder to write to")
    places = [split_uri(uri) for uri in [*read, *write]]
    if not all(prefix for _, prefix in places):
        raise UserError("give a folder inside of a bucket, s3://bucket/folder: the roles are "
                        "limited to it")
    every: dict[str, Any] = {
        **values,
        "read_objects": _objects(read or write), "write_objects": _objects(write),
        "buckets": sorted({f"arn:aws:s3:::{bucket}" for bucket, _ in places}),
        "prefixes": sorted({name for _, prefix in places for name in (prefix, f"{prefix}/*")}),
    }
    folder = resources.files("cluster.iam")
    return {name: _filled(json.loads((folder / f"{name}.json").read_text("utf-8")), every)
            for name in names}


def _objects(uris: Sequence[str]) -> list[str]:
    return sorted(f"arn:aws:s3:::{'/'.join(split_uri(uri))}/*" for uri in uris)


def _filled(node: Any, values: dict[str, Any]) -> Any:
    """The document with every $name replaced."""
    if isinstance(node, dict):
        return {key: _filled(value, values) for key, value in node.items()}
    if isinstance(node, list):
        return [_filled(value, values) for value in node]
    if isinstance(node, str) and node[:1] == "$" and node[1:] in values:
        return values[node[1:]]
    if isinstance(node, str):
        for name, value in values.items():
            if isinstance(value, str):
                node = node.replace(f"${name}", value)
    return node


def account_id() -> str:
    """The account that the credentials belong to."""
    with aws_errors("AWS account"):
        return str(client("sts", "us-east-1").get_caller_identity()["Account"])


def differences(roles: Mapping[str, str], profile: str, wanted: dict[str, Any]) -> list[str]:
    """Differences of the roles, their policies and the instance profile from what they should be.

    Args:
        roles: name of each role's policy, by role.
        profile: instance profile, and the role in it.
    """
    iam = client("iam", "us-east-1")
    found = []
    for role, kind in roles.items():
        with aws_errors(f"role {role}"):
            try:
                trust = iam.get_role(RoleName=role)["Role"]["AssumeRolePolicyDocument"]
            except iam.exceptions.NoSuchEntityException:
                found.append(f"role {role} is not there")
                continue
            if trust != wanted[f"{kind}-trust"]:
                found.append(f"role {role} trusts others than it should")
            if _policy(iam, role) != wanted[kind]:
                found.append(f"role {role} has another policy {POLICY}")
            attached = iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]
            found += [f"role {role} may more than it should, by {policy['PolicyName']}"
                      for policy in attached]
    with aws_errors(f"instance profile {profile}"):
        try:
            there = iam.get_instance_profile(InstanceProfileName=profile)["InstanceProfile"]
        except iam.exceptions.NoSuchEntityException:
            found.append(f"instance profile {profile} is not there")
        else:
            if [role["RoleName"] for role in there["Roles"]] != [profile]:
                found.append(f"instance profile {profile} is without its role")
    return found


def _policy(iam: Any, role: str) -> Any:
    try:
        return iam.get_role_policy(RoleName=role, PolicyName=POLICY)["PolicyDocument"]
    except iam.exceptions.NoSuchEntityException:
        return None


def set_up(roles: Mapping[str, str], profile: str, wanted: dict[str, Any]) -> None:
    """Create what is missing, and bring what is there up to date."""
    iam = client("iam", "us-east-1")
    tags = [{"Key": TAG[0], "Value": TAG[1]}]
    for role, kind in roles.items():
        trust = json.dumps(wanted[f"{kind}-trust"])
        with aws_errors(f"role {role}"):
            try:
                iam.create_role(RoleName=role, AssumeRolePolicyDocument=trust, Tags=tags)
                say(f"role {role} created")
            except iam.exceptions.EntityAlreadyExistsException:
                iam.update_assume_role_policy(RoleName=role, PolicyDocument=trust)
            iam.put_role_policy(RoleName=role, PolicyName=POLICY,
                                PolicyDocument=json.dumps(wanted[kind]))
    with aws_errors(f"instance profile {profile}"):
        with contextlib.suppress(iam.exceptions.EntityAlreadyExistsException):
            iam.create_instance_profile(InstanceProfileName=profile)
            say(f"instance profile {profile} created")
        there = iam.get_instance_profile(InstanceProfileName=profile)["InstanceProfile"]
        if not there["Roles"]:
            iam.add_role_to_instance_profile(InstanceProfileName=profile, RoleName=profile)

