"""Clusters of EMR: started, watched, and above all ended."""

import contextlib
import posixpath
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Any

from cluster.aws import aws_errors, client, list_keys, read_tail, say
from cluster.emr_config import TAG, EmrConfig, parse_action
from reviews.errors import EngineError

# Where the bootstrap action puts Python and the packages of the jobs.
NODE_PYTHON = "/opt/reviewmill/bin/python"
READY, ENDED = {"RUNNING", "WAITING"}, {"TERMINATED", "TERMINATED_WITH_ERRORS"}
POLL_S = 10.0
LOG_WAIT_S = 120.0  # EMR brings the last logs to S3 while it ends a cluster


@dataclass(frozen=True)
class Bootstrap:
    """Address and arguments of the bootstrap action; its files are on S3 before the start."""

    script: str
    arguments: tuple[str, ...]


def request(config: EmrConfig, bootstrap: Bootstrap, log_uri: str) -> dict[str, Any]:
    """Request to AWS: the arguments of run_job_flow."""
    tags = dict([TAG, *(tuple(tag.split("=", 1)) for tag in config.tags)])
    groups = [
        _group(config, "MASTER", config.master_type, 1),
        _group(config, "CORE", config.core_type, config.core_count),
    ]
    if config.task_count:
        spot: dict[str, Any] = {"Market": "SPOT"}
        if config.task_bid is not None:
            spot["BidPrice"] = f"{config.task_bid:g}"
        groups.append(_group(config, "TASK", config.task_type, config.task_count) | spot)
    instances: dict[str, Any] = {
        "InstanceGroups": groups,
        "KeepJobFlowAliveWhenNoSteps": True,
        "TerminationProtected": False,
    }
    if config.subnet:
        instances["Ec2SubnetId"] = config.subnet
    return {
        "Name": config.name,
        "ReleaseLabel": config.release,
        "Applications": [{"Name": "Hadoop"}],
        "LogUri": log_uri,
        "Instances": instances,
        "BootstrapActions": [
            _action("reviewmill", bootstrap.script, bootstrap.arguments),
            *(_action(f"own {number}", *parse_action(text))
              for number, text in enumerate(config.bootstrap_actions, 1))],
        # Whatever becomes of the machine that started it, an idle cluster ends.
        "AutoTerminationPolicy": {"IdleTimeout": 60 * config.idle_minutes},
        "ServiceRole": config.service_role,
        "JobFlowRole": config.node_role,
        "VisibleToAllUsers": True,
        "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
    }


def _action(name: str, script: str, arguments: Sequence[str]) -> dict[str, Any]:
    return {"Name": name,
            "ScriptBootstrapAction": {"Path": script, "Args": list(arguments)}}


def _group(config: EmrConfig, role: str, kind: str, count: int) -> dict[str, Any]:
    disk = {"VolumeSpecification": {"VolumeType": "gp3", "SizeInGB": config.disk_gb},
            "VolumesPerInstance": 1}
    return {
        "Name": role.lower(), "InstanceRole": role, "InstanceType": kind, "InstanceCount": count,
        "Market": "ON_DEMAND", "EbsConfiguration": {"EbsBlockDeviceConfigs": [disk]},
    }


def create(config: EmrConfig, bootstrap: Bootstrap, log_uri: str) -> str:
    """Start a cluster and return its id; it runs, and costs, from now on."""
    with aws_errors("the cluster was not started"):
        started = client("emr", config.region).run_job_flow(**request(config, bootstrap, log_uri))
    return str(started["JobFlowId"])


def describe(cluster: str, region: str | None) -> dict[str, Any]:
    """Description of a cluster by AWS."""
    with aws_errors(f"cluster {cluster}"):
        found: dict[str, Any] = client("emr", region).describe_cluster(ClusterId=cluster)["Cluster"]
    return found


def status_line(found: dict[str, Any]) -> str:
    """A description in one line."""
    reason = found["Status"].get("StateChangeReason", {}).get("Message", "")
    return f"{found['Id']} {found['Status']['State']}{f': {reason}' if reason else ''}"


def wait_until_ready(cluster: str, region: str | None) -> None:
    """Wait for the machines and the bootstrap action.

    Raises EngineError, with the last lines of what went wrong, where the cluster ends instead.
    """
    before = ""
    while True:
        found = describe(cluster, region)
        state = found["Status"]["State"]
        if state != before:
            say(status_line(found))
            before = state
        if state in READY:
            return
        if state in ENDED or state == "TERMINATING":
            raise EngineError(_end_message(found, region))
        time.sleep(POLL_S)


def _end_message(found: dict[str, Any], region: str | None) -> str:
    lines = last_lines(found, "/bootstrap-actions/")
    end = f"; its bootstrap action said last: {' | '.join(lines)}" if lines else ""
    return f"the cluster did not start: {status_line(found)}{end}"


def step_failure(cluster: str, region: str | None) -> str:
    """Reason of a step that failed, and the last lines of its task."""
    found = describe(cluster, region)
    lines = last_lines(found, "/containers/", LOG_WAIT_S) or last_lines(found, "/steps/")
    return f"{status_line(found)}{'; its task said last: ' + ' | '.join(lines) if lines else ''}"


def last_lines(found: dict[str, Any], kind: str, wait_s: float = 0.0) -> list[str]:
    """The last lines of the newest log on standard error of this kind that is not empty."""
    if not found.get("LogUri"):
        return []
    folder = posixpath.join(found["LogUri"].replace("s3n://", "s3://"), found["Id"])
    until = time.monotonic() + wait_s
    while True:
        logs = [entry for entry in list_keys(folder)
                if kind in entry["Key"] and "stderr" in posixpath.basename(entry["Key"])]
        bucket = folder.split("/")[2]
        for entry in sorted(logs, key=lambda entry: entry["LastModified"], reverse=True):
            if lines := _without_noise(read_tail(f"s3://{bucket}/{entry['Key']}", 60)):
                return lines
        if time.monotonic() >= until:
            return []
        time.sleep(POLL_S)


def _without_noise(lines: list[str]) -> list[str]:
    """The lines of a program that failed, without Java's about its logging."""
    kept = [line.strip() for line in lines if not line.startswith(("log4j:", "SLF4J:", "WARNING:"))]
    return kept[-4:]


def terminate(cluster: str, region: str | None, wait: bool = False) -> None:
    """End a cluster; one that ended already is no mistake."""
    with aws_errors(f"cluster {cluster} COULD NOT BE ENDED and may cost money, end it by hand"):
        client("emr", region).terminate_job_flows(JobFlowIds=[cluster])
    say(f"{cluster} is asked to end")
    while wait and describe(cluster, region)["Status"]["State"] not in ENDED:
        time.sleep(POLL_S)


@contextlib.contextmanager
def transient(config: EmrConfig, bootstrap: Bootstrap, log_uri: str) -> Iterator[str]:
    """A cluster for the block, ended with it however it ends, on Ctrl-C and SIGTERM too."""
    with _stopped_by_signals() as begin_listening:
        cluster = create(config, bootstrap, log_uri)
        try:
            begin_listening()
            say(f"{cluster} is starting")
            wait_until_ready(cluster, config.region)
            yield cluster
        finally:
            terminate(cluster, config.region)


@contextlib.contextmanager
def _stopped_by_signals() -> Iterator[Any]:
    """Ctrl-C and SIGTERM wait until the id of the cluster is known, and then stop the block."""
    came: list[int] = []
    listening = False

    def stop(number: int, _: FrameType | None) -> None:
        came.append(number)
        # A second one does not stop the ending of the cluster.
        if listening and len(came) == 1:
            raise KeyboardInterrupt

    def begin() -> None:
        nonlocal listening
        listening = True
        if came:
            raise KeyboardInterrupt

    previous = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield begin
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
