"""A store may lie on another file system: it is made there, refused and replaced as here."""

from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

import reviewmill
from reviews.errors import UserError
from reviews.recipe import Recipe
from reviews.storage.folders import delete, names_below, read_whole, write_whole
from reviews.store import Store
from tests.mapreduce.corpus import bytes_of, make_reviews, run, write_reviews

OUT = "memory://bucket/stores/one"


@pytest.fixture
def remote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[fsspec.AbstractFileSystem]:
    monkeypatch.setenv("REVIEWMILL_CACHE", str(tmp_path / "cache"))
    system = fsspec.filesystem("memory")
    system.store.clear()
    yield system
    system.store.clear()


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_reviews(tmp_path_factory.mktemp("corpus") / "reviews.json", make_reviews(2000))


def remote_bytes(out: str) -> dict[str, bytes]:
    return {name: read_whole(f"{out}/{name}") for name in sorted(names_below(out))
            if name != "prepare.json"}


def test_a_store_at_an_address_has_the_bytes_of_a_local_one(
    remote: fsspec.AbstractFileSystem, corpus: str, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr("mapreduce.prepare.PARTITION_BYTES", 60_000)
    local = bytes_of(run([corpus], tmp_path / "store"))
    run([corpus], OUT)
    assert len(local) > 6
    assert remote_bytes(OUT) == local
    assert set(names_below("memory://bucket")) == {
        f"stores/one/{name}" for name in (*local, "prepare.json")}


def test_the_work_folder_may_lie_elsewhere_and_is_left_empty(
    remote: fsspec.AbstractFileSystem, corpus: str, tmp_path: Path
) -> None:
    local = bytes_of(run([corpus], tmp_path / "store"))
    (tmp_path / "scratch").mkdir()
    for number, work in enumerate((str(tmp_path / "scratch"), "memory://bucket/scratch")):
        store = run([corpus], tmp_path / f"other-{number}", work_dir=work)
        assert bytes_of(store) == local
    assert not list((tmp_path / "scratch").iterdir())
    assert not names_below("memory://bucket")


def test_what_lies_at_the_address_is_replaced_only_when_told_to(
    remote: fsspec.AbstractFileSystem, corpus: str
) -> None:
    run([corpus], OUT)
    with pytest.raises(UserError, match="exists and is not empty"):
        run([corpus], OUT)
    before = remote_bytes(OUT)
    write_whole(f"{OUT}/shards/part-77777.h5", b"of a run that was killed")
    run([corpus], OUT, Recipe.of(length=3), overwrite=True)
    assert set(remote_bytes(OUT)) == set(before)
    assert Store(OUT).length == 3
    write_whole("memory://bucket/mine/thesis.txt", b"text")
    with pytest.raises(UserError, match="is not a store, so --overwrite does not delete it"):
        run([corpus], "memory://bucket/mine", overwrite=True)


def test_a_run_that_fails_leaves_the_old_store_and_no_work(
    remote: fsspec.AbstractFileSystem, corpus: str, tmp_path: Path
) -> None:
    run([corpus], OUT)
    before = remote_bytes(OUT)
    (tmp_path / "broken.json").write_text("{\n" * 9)
    with pytest.raises(UserError, match="cannot be read"):
        run([str(tmp_path / "broken.json")], OUT, overwrite=True)
    assert remote_bytes(OUT) == before


def test_a_store_without_its_manifest_is_none(
    remote: fsspec.AbstractFileSystem, corpus: str
) -> None:
    run([corpus], OUT)
    delete(f"{OUT}/manifest.json")
    with pytest.raises(UserError, match=r"is not a store: it has no manifest\.json"):
        Store(OUT)
    run([corpus], OUT, overwrite=True)
    assert Store(OUT).rows("train") > 0


def test_a_stopped_put_leaves_no_store(
    remote: fsspec.AbstractFileSystem, corpus: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped after each of its files, a store is none until the last."""
    names: list[str] = []
    original = type(remote).put_file

    def stopping(system, local: str, path: str, **options) -> None:  # type: ignore[no-untyped-def]
        if len(names) == allowed:
            raise OSError("the network is gone")
        names.append(path)
        original(system, local, path, **options)

    monkeypatch.setattr(type(remote), "put_file", stopping)
    for allowed in range(4):
        names.clear()
        with pytest.raises(UserError, match="the network is gone"):
            run([corpus], OUT, overwrite=True)
        assert len(names) == allowed
        with pytest.raises(UserError, match=r"has no manifest\.json"):
            Store(OUT)
    allowed = 5  # prepare.json comes after the manifest
    names.clear()
    run([corpus], OUT, overwrite=True)
    assert names[-2:] == [f"{OUT}/manifest.json", f"{OUT}/prepare.json"]


def test_a_store_elsewhere_is_fetched_once_and_checked(
    remote: fsspec.AbstractFileSystem, corpus: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run([corpus], OUT)
    store = Store(OUT)
    [shard] = store.shards("train")
    assert shard.path.read_bytes() == read_whole(f"{OUT}/shards/part-00000.h5")
    assert store.vocabulary_file.read_bytes() == read_whole(f"{OUT}/vocabulary.txt")
    delete(f"{OUT}/shards/part-00000.h5")
    assert Store(OUT).shards("train")[0].path.is_file()
    write_whole(f"{OUT}/reviews.h5", b"something else")
    with pytest.raises(UserError, match=r"reviews\.h5 is damaged"):
        store.file("reviews.h5")
    assert reviewmill.main(["inspect", OUT]) == 0
    assert reviewmill.main(["inspect", OUT, "--verify"]) == 2
    said = capsys.readouterr().err
    assert "part-00000.h5 is missing" in said and "reviews.h5 is damaged" in said
