"""Clusters of EMR, on a pretended AWS: what is asked for, what it costs, and that it ends."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import reviewmill
from cluster import emr, emr_setup
from cluster.aws import client
from cluster.emr import Bootstrap
from cluster.emr_config import EmrConfig, load_config
from reviews.errors import UserError
from tests.cluster.aws import (
    BUCKET,
    KEYS,
    REGION,
    boto,
    clusters,
    make_bucket,
    objects,
    pretended_aws,
)

WORK = f"s3://{BUCKET}/work"
READ_ALL = {"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}]}
BOOTSTRAP = Bootstrap("s3://b/bootstrap/emr.sh", ("s3://b/bootstrap", "0" * 64))


@pytest.fixture(scope="module")
def aws() -> Iterator[str]:
    yield from pretended_aws()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits between two questions."""
    monkeypatch.setattr(emr, "POLL_S", 0.05)
    monkeypatch.setattr(emr, "LOG_WAIT_S", 0.0)


def call(*arguments: str) -> int:
    return reviewmill.main(["cluster", *arguments])


class TestWhatIsAskedFor:
    def test_core_nodes_are_on_demand_and_task_nodes_are_spot(self) -> None:
        config = EmrConfig(core_count=3, task_count=5, task_bid=0.2, task_type="m6g.xlarge")
        master, core, task = emr.request(config, BOOTSTRAP, "s3://b/logs")["Instances"][
            "InstanceGroups"]
        assert (master["Market"], core["Market"]) == ("ON_DEMAND", "ON_DEMAND")
        assert (master["InstanceCount"], core["InstanceCount"]) == (1, 3)
        assert "BidPrice" not in core
        assert {task[key] for key in ("Market", "BidPrice", "InstanceType")} == {
            "SPOT", "0.2", "m6g.xlarge"}
        assert task["InstanceCount"] == 5

    def test_without_a_bid_task_nodes_cost_at_most_the_price_on_demand(self) -> None:
        groups = emr.request(EmrConfig(task_count=1), BOOTSTRAP, "s3://b/logs")["Instances"][
            "InstanceGroups"]
        assert groups[2]["Market"] == "SPOT" and "BidPrice" not in groups[2]

    def test_a_cluster_without_work_ends_itself_by_default(self) -> None:
        asked = emr.request(EmrConfig(), BOOTSTRAP, "s3://b/logs")
        assert asked["AutoTerminationPolicy"] == {"IdleTimeout": 900}
        assert asked["Instances"]["TerminationProtected"] is False
        with pytest.raises(UserError, match="idle_minutes is 0: give 1 to"):
            EmrConfig(idle_minutes=0)

    def test_every_choice_reaches_aws(self) -> None:
        config = EmrConfig(
            name="n", release="emr-7.8.0", master_type="r5.xlarge", disk_gb=99, subnet="subnet-1",
            service_role="s", node_role="n", tags=("team=reviews", "a=b=c"), idle_minutes=2)
        asked = emr.request(config, BOOTSTRAP, "s3://b/logs")
        assert (asked["Name"], asked["ReleaseLabel"]) == ("n", "emr-7.8.0")
        assert (asked["ServiceRole"], asked["JobFlowRole"]) == ("s", "n")
        assert asked["LogUri"] == "s3://b/logs"
        assert asked["Instances"]["Ec2SubnetId"] == "subnet-1"
        assert asked["AutoTerminationPolicy"] == {"IdleTimeout": 120}
        master = asked["Instances"]["InstanceGroups"][0]
        assert master["InstanceType"] == "r5.xlarge"
        disks = master["EbsConfiguration"]["EbsBlockDeviceConfigs"]
        assert [disk["VolumeSpecification"]["SizeInGB"] for disk in disks] == [99]
        assert {tag["Key"]: tag["Value"] for tag in asked["Tags"]} == {
            "for-use-with": "reviewmill", "team": "reviews", "a": "b=c"}
        [action] = asked["BootstrapActions"]
        assert action["ScriptBootstrapAction"] == {
            "Path": BOOTSTRAP.script, "Args": list(BOOTSTRAP.arguments)}

    def test_bootstrap_actions_of_one_s_own_come_after_ours(self) -> None:
        config = EmrConfig(bootstrap_actions=("s3://b/one.sh --name 'a b'", "s3://b/two.sh"))
        own = emr.request(config, BOOTSTRAP, "s3://b/logs")["BootstrapActions"][1:]
        assert [action["ScriptBootstrapAction"] for action in own] == [
            {"Path": "s3://b/one.sh", "Args": ["--name", "a b"]},
            {"Path": "s3://b/two.sh", "Args": []}]

    @pytest.mark.parametrize(("changes", "message"), [
        ({"release": "emr-6.15.0"}, "give emr-7.1.0 or later"),
        ({"release": "emr-7.0.0"}, "give emr-7.1.0 or later"),
        ({"core_count": 0}, "--core-count 1 or more"),
        ({"core_type": "big"}, "a type such as m5.xlarge"),
        ({"task_bid": 0.0}, "above 0"), ({"tags": ("team",)}, "give NAME=VALUE"),
        ({"bootstrap_actions": ("one.sh",)}, "give an address such as s3://bucket/script.sh"),
        ({"disk_gb": 1}, "give 10 or more"), ({"core_counts": 1}, "did you mean core_count"),
    ])  # fmt: skip
    def test_a_wrong_choice_is_told(self, changes: dict[str, Any], message: str) -> None:
        with pytest.raises(UserError, match=message):
            load_config(None, changes)

    def test_a_saved_configuration_is_the_same_again_and_holds_no_keys(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name, value in KEYS.items():
            monkeypatch.setenv(name, value)
        options = ["--core-count", "7", "--tags", "a=b,c=d", "--task-bid", "0.5"]
        assert call("emr", "create", *options, "--print-config") == 0
        printed = capsys.readouterr().out
        assert not any(value in printed for value in KEYS.values())
        (saved := tmp_path / "emr.yaml").write_text(printed)
        assert load_config(str(saved), {}) == EmrConfig(
            core_count=7, tags=("a=b", "c=d"), task_bid=0.5)
        assert call("emr", "setup", "--config", str(saved), "--print-config") == 0
        assert capsys.readouterr().out == printed


def policies(write: list[str], read: tuple[str, ...] = ()) -> dict[str, Any]:
    return emr_setup.documents(EmrConfig(), "123456789012", REGION, read, write)


class TestPolicies:
    def test_no_action_and_no_service_is_allowed_as_a_whole(self) -> None:
        for name, document in policies(["s3://b/out"]).items():
            for statement in document["Statement"]:
                actions = statement["Action"]
                for action in [actions] if isinstance(actions, str) else actions:
                    assert "*" not in action, name

    def test_objects_are_limited_to_the_given_folders(self) -> None:
        found = policies(["s3://mine/out/store"], ("s3://theirs/reviews/",))
        allowed = {"arn:aws:s3:::mine/out/store/*", "arn:aws:s3:::theirs/reviews/*",
                   "arn:aws:s3:::mine", "arn:aws:s3:::theirs"}
        for name, document in found.items():
            for statement in document["Statement"]:
                actions = statement["Action"]
                if any(a.startswith("s3:") for a in ([actions] if isinstance(actions, str)
                                                     else actions)):
                    assert set(statement["Resource"]) <= allowed, name
        nodes = {s["Sid"]: s for s in found["emr-nodes"]["Statement"]}
        assert nodes["ReadTheInput"]["Resource"] == ["arn:aws:s3:::theirs/reviews/*"]
        assert nodes["WriteStoreWorkFolderAndLogs"]["Resource"] == [
            "arn:aws:s3:::mine/out/store/*"]
        assert nodes["ListTheseFoldersAlone"]["Condition"]["StringLike"]["s3:prefix"] == [
            "out/store", "out/store/*", "reviews", "reviews/*"]

    def test_a_role_is_passed_to_the_service_it_is_for_and_to_no_other(self) -> None:
        passing = [statement for document in policies(["s3://b/out"]).values()
                   for statement in document["Statement"]
                   if "iam:PassRole" in statement["Action"]]
        assert len(passing) == 2
        for statement in passing:
            assert statement["Condition"]["StringEquals"]["iam:PassedToService"]
            assert "*" not in json.dumps(statement["Resource"])

    def test_every_placeholder_is_filled(self) -> None:
        assert "$" not in json.dumps(policies(["s3://b/out"]))

    def test_a_whole_bucket_is_refused(self) -> None:
        with pytest.raises(UserError, match="a folder inside of a bucket"):
            policies(["s3://b"])

    def test_what_is_not_limited_to_a_resource_only_looks(self) -> None:
        for document in policies(["s3://b/out"]).values():
            for statement in document["Statement"]:
                if statement.get("Resource") == "*":
                    assert all(action.split(":")[1].startswith(("Describe", "List"))
                               for action in statement["Action"])
                    assert statement["Condition"]


class TestSetup:
    def test_roles_are_created_checked_and_mended(
        self, aws: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        setup = ["emr", "setup", "--read", f"s3://{BUCKET}/in", "--write", WORK]
        assert call(*setup, "--check") == 2
        assert "role reviewmill-emr-service is not there" in capsys.readouterr().err
        assert call(*setup) == 0
        assert "are as they should be" in capsys.readouterr().out
        assert call(*setup, "--check") == 0

        iam = boto("iam")
        iam.put_role_policy(RoleName="reviewmill-emr-nodes", PolicyName="reviewmill",
                            PolicyDocument=json.dumps(READ_ALL))
        assert call(*setup, "--check") == 2
        assert "reviewmill-emr-nodes has another policy" in capsys.readouterr().err
        assert call(*setup) == 0
        # A policy that somebody attached is not ours to take away.
        made = iam.create_policy(PolicyName="all", PolicyDocument=json.dumps(READ_ALL))
        arn = made["Policy"]["Arn"]
        iam.attach_role_policy(RoleName="reviewmill-emr-nodes", PolicyArn=arn)
        assert call(*setup) == 2
        assert "may more than it should, by all" in capsys.readouterr().err
        iam.detach_role_policy(RoleName="reviewmill-emr-nodes", PolicyArn=arn)
        assert call(*setup, "--check") == 0

    def test_the_policy_of_the_user_is_printed(
        self, aws: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert call("emr", "setup", "--write", WORK, "--print-user-policy") == 0
        shown = json.loads(capsys.readouterr().out)
        assert "elasticmapreduce:RunJobFlow" in json.dumps(shown)

    def test_setup_wants_to_know_where_to_write(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert call("emr", "setup") == 2
        assert "--write s3://bucket/folder" in capsys.readouterr().err

    @pytest.mark.parametrize("option", ["--core-count", "--wri"])
    def test_setup_takes_no_options_of_a_cluster_and_no_abbreviations(
        self, option: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with pytest.raises(SystemExit) as stop:
            call("emr", "setup", option, "3")
        assert stop.value.code == 2
        assert f"unknown argument {option}" in capsys.readouterr().err


class TestClusters:
    def test_a_cluster_is_created_found_and_ended(
        self, aws: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert call("emr", "create", "--work", WORK, "--task-count", "2") == 0
        told = capsys.readouterr()
        cluster = told.out.strip()
        assert "this costs about $" in told.err
        found = boto("emr").describe_cluster(ClusterId=cluster)["Cluster"]
        assert found["ReleaseLabel"] == EmrConfig().release
        assert {"Key": "for-use-with", "Value": "reviewmill"} in found["Tags"]
        assert found["LogUri"] == f"{WORK}/logs"
        assert call("emr", "status") == 0
        assert f"{cluster} WAITING" in capsys.readouterr().out
        assert call("emr", "terminate", cluster) == 0
        assert f"{cluster} TERMINATED" in capsys.readouterr().out
        assert call("emr", "status", cluster) == 0
        assert "TERMINATED" in capsys.readouterr().out
        assert call("emr", "status") == 0
        assert capsys.readouterr().out == "no cluster of reviewmill runs\n"

    def test_more_packages_are_put_beside_the_requirements(
        self, aws: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (packages := tmp_path / "more.txt").write_text("spacy==3.8\n")
        assert call("emr", "create", "--work", WORK, "--no-wait", "--packages", str(packages)) == 0
        cluster = capsys.readouterr().out.strip()
        call("emr", "terminate", cluster)
        assert objects("work/bootstrap/")["work/bootstrap/packages.txt"] == b"spacy==3.8\n"
        [action] = boto("emr").list_bootstrap_actions(ClusterId=cluster)["BootstrapActions"]
        assert len(action["Args"]) == 3
        assert call("emr", "create", "--work", WORK, "--packages", "/nowhere.txt") == 2
        assert "packages /nowhere.txt: No such file" in capsys.readouterr().err

    def test_no_key_gets_into_a_script_a_file_or_the_cluster(self, aws: str) -> None:
        assert call("emr", "create", "--work", WORK, "--no-wait") == 0
        [*_, cluster] = clusters()
        call("emr", "terminate", cluster)
        described = json.dumps(boto("emr").describe_cluster(ClusterId=cluster), default=str)
        described += json.dumps(boto("emr").list_bootstrap_actions(ClusterId=cluster))
        for text in [described, *(data.decode() for data in objects("work/").values())]:
            assert not any(value in text for value in KEYS.values())

    def test_a_cluster_that_does_not_exist_is_told(
        self, aws: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        for command in ("status", "terminate"):
            assert call("emr", command, "j-NONE") == 2
            assert "cluster j-NONE: AWS refused" in capsys.readouterr().err

    def test_a_bucket_elsewhere_is_told_before_anything_starts(
        self, aws: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        make_bucket("far-away", "ap-south-1")
        before = set(clusters())
        assert call("emr", "create", "--work", "s3://far-away/work", "--region", REGION) == 2
        assert f"s3://far-away is in ap-south-1, the others in {REGION}" in capsys.readouterr().err
        assert call("emr", "create", "--work", "s3://nobodys/work") == 2
        assert "s3://nobodys: AWS refused" in capsys.readouterr().err
        assert set(clusters()) == before

    def test_without_credentials_the_user_reads_where_they_belong(
        self, aws: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        for name in KEYS:
            monkeypatch.delenv(name)
        client.cache_clear()
        assert call("emr", "create", "--work", WORK) == 2
        client.cache_clear()
        assert "no AWS credentials; set AWS_PROFILE" in capsys.readouterr().err

    @pytest.mark.parametrize("state", ["TERMINATED_WITH_ERRORS", "TERMINATING"])
    def test_a_cluster_that_ends_instead_of_starting_is_told_with_the_end_of_its_log(
        self, aws: str, state: str, monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        real = emr.create

        def create(*arguments: Any) -> str:
            cluster = real(*arguments)
            clusters()[cluster].state = state
            boto("s3").put_object(
                Bucket=BUCKET, Body=b"log4j: noise\npip: no such package\nbootstrap failed\n",
                Key=f"work/logs/{cluster}/node/i-1/bootstrap-actions/1/stderr")
            return cluster

        monkeypatch.setattr(emr, "create", create)
        assert call("emr", "create", "--work", WORK) == 3
        error = capsys.readouterr().err
        assert "its bootstrap action said last: pip: no such package | bootstrap failed" in error
        assert {cluster.state for cluster in clusters().values()} <= {
            "TERMINATED", "TERMINATED_WITH_ERRORS"}


def test_the_module_needs_no_aws_to_be_looked_at() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import sys, cluster.emr_command; print('boto3' in sys.modules)"],
        capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "False"
