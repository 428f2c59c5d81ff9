"""Two models of a server, and new bundles in their places while calls are under way."""

import os
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import reviewmill
from scoring import load
from scoring.service.models import names_of
from tests.scoring.bundles import TEXTS, make_bundle
from tests.scoring.service.server import Server, serving

PATIENCE_S = 60


@pytest.mark.parametrize(("paths", "names"), [
    (["runs/a"], ["a"]),
    (["runs/a/model"], ["a"]),
    (["runs/a/model", "runs/b/model"], ["a", "b"]),
    (["runs/a", "old/a"], ["runs/a", "old/a"]),
    (["1/x/run", "2/x/run"], ["1/x/run", "2/x/run"]),
    (["/model"], ["model"]),
    (["/run", "/x/run"], ["run", "x/run"]),
])
def test_names_are_the_ends_of_the_paths_that_differ(paths: list[str], names: list[str]) -> None:
    assert names_of(paths) == names


def test_a_model_beside_itself_is_refused(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert reviewmill.main(["serve", str(model), str(model)]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.endswith("is given twice")


def test_a_call_names_its_model_and_gets_the_first_without(
    server: Server, model: Path, other: Path
) -> None:
    for name, path, path_of_call in (
        (None, model, "/v1/score"), ("served", model, "/v1/score"), ("bag", other, "/v1/score"),
        ("bag", other, "/v1/explain"),
    ):
        named = {} if name is None else {"model": name}
        status, answer = server.post({"texts": TEXTS, **named}, path_of_call)
        wanted = load(str(path))(TEXTS)
        assert (status, answer["model"]) == (200, name or "served")
        assert [result["label"] for result in answer["results"]] == wanted.labels
        found = [[*result["probabilities"].values()] for result in answer["results"]]
        np.testing.assert_allclose(found, wanted.probabilities, rtol=0, atol=1e-5)


def test_models_are_described(server: Server, model: Path) -> None:
    described = models_of(server)
    assert [(one["name"], one["model"], len(one["classes"])) for one in described] == [
        ("served", "lstm", 2), ("bag", "bag", 5)]
    assert described[0]["sha256"] == load(str(model)).bundle.files["weights.safetensors"]


def models_of(server: Server) -> list[dict[str, Any]]:
    status, answer = server.get("/v1/models")
    assert status == 200
    return answer["models"]


def wait_for_weights(server: Server, number: int, sha256: str) -> None:
    """Wait until a model has these weights."""
    end = time.monotonic() + PATIENCE_S
    while models_of(server)[number]["sha256"] != sha256:
        assert time.monotonic() < end


class Callers:
    """Threads that call a server all the time."""

    def __init__(self, server: Server, names: list[str]) -> None:
        self.answers: list[tuple[str, int, list[float]]] = []
        self._server, self._ends = server, threading.Event()
        self._threads = [threading.Thread(target=self._call, args=(name,)) for name in names]

    def __enter__(self) -> "Callers":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        for thread in self._threads:
            thread.join(PATIENCE_S)

    def _call(self, name: str) -> None:
        while not self._ends.is_set():
            status, answer = self._server.post({"texts": TEXTS, "model": name})
            found = [one["probabilities"]["positive"] for one in answer.get("results", [])]
            self.answers.append((name, status, found))


def positive(path: Path) -> np.ndarray:
    return load(str(path))(TEXTS).probabilities[:, 1]


def test_a_new_bundle_is_taken_up_without_a_lost_call(tmp_path: Path) -> None:
    paths = {name: make_bundle(tmp_path / name, kind)[0]
             for name, kind in (("a", "lstm"), ("b", "bag"))}
    before = {name: positive(path) for name, path in paths.items()}
    with serving(paths["a"], str(paths["b"]), session=True) as server:
        with Callers(server, ["a", "a", "a", "b"]) as callers:
            for seed in (4, 5):
                make_bundle(tmp_path / "a", "lstm", seed=seed)
                server.process.send_signal(signal.SIGHUP)
                sha256 = load(str(paths["a"])).bundle.files["weights.safetensors"]
                wait_for_weights(server, 0, sha256)
            enough = len(callers.answers) + 20
            while len(callers.answers) < enough:
                assert server.process.poll() is None
        after = positive(paths["a"])
        metrics = server.request("GET", "/metrics")[2].decode()
        assert server.stop() == -signal.SIGTERM
    assert {status for _, status, _ in callers.answers} == {200}
    assert not np.allclose(before["a"], after, atol=1e-3)
    for name, _, found in callers.answers:
        if name == "b":
            np.testing.assert_allclose(found, before["b"], rtol=0, atol=1e-5)
    of_a = [found for name, _, found in callers.answers if name == "a"]
    np.testing.assert_allclose(of_a[0], before["a"], rtol=0, atol=1e-5)
    np.testing.assert_allclose(of_a[-1], after, rtol=0, atol=1e-5)
    assert 'reviewmill_reloads_total{outcome="refused"} 0\n' in metrics
    # Its counts go on.
    counted = float(metrics.split('reviewmill_texts_total{model="a"} ')[1].split()[0])
    assert counted == len(TEXTS) * len(of_a)


def test_a_bundle_that_cannot_be_loaded_leaves_the_model_as_it_is(tmp_path: Path) -> None:
    folder, _ = make_bundle(tmp_path / "a", "bag")
    whole = (folder / "model.json").read_bytes()
    with serving(folder, session=True, errors=subprocess.PIPE) as server:
        assert server.process.stderr
        before = server.post({"texts": TEXTS})
        (folder / "model.json").write_bytes(whole + b" ")
        server.process.send_signal(signal.SIGHUP)
        line = server.process.stderr.readline()
        assert line.startswith("reviewmill: ")
        assert "is damaged" in line
        assert line.endswith("; a stays as it is\n")
        assert server.post({"texts": TEXTS}) == before
        assert server.get("/readyz") == (200, {"ready": True})
        metrics = server.request("GET", "/metrics")[2].decode()
        assert 'reviewmill_reloads_total{outcome="refused"} 1\n' in metrics
        # The next one is taken up.
        make_bundle(tmp_path / "a", "bag", seed=9)
        sha256 = load(str(folder)).bundle.files["weights.safetensors"]
        server.process.send_signal(signal.SIGHUP)
        wait_for_weights(server, 0, sha256)
        server.process.stderr.close()


def test_a_terminal_that_is_gone_ends_it_and_one_that_is_there_does_not(tmp_path: Path) -> None:
    folder, _ = make_bundle(tmp_path / "a", "bag")
    ours, theirs = os.openpty()
    with serving(folder, terminal=theirs) as server:
        os.close(theirs)
        make_bundle(tmp_path / "a", "bag", seed=9)
        sha256 = load(str(folder)).bundle.files["weights.safetensors"]
        server.process.send_signal(signal.SIGHUP)  # as by `kill -HUP`
        wait_for_weights(server, 0, sha256)
        os.close(ours)
        assert server.process.wait(PATIENCE_S) == 0
