"""Arguments of Hadoop's jobs: tasks fit the slots of the cluster."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from mapreduce.engines.hadoop import how_tasks_run, slots
from mapreduce.engines.hadoop_runner import HadoopRunner
from mapreduce.engines.options import EngineOptions, Tasks

HADOOP = EngineOptions(runner="hadoop")


class ResourceManager(BaseHTTPRequestHandler):
    """The page of a resource manager about its cluster."""

    answer = b""

    def do_GET(self) -> None:
        assert self.path == "/ws/v1/cluster/metrics"
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.answer)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A yarn-site.xml that names a resource manager of this test."""
    server = HTTPServer(("127.0.0.1", 0), ResourceManager)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    site = tmp_path / "yarn-site.xml"
    site.write_text(
        "<configuration><property><name>yarn.resourcemanager.webapp.address</name>"
        f"<value>127.0.0.1:{server.server_port}</value></property></configuration>")
    monkeypatch.setenv("HADOOP_CONF_DIR", str(tmp_path))
    yield site
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(("memory", "cores", "expected"), [
    (6144, 4, 3), (1 << 20, 32, 32), (1024, 4, 1)])
def test_slots_are_what_memory_and_cores_of_the_cluster_take(
    configuration: Path, monkeypatch: pytest.MonkeyPatch, memory: int, cores: int, expected: int
) -> None:
    about = {"clusterMetrics": {"totalMB": memory, "totalVirtualCores": cores}}
    monkeypatch.setattr(ResourceManager, "answer", json.dumps(about).encode())
    assert slots(HADOOP) == expected
    assert slots(EngineOptions(runner="hadoop", workers=2)) == 2


@pytest.mark.parametrize("answer", [b"", b"<html>", b"{}", b"[]", b'{"clusterMetrics": null}'])
def test_slots_are_unknown_where_the_answer_is_another(
    configuration: Path, monkeypatch: pytest.MonkeyPatch, answer: bytes
) -> None:
    monkeypatch.setattr(ResourceManager, "answer", answer)
    assert slots(HADOOP) is None


def test_slots_are_unknown_without_a_resource_manager(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HADOOP_CONF_DIR", str(tmp_path))
    assert slots(HADOOP) is None


def test_a_job_of_one_task_of_each_kind_needs_no_container_but_its_masters() -> None:
    uber = "mapreduce.job.ubertask.enable=true"
    assert uber in how_tasks_run(HADOOP, Tasks(1, 1))
    assert uber not in how_tasks_run(HADOOP, Tasks(2, 1))
    assert uber not in how_tasks_run(HADOOP, Tasks(1, 2))


def test_the_name_of_the_streaming_jar_has_the_version() -> None:
    runner = HadoopRunner(hadoop_streaming_jar="/x/hadoop-streaming-3.4.2.jar",
                          hadoop_bin=["/nowhere/hadoop"])
    assert runner.get_hadoop_version() == "3.4.2"
