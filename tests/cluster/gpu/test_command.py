"""`reviewmill cluster gpu`: whatever does not become a cluster is ended; mistakes are one line."""

import hashlib
import signal
from collections.abc import Iterator

import pytest

import reviewmill
from cluster.gpu.cloud import Cloud
from cluster.gpu.node_files import ship
from cluster.gpu.state import records
from tests.cluster.aws import BUCKET, REGION, objects
from tests.cluster.gpu.ec2 import IMAGE, Interference, alive, left_over

UP = ["--work", f"s3://{BUCKET}/work", "--image", IMAGE, "--ssh-from", "192.0.2.7/32"]


@pytest.fixture
def ec2(aws: str) -> Iterator[Interference]:
    with Interference().on(Cloud(REGION).ec2) as made:
        yield made


def call(*arguments: str) -> int:
    return reviewmill.main(["cluster", "gpu", *arguments])


def test_of_three_nodes_where_four_are_wanted_none_stays(
    ec2: Interference, capsys: pytest.CaptureFixture[str]
) -> None:
    ec2.capacity = {("g5.xlarge", "on-demand"): 3}
    assert call("up", *UP, "--nodes", "g5.xlarge:4") == 3
    error = capsys.readouterr().err
    assert "3 of 4 nodes: g5.xlarge, on-demand" in error
    assert "1 were not: AWS gave fewer than it was asked for" in error
    assert len(ec2.order) == 3
    assert (alive(), left_over(), list(records())) == ([], [], [])


def test_nodes_that_never_show_their_keys_are_ended(
    ec2: Interference, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("up", *UP, "--nodes", "g5.xlarge:2", "--ready-minutes", "0.001") == 3
    assert "its console shows no host keys" in capsys.readouterr().err
    assert len(ec2.order) == 2 and (alive(), left_over()) == ([], [])


def test_ctrl_c_while_nodes_start_ends_them(
    ec2: Interference, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(**_: object) -> None:
        if ec2.order:
            signal.raise_signal(signal.SIGTERM)

    events = Cloud(REGION).ec2.meta.events
    events.register("before-call.ec2.DescribeInstances", interrupt)
    try:
        assert call("up", *UP, "--nodes", "g5.xlarge:2") == 130
    finally:
        events.unregister("before-call.ec2.DescribeInstances", interrupt)
    assert len(ec2.order) == 2 and (alive(), left_over(), list(records())) == ([], [], [])


@pytest.mark.parametrize(("arguments", "message"), [
    (["up"], "give --work s3://bucket/folder"),
    (["up", *UP, "--region", REGION, "--max-hours", "0.1"],
     "the budget lasts 6 minutes at $1.52 an hour"),
    (["up", *UP, "--region", REGION, "--max-dollars", "0.1"], "--max-dollars 0.76"),
    (["up", *UP, "--nodes", "g5.huge"], "no instance type 'g5.huge'"),
    (["run", "/nowhere", "--out", "run"], "/nowhere is no store"),
    (["run", "s3://b/store", "--out", "/tmp"], "/tmp is there already: give --resume"),
    (["run", "s3://b/store", "--out", "s3://b/run", "--cluster", "gpu-x"],
     "no cluster gpu-x was started from here"),
    (["run", "s3://b/store", "--out", "s3://b/run", "--cluster", "gpu-x", "--market", "spot"],
     "--market is for a cluster that is started"),
    (["run", "s3://b/store", "--out", "s3://b/run", "--", "--epochz", "3"],
     "unknown argument --epochz; did you mean --epochs"),
    (["run", "s3://b/store", "--out", "s3://b/run", "--", "--model=bag", "--layers=2"],
     "options behind --: reviewmill train: --layers is for"),
    (["setup"], "setup needs --write"),
])
def test_a_mistake_is_one_line_and_starts_nothing(
    arguments: list[str], message: str, ec2: Interference, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(*arguments) == 2
    assert message in capsys.readouterr().err
    assert not [name for name, _ in ec2.requests if not name.startswith("Describe")]


def test_files_are_put_by_their_content(aws: str) -> None:
    files = ship(f"s3://{BUCKET}/work/")
    found = objects("work/bootstrap/")
    prefix = files.source.removeprefix(f"s3://{BUCKET}/")
    assert hashlib.sha256(found[f"{prefix}/{files.wheel}"]).hexdigest() == files.wheel_sha256
    requirements = found[f"{prefix}/gpu-requirements.txt"]
    assert hashlib.sha256(requirements).hexdigest() == files.requirements_sha256


def test_setup_makes_checks_and_mends_the_role(
    aws: str, capsys: pytest.CaptureFixture[str]
) -> None:
    setup = ["setup", "--read", f"s3://{BUCKET}/stores", "--write", f"s3://{BUCKET}/runs",
             "--node-role", "other-nodes"]
    assert call(*setup, "--check") == 2
    assert "role other-nodes is not there" in capsys.readouterr().err
    assert call(*setup) == 0
    assert call(*setup, "--check") == 0
    assert capsys.readouterr().out.endswith("role other-nodes is as it should be\n")
    assert call(*setup, "--print-user-policy") == 0
    assert "ec2:TerminateInstances" in capsys.readouterr().out


def test_the_module_needs_no_aws_for_a_plan(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    assert call("plan") == 0
    assert "g5.xlarge" in capsys.readouterr().out
