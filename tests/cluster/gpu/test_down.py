"""End of a cluster: over when EC2 says so, whatever became of the launcher before."""

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import reviewmill
from cluster.aws import client
from cluster.gpu import cloud as cloud_module
from cluster.gpu.catalog import load_catalog
from cluster.gpu.cloud import Cloud, Pace
from cluster.gpu.config import GpuConfig
from cluster.gpu.down import end_cluster
from cluster.gpu.node_files import NodeFiles
from cluster.gpu.state import load_record, records
from cluster.gpu.up import new_record, start, wait_for_nodes
from reviews.errors import EngineError, UserError
from tests.cluster.aws import REGION
from tests.cluster.gpu.ec2 import IMAGE, Interference, alive, instances, left_over, truth

CONFIG = GpuConfig(nodes=("g5.xlarge:2", "g4dn.xlarge/g6.xlarge:1"), image=IMAGE,
                   ssh_from="192.0.2.7/32", region=REGION)
FILES = NodeFiles("s3://reviews/work", "reviewmill.whl", "0" * 64, "1" * 64)


@pytest.fixture
def ec2(aws: str) -> Iterator[Interference]:
    with Interference().on(Cloud(REGION).ec2) as made:
        yield made


def bring_up() -> str:
    record = new_record(CONFIG, load_catalog(), REGION)
    start(Cloud(REGION), record, CONFIG, load_catalog(), FILES)
    wait_for_nodes(Cloud(REGION), record, load_catalog(), 20)
    return record.id


def in_a_process(work: Callable[[], object]) -> int:
    """Status of a process of its own that does the work; a kill ends nothing but it."""
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_it_ends_when_ec2_shows_every_instance_as_terminated(ec2: Interference) -> None:
    cluster, ec2.ending = bring_up(), 4
    end_cluster(Cloud(REGION), cluster)
    assert (alive(), left_over(), list(records())) == ([], [], [])
    assert all(ec2.looks[f"end of {name}"] > 4 for name in instances(cluster))


def test_an_instance_that_never_ends_is_named_and_the_record_stays(
    ec2: Interference, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster, ec2.ending = bring_up(), 10**9
    monkeypatch.setattr(cloud_module, "PACE", Pace(0.01, 0.02, end_s=0.2))
    with pytest.raises(EngineError, match=r"MAY COST MONEY: i-.*run down again"):
        end_cluster(Cloud(REGION), cluster)
    assert load_record(cluster) is not None
    ec2.ending = 0
    monkeypatch.setattr(cloud_module, "PACE", Pace(0.01, 0.02, end_s=20))
    end_cluster(Cloud(REGION), cluster)


def test_a_group_that_is_in_use_for_a_while_is_tried_again(ec2: Interference) -> None:
    cluster, ec2.fails["DeleteSecurityGroup"] = bring_up(), 3
    end_cluster(Cloud(REGION), cluster)
    assert left_over() == []


def test_it_is_refused_by_aws_in_capitals(ec2: Interference) -> None:
    cluster, ec2.fails["TerminateInstances"] = bring_up(), 1
    with pytest.raises(UserError, match="COULD NOT BE ENDED and may cost money"):
        end_cluster(Cloud(REGION), cluster)
    end_cluster(Cloud(REGION), cluster)


def test_instances_that_ec2_does_not_show_yet_are_ended(ec2: Interference) -> None:
    record = new_record(CONFIG, load_catalog(), REGION)
    start(Cloud(REGION), record, CONFIG, load_catalog(), FILES)
    ec2.hide = 6
    assert len(alive()) == 3
    end_cluster(Cloud(REGION), record.id)
    assert alive() == []


def test_an_id_that_ec2_forgot_long_ago_is_no_hindrance(ec2: Interference) -> None:
    cluster = bring_up()
    record = load_record(cluster)
    assert record is not None and record.calls[0].instances is not None
    record.calls[0].instances.append("i-0123456789abcdef0")
    record.save()
    end_cluster(Cloud(REGION), cluster)
    assert list(records()) == []


def requests_of_a_start(ec2: Interference) -> list[str]:
    cluster = bring_up()
    names = [name for name, _ in ec2.requests]
    end_cluster(Cloud(REGION), cluster)
    return names


@pytest.mark.parametrize("reads", [False, pytest.param(True, marks=pytest.mark.soak)])
def test_a_launcher_killed_at_any_request_leaves_nothing_that_is_not_found(
    reads: bool, ec2: Interference, capfd: pytest.CaptureFixture[str]
) -> None:
    """Before each request is sent, and between each and its answer; instances are shown late.

    Every second cluster is ended without the records of the launcher, as from another machine.
    """
    names = requests_of_a_start(ec2)
    numbers = [number for number, name in enumerate(names, 1)
               if reads or not name.startswith("Describe")]
    assert len(numbers) >= 6
    started = 0
    for number in numbers:
        # Before a request all is as after the one before, but for what is written of instances.
        both = reads or names[number - 1] == "RunInstances"
        for kill_at in (-number, number) if both else (number,):
            def killed(kill_at: int = kill_at) -> None:
                ec2.requests.clear()
                ec2.tokens.clear()
                ec2.kill_at, ec2.hide = kill_at, 1
                bring_up()

            assert in_a_process(killed) == 137
            started += len(alive())
            [record] = records()
            if number % 2:
                record.remove()
                assert reviewmill.main(
                    ["cluster", "gpu", "down", "--all", "--region", REGION]) == 0
            else:
                assert reviewmill.main(["cluster", "gpu", "down", record.id]) == 0
            assert (alive(), left_over(), list(records())) == ([], [], []), kill_at
    assert started >= 7


def test_down_that_is_killed_at_any_request_is_finished_by_the_next(
    ec2: Interference, capfd: pytest.CaptureFixture[str]
) -> None:
    for number in (3, 9):
        cluster = bring_up()

        def killed(number: int = number, cluster: str = cluster) -> None:
            ec2.requests.clear()
            ec2.kill_at = number
            end_cluster(Cloud(REGION), cluster)

        assert in_a_process(killed) == 137
        assert [record.id for record in records()] == [cluster]
        end_cluster(Cloud(REGION), cluster)
        assert (alive(), left_over(), list(records())) == ([], [], [])


def test_list_shows_what_runs_and_all_finds_it_without_records(
    ec2: Interference, capsys: pytest.CaptureFixture[str]
) -> None:
    """moto takes a second for each region: an account of two has to do."""
    regions = ["us-east-1", REGION]
    asked: list[str] = []

    def of_account(parsed: dict[str, Any], **_: Any) -> None:
        asked.append("regions")
        parsed["Regions"] = [{"RegionName": name} for name in regions]

    client("ec2").meta.events.register("after-call.ec2.DescribeRegions", of_account)
    cluster = bring_up()
    assert reviewmill.main(["cluster", "gpu", "list"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"{cluster} {REGION}: 1 g4dn.xlarge running, 2 g5.xlarge running, ")
    assert "at most $2.85/h, ends in 8.8 h" in shown
    [record] = records()
    record.remove()
    assert reviewmill.main(["cluster", "gpu", "list"]) == 0
    assert capsys.readouterr().out == "no cluster of reviewmill is there\n"
    assert reviewmill.main(["cluster", "gpu", "list", "--all"]) == 0
    assert asked == ["regions"]
    assert f"{cluster} {REGION}: 1 g4dn.xlarge running, 2 g5.xlarge" in capsys.readouterr().out
    assert reviewmill.main(["cluster", "gpu", "down", cluster]) == 0


def test_down_of_what_is_not_there_is_refused(
    ec2: Interference, capsys: pytest.CaptureFixture[str]
) -> None:
    assert reviewmill.main(["cluster", "gpu", "down", "gpu-x"]) == 2
    assert f"no cluster gpu-x is in {REGION}; `list --all` finds all" in capsys.readouterr().err
    assert reviewmill.main(["cluster", "gpu", "down"]) == 2
    assert "give the id of a cluster, or --all" in capsys.readouterr().err


def test_another_tag_is_not_touched(ec2: Interference) -> None:
    other = truth().run_instances(ImageId=IMAGE, MinCount=1, MaxCount=1, TagSpecifications=[
        {"ResourceType": "instance", "Tags": [{"Key": "owner", "Value": "somebody"}]}])
    name = other["Instances"][0]["InstanceId"]
    end_cluster(Cloud(REGION), bring_up())
    assert reviewmill.main(["cluster", "gpu", "down", "--all", "--region", REGION]) == 0
    assert alive() == [name]
    truth().terminate_instances(InstanceIds=[name])
