"""Policies of nodes and users: least privilege, and no action as a whole."""

import json
from typing import Any

from cluster.gpu.config import GpuConfig
from cluster.gpu.resources import IMAGE
from cluster.gpu.roles import documents


def policies() -> dict[str, Any]:
    return documents(GpuConfig().node_role, "123456789012", "eu-central-1",
                     ["s3://theirs/stores"], ["s3://mine/runs"])


def statements() -> list[tuple[str, dict[str, Any]]]:
    return [(name, one) for name, document in policies().items() for one in document["Statement"]]


def actions(statement: dict[str, Any]) -> list[str]:
    found = statement["Action"]
    return [found] if isinstance(found, str) else list(found)


def test_no_action_is_allowed_as_a_whole_and_every_placeholder_is_filled() -> None:
    assert not any("*" in action for _, one in statements() for action in actions(one))
    assert "$" not in json.dumps(policies())


def test_what_is_not_limited_to_a_resource_only_looks_and_under_a_condition() -> None:
    wide = [one for _, one in statements() if one.get("Resource") == "*"]
    assert len(wide) == 2
    for one in wide:
        assert all(action.startswith("ec2:Describe") for action in actions(one))
        assert one["Condition"]


def test_only_what_carries_our_tag_is_started_or_ended() -> None:
    user = {one["Sid"]: one for name, one in statements() if name == "gpu-user"}
    for action in ("ec2:TerminateInstances", "ec2:DeleteSecurityGroup", "ec2:GetConsoleOutput"):
        [holder] = [one for one in user.values() if action in actions(one)]
        assert holder["Condition"] == {
            "StringEquals": {"aws:ResourceTag/for-use-with": "reviewmill"}}
    starting = [one for one in user.values() if "ec2:RunInstances" in actions(one)]
    for one in starting:
        tagged = json.dumps(one.get("Condition", {}))
        bare = {resource.split(":")[-1].split("/")[0] for resource in one["Resource"]}
        assert "for-use-with" in tagged or bare == {"subnet", "image"}


def test_nodes_touch_the_given_folders_alone_and_no_other_service() -> None:
    for one in policies()["gpu-nodes"]["Statement"]:
        assert all(action.startswith("s3:") for action in actions(one))
        assert set(one["Resource"]) <= {"arn:aws:s3:::mine/runs/*", "arn:aws:s3:::theirs/stores/*",
                                        "arn:aws:s3:::mine", "arn:aws:s3:::theirs"}


def test_the_role_is_passed_to_machines_alone_and_the_image_may_be_looked_up() -> None:
    [passing] = [one for _, one in statements() if "iam:PassRole" in actions(one)]
    assert passing["Resource"].endswith(":role/reviewmill-gpu-nodes")
    assert passing["Condition"] == {
        "StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}}
    [image] = [one for _, one in statements() if "ssm:GetParameter" in actions(one)]
    assert IMAGE.startswith(image["Resource"].partition(":parameter")[2].removesuffix("*"))


def test_the_user_may_make_every_request_that_the_program_makes() -> None:
    """Read from the program's text: ec2.some_request(...)."""
    import re
    from pathlib import Path

    from cluster import gpu

    text = "".join(file.read_text() for file in Path(gpu.__path__[0]).glob("*.py"))
    named = set(re.findall(r"(?:\.ec2|client\(\"ec2\"\))\.([a-z_]+)\(", text))
    named |= set(re.findall(r"get_paginator\(\"([a-z_]+)\"\)", text)) | {"run_instances"}
    named -= {"get_paginator"}
    asked = {"ec2:" + "".join(word.title() for word in name.split("_")) for name in named}
    allowed = {action for name, one in statements() if name == "gpu-user"
               for action in actions(one) if action.startswith("ec2:")}
    assert asked == allowed - {"ec2:CreateTags"}
