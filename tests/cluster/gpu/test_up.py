"""Start of a cluster: the nodes that are asked for, or none; whatever EC2 answers, and when."""

import json
from base64 import b64decode
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from cluster.gpu.catalog import load_catalog
from cluster.gpu.cloud import CLUSTER_TAG, Cloud
from cluster.gpu.config import GpuConfig
from cluster.gpu.down import end_cluster
from cluster.gpu.node_files import NodeFiles
from cluster.gpu.state import Record, load_record
from cluster.gpu.up import Node, new_record, start, wait_for_nodes
from reviews.errors import EngineError, UserError
from tests.cluster.aws import REGION
from tests.cluster.gpu.ec2 import IMAGE, Interference, alive, instances, truth

FILES = NodeFiles("s3://reviews/work", "reviewmill.whl", "0" * 64, "1" * 64)
MIXED = ("g5.xlarge:2", "g4dn.xlarge:2")


def config(*nodes: str, **changes: Any) -> GpuConfig:
    return GpuConfig(nodes=nodes, image=IMAGE, ssh_from="192.0.2.7/32", region=REGION, **changes)


class Starter:
    """Clusters on one pretended EC2."""

    def __init__(self) -> None:
        self.cloud = Cloud(REGION)
        self.ec2 = Interference()
        self.records: list[Record] = []

    def start(self, wanted: GpuConfig) -> Record:
        self.records.append(new_record(wanted, load_catalog(), REGION))
        start(self.cloud, self.records[-1], wanted, load_catalog(), FILES)
        return self.records[-1]

    def wait(self, record: Record, limit_s: float = 20.0) -> list[Node]:
        return wait_for_nodes(self.cloud, record, load_catalog(), limit_s)


@pytest.fixture
def starter(aws: str) -> Iterator[Starter]:
    made = Starter()
    with made.ec2.on(made.cloud.ec2):
        yield made
        for record in made.records:
            end_cluster(made.cloud, record.id)


def test_nodes_of_mixed_types_are_safe_and_end_with_their_shutdown(starter: Starter) -> None:
    record = starter.start(config(*MIXED))
    nodes = starter.wait(record)
    assert [node.instance.type for node in nodes] == ["g5.xlarge"] * 2 + ["g4dn.xlarge"] * 2
    assert all(node.slots == node.gpus == 1 for node in nodes)
    [template] = truth().describe_launch_template_versions(
        LaunchTemplateName=f"reviewmill-{record.id}")["LaunchTemplateVersions"]
    data = template["LaunchTemplateData"]
    assert data["InstanceInitiatedShutdownBehavior"] == "terminate"
    assert data["MetadataOptions"]["HttpTokens"] == "required"
    [disk] = [one["Ebs"] for one in data["BlockDeviceMappings"]]
    assert disk["Encrypted"] and disk["DeleteOnTermination"] and disk["VolumeSize"] == 100
    assert data["BlockDeviceMappings"][0]["DeviceName"] == "/dev/sda1"  # the image's first disk
    assert data["IamInstanceProfile"] == {"Name": "reviewmill-gpu-nodes"}
    assert data["NetworkInterfaces"][0]["DeleteOnTermination"]


def test_only_the_launcher_may_use_ssh_and_nodes_reach_each_other(starter: Starter) -> None:
    record = starter.start(config("g5.xlarge"))
    groups = truth().describe_security_groups(
        Filters=[{"Name": f"tag:{CLUSTER_TAG}", "Values": [record.id]}])["SecurityGroups"]
    assert len(groups) == 1
    ssh, inside = sorted(groups[0]["IpPermissions"], key=lambda rule: -len(rule["IpRanges"]))
    assert (ssh["FromPort"], ssh["ToPort"]) == (22, 22)
    assert [one["CidrIp"] for one in ssh["IpRanges"]] == ["192.0.2.7/32"]
    assert inside["IpRanges"] == [] and inside["IpProtocol"] == "-1"
    assert [one["GroupId"] for one in inside["UserIdGroupPairs"]] == [groups[0]["GroupId"]]


def test_everything_carries_the_id_of_the_cluster_from_the_request_that_makes_it(
    starter: Starter
) -> None:
    record = starter.start(config("g5.xlarge", market="spot"))
    made = [(name, body) for name, body in starter.ec2.requests
            if name.startswith(("Create", "Import", "Run"))]
    assert len(made) == 4
    for name, body in made:
        values = {value for key, value in body.items() if "TagSpecification" in key}
        assert record.id in values and "reviewmill" in values, name
    [run] = [body for name, body in made if name == "RunInstances"]
    kinds = {value for key, value in run.items() if key.endswith(".ResourceType")}
    assert kinds == {"instance", "volume", "network-interface", "spot-instances-request"}
    assert run["ClientToken"] == record.calls[0].token
    assert run["InstanceMarketOptions.SpotOptions.InstanceInterruptionBehavior"] == "terminate"


def test_user_data_has_the_deadline_the_lease_and_the_gpus_of_its_type(starter: Starter) -> None:
    wanted = config("g5.12xlarge", max_dollars=11.4, lease_minutes=15)
    record = starter.start(wanted)
    [run] = [body for name, body in starter.ec2.requests if name == "RunInstances"]
    line = b64decode(run["UserData"]).decode().splitlines()[1]
    assert "GPUS=4 " in line and "LEASE_MINUTES=15 " in line and "NODE_USER=ec2-user" in line
    assert f"DEADLINE={int(record.deadline)} " in line
    assert len(b64decode(run["UserData"])) < 16384  # of EC2
    # 11.40 dollars at 5.67 and a disk last two hours.
    created = record.deadline - 3600 * 11.4 / record.hourly
    assert record.deadline - created == pytest.approx(7200, rel=0.01)


def test_the_request_is_in_the_record_before_it_is_sent(starter: Starter) -> None:
    seen = []

    def look(**_: Any) -> None:
        found = load_record(starter.records[-1].id)
        assert found is not None
        seen.append([(call.token, call.instances) for call in found.calls])

    events = starter.cloud.ec2.meta.events
    events.register("before-call.ec2.RunInstances", look)
    record = starter.start(config("g5.xlarge"))
    events.unregister("before-call.ec2.RunInstances", look)
    assert seen == [[(f"{record.id}-0", None)]]
    found = load_record(record.id)
    assert found is not None and found.known == record.known and len(found.known) == 1


def test_what_is_missing_of_a_type_is_taken_of_the_next(starter: Starter) -> None:
    starter.ec2.capacity = {("g5.xlarge", "on-demand"): 1, ("g6.xlarge", "on-demand"): 0}
    record = starter.start(config("g5.xlarge/g6.xlarge/g4dn.xlarge:4"))
    assert [node.instance.type for node in starter.wait(record)] == [
        "g5.xlarge", "g4dn.xlarge", "g4dn.xlarge", "g4dn.xlarge"]


def test_without_spot_capacity_of_any_type_nodes_are_on_demand(starter: Starter) -> None:
    starter.ec2.capacity = {("g5.xlarge", "spot"): 1, ("g6.xlarge", "spot"): 1}
    record = starter.start(config("g5.xlarge/g6.xlarge:3", market="spot-first"))
    nodes = [(node.instance.type, node.instance.spot) for node in starter.wait(record)]
    assert Counter(nodes) == {("g5.xlarge", True): 1, ("g6.xlarge", True): 1,
                              ("g5.xlarge", False): 1}


def test_three_nodes_of_four_are_an_error_that_names_what_is_missing(starter: Starter) -> None:
    starter.ec2.capacity = {("g5.xlarge", "on-demand"): 3}
    with pytest.raises(EngineError, match=r"3 of 4 nodes g5.xlarge \(on-demand\) were there, 1"):
        starter.start(config("g5.xlarge:4"))
    assert len(alive()) == 3
    end_cluster(starter.cloud, starter.records[-1].id)
    assert alive() == []


def test_an_error_of_a_request_that_was_done_is_no_error(starter: Starter) -> None:
    starter.ec2.errs = {"ImportKeyPair", "CreateSecurityGroup", "AuthorizeSecurityGroupIngress",
                        "CreateLaunchTemplate", "RunInstances"}
    record = starter.start(config("g5.xlarge:2"))
    assert starter.ec2.errs == set()
    assert len(starter.wait(record)) == 2 and len(instances(record.id)) == 2


def test_an_error_of_a_request_that_was_not_done_is_one_line(starter: Starter) -> None:
    starter.ec2.fails["CreateLaunchTemplate"] = 1
    with pytest.raises(UserError, match="launch template: AWS refused"):
        starter.start(config("g5.xlarge"))


def test_new_instances_and_their_addresses_may_be_shown_late(starter: Starter) -> None:
    starter.ec2.hide, starter.ec2.hide_addresses = 5, 4
    record = starter.start(config(*MIXED))
    nodes = starter.wait(record)
    assert all(node.instance.public and node.instance.private for node in nodes)
    assert len(nodes) == len(instances(record.id)) == 4
    assert min(starter.ec2.looks[node.instance.id] for node in nodes) == 10


def test_a_node_that_ends_or_never_runs_is_named(starter: Starter) -> None:
    record = starter.start(config("g5.xlarge:2"))
    truth().terminate_instances(InstanceIds=[record.known[1]])
    with pytest.raises(EngineError, match=f"{record.known[1]} .g5.xlarge. is terminated"):
        starter.wait(record)
    other = starter.start(config("g5.xlarge"))
    starter.ec2.hide = 10**9
    with pytest.raises(EngineError, match=f"{other.known[0]} is not running after"):
        starter.wait(other, limit_s=0.1)
    starter.ec2.hide = 0


def test_no_secret_is_in_a_record_or_a_request(starter: Starter) -> None:
    record = starter.start(config("g5.xlarge"))
    private = (record.folder / "key").read_text()
    assert (record.folder / "key").stat().st_mode & 0o077 == 0
    secret = private.splitlines()[1]
    assert secret not in json.dumps(starter.ec2.requests, default=str)
    assert secret not in (record.folder / "cluster.json").read_text()
