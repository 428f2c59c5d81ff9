"""Requests are made again where that may mend them, with growing waits, and counted."""

import contextlib
import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import reviewmill
from reviews.errors import UserError
from reviews.recipe import load_recipe
from reviews.storage.folders import fetch_folder, names_below, read_whole, write_whole
from reviews.storage.retries import CUT_SHORT, FAILED, RETRIES, THROTTLED, Unanswered, again
from reviews.store import Store
from tests.cluster.aws import BUCKET, pretended_aws
from tests.faulty_proxy import EVERY, Proxy, proxy_of
from tests.mapreduce.corpus import bytes_of, make_reviews, run, write_reviews
from tests.requirements import need
from tests.reviews.corpora.web_hdfs import web_hdfs

KINDS = {THROTTLED, FAILED, CUT_SHORT}
FILES = 8


@pytest.mark.parametrize(("error", "kind"), [
    (Unanswered(503), THROTTLED), (Unanswered(429), THROTTLED), (Unanswered(500), FAILED),
    (ConnectionResetError(), FAILED), (TimeoutError(), FAILED),
])  # fmt: skip
def test_a_request_is_made_until_it_is_answered(error: Exception, kind: str) -> None:
    answers = [error, error, None]

    def request() -> str:
        if answer := answers.pop(0):
            raise answer
        return "answer"

    RETRIES.take()
    assert again(request, first_s=0) == "answer"
    assert RETRIES.take() == {kind: 2} and RETRIES.take() == {}


def test_the_last_error_is_raised() -> None:
    tried = []

    def request() -> None:
        tried.append(1)
        raise Unanswered(503)

    with pytest.raises(Unanswered):
        again(request, attempts=4, first_s=0)
    assert len(tried) == 4 and RETRIES.take() == {THROTTLED: 3}


@pytest.mark.parametrize("error", [
    FileNotFoundError(), PermissionError(), Unanswered(403), ConnectionRefusedError(),
    RuntimeError("no lease"), UserError("no such option"), ZeroDivisionError(),
])  # fmt: skip
def test_what_another_attempt_would_not_mend_is_raised_at_once(error: Exception) -> None:
    tried = []

    def request() -> None:
        tried.append(1)
        raise error

    with pytest.raises(type(error)):
        again(request)
    assert len(tried) == 1 and RETRIES.take() == {}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("corpus")
    return [write_reviews(folder / f"{n:02d}.json", make_reviews(150, n, 9)) for n in range(FILES)]


@pytest.fixture(scope="module")
def expected(corpus: list[str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mapreduce.prepare.PARTITION_BYTES", 30_000)
        return bytes_of(run(corpus, tmp_path_factory.mktemp("expected") / "store",
                            load_recipe()))


@contextlib.contextmanager
def s3(patch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """The pretended S3, behind a proxy that spoils 15 % of the requests."""
    need(importlib.util.find_spec("s3fs") is not None, "s3fs is not installed")
    with (contextlib.contextmanager(pretended_aws)() as server,
          proxy_of(server.removeprefix("http://")) as proxy):
        patch.setenv("AWS_ENDPOINT_URL", f"http://{proxy.address}")
        RETRIES.take()
        yield proxy


def test_the_store_of_an_s3_that_fails_throttles_and_cuts_off_is_the_same(
    corpus: list[str], expected: dict[str, bytes], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("mapreduce.prepare.PARTITION_BYTES", 30_000)
    monkeypatch.setenv("REVIEWMILL_CACHE", str(tmp_path / "cache"))
    with s3(monkeypatch) as proxy:
        for path in corpus:
            write_whole(f"s3://{BUCKET}/in/{Path(path).name}", Path(path).read_bytes())
        RETRIES.take()
        out = f"s3://{BUCKET}/out/store"
        assert reviewmill.main(["prepare", f"s3://{BUCKET}/in", "--out", out, "--runner", "local",
                                "--workers", "2", "--work-dir", f"s3://{BUCKET}/work"]) == 0
        counts = json.loads(read_whole(f"{out}/prepare.json"))["requests_made_again"]
        assert set(counts) == KINDS
        assert counts[THROTTLED] <= proxy.spoilt[THROTTLED]
        assert "requests made again: " in capsys.readouterr().out
        assert len(proxy.made) > 5 * EVERY
        # Verified, and read by a training, over the same connections.
        proxy.most = 0
        assert reviewmill.main(["inspect", out, "--verify"]) == 0
        assert proxy.most > 1
        proxy.most = 0
        store = Store(out)
        assert sum(shard.rows for shard in store.shards("train")) == store.rows("train")
        assert proxy.most > 1
        fetch_folder(out, tmp_path / "copy")
        assert bytes_of(Store(tmp_path / "copy")) == expected
        assert names_below(f"s3://{BUCKET}/work") == {}


def test_a_name_node_that_does_so_gives_the_same_store(
    corpus: list[str], expected: dict[str, bytes], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("mapreduce.prepare.PARTITION_BYTES", 30_000)
    files = {f"/in/{Path(path).name}": Path(path).read_bytes() for path in corpus}
    with web_hdfs(files) as server, proxy_of(server) as proxy:
        RETRIES.take()
        store = run([f"webhdfs://{proxy.address}/in"], tmp_path / "store", load_recipe())
        assert bytes_of(store) == expected
        summary = json.loads((tmp_path / "store" / "prepare.json").read_text())
        counts = summary["requests_made_again"]
        assert set(counts) == KINDS and counts[THROTTLED] == proxy.spoilt[THROTTLED]
