"""Facts about this host, and measurements between two programs."""

import json
import subprocess
import sys
from typing import Any

from cluster.hosts.probe import EchoServer, facts, measure, reach
from reviews.runtime.network import LOOPBACK, Interface, Listener
from tests.ssh_hosts import ROOT


def test_facts_name_versions_and_what_is_free() -> None:
    found = facts("/nowhere/run")
    assert found["versions"]["reviewmill"] != "absent"
    assert found["disk"] > 0 and found["memory"] > 0 and found["cores"] >= 1


def test_a_measurement_has_a_latency_and_a_bandwidth() -> None:
    found = measure(LOOPBACK, EchoServer(LOOPBACK).port, seconds=0.01)
    assert 0 < found["latency_s"] < 1
    assert found["bytes_per_s"] > 1e6


def test_of_two_addresses_the_one_is_named_that_answers_with_the_word() -> None:
    with Listener([Interface("lo", LOOPBACK, 0)]) as one, Listener(
            [Interface("lo", LOOPBACK, 0)]) as other:
        word, ports = one.offer
        wrong = [["docker0", LOOPBACK, 0, other.offer[1][0][3]]]
        assert reach({"a": [word.hex(), [*wrong, *ports]], "b": [word.hex(), wrong]}) == {
            "a": LOOPBACK, "b": None}


def test_the_program_answers_line_by_line_until_its_input_ends() -> None:
    requests: list[tuple[str, list[Any]]] = [
        ("facts", ["/tmp"]), ("reach", [{}]), ("serve", [LOOPBACK])]
    done = subprocess.run([sys.executable, "-m", "cluster.hosts.probe"], cwd=ROOT, text=True,
                          input="".join(json.dumps(one) + "\n" for one in requests),
                          capture_output=True, timeout=60)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0 and len(answers) == 3, done.stderr
    assert answers[0]["offer"][0] and answers[1] == {} and answers[2]["port"] > 0
