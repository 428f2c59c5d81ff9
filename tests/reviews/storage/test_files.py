"""Files that lie elsewhere: addresses that fsspec knows, read as local paths are."""

import io
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
from fsspec.registry import _registry as classes_of_fsspec

import reviewmill
from reviews.corpora import plan_splits
from reviews.errors import UserError
from reviews.recipe import Recipe, load_recipe
from reviews.storage.files import absolute, find_files, name_node_of
from reviews.store import Store
from tests.mapreduce.corpus import bytes_of, make_reviews, run, write_reviews
from tests.reviews.corpora.reading import json_lines, read, read_splits, review


@pytest.fixture
def remote() -> Iterator[fsspec.AbstractFileSystem]:
    system = fsspec.filesystem("memory")
    system.store.clear()
    yield system
    system.store.clear()


def test_a_remote_file_is_cut_and_read_as_a_local_one(
    remote: fsspec.AbstractFileSystem, tmp_path: Path
) -> None:
    data = json_lines(review(f"text {n}") for n in range(300))
    remote.pipe("/bucket/a.json", data)
    (tmp_path / "a.json").write_bytes(data)
    splits = plan_splits(["memory://bucket/a.json"], Recipe(), 1000)
    assert len(splits) > 5
    assert read_splits(splits).reviews == read(tmp_path / "a.json").reviews


def test_remote_folders_and_globs_mean_what_local_ones_do(
    remote: fsspec.AbstractFileSystem,
) -> None:
    for name in ("b/2.json", "b/1.json", "a.json", "b/.tmp", ".git/x"):
        remote.pipe(f"/bucket/{name}", b"{}")
    below = ["memory://bucket/" + name for name in ("a.json", "b/1.json", "b/2.json")]
    found = [name.replace("memory:///", "memory://") for name in find_files(["memory://bucket"])]
    assert found == below
    found = [name.replace("memory:///", "memory://") for name in find_files(["memory://bucket/b*"])]
    assert found == below[1:]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("memory://bucket/none.json", "no such file or folder"),
        ("memory://bucket/none*.json", "matches no file"),
        ("nonsense://bucket/a.json", "nothing is known that reads nonsense://"),
    ],
)
def test_a_remote_input_that_is_not_there_is_named(
    remote: fsspec.AbstractFileSystem, name: str, message: str
) -> None:
    with pytest.raises(UserError) as error:
        find_files([name])
    assert str(error.value) == f"{name}: {message}"


@pytest.mark.parametrize(("address", "extra", "package"), [
    ("s3://bucket/a.json", "aws", "s3fs"), ("s3a://bucket/a.json", "aws", "s3fs"),
    ("webhdfs://node/a.json", "hadoop", "requests"), ("hdfs://node/a.json", "hadoop", "fsspec"),
])  # fmt: skip
def test_a_package_that_is_missing_is_told_with_how_to_install_it(
    address: str, extra: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, "fsspec.implementations.webhdfs", raising=False)
    # Other tests may have imported what reads these addresses.
    for protocol in ("s3", "s3a", "webhdfs"):
        monkeypatch.delitem(classes_of_fsspec, protocol, raising=False)
    with pytest.raises(UserError, match=rf"not installed; pip install 'reviewmill\[{extra}\]'"):
        find_files([address])


class Broken(fsspec.AbstractFileSystem):
    """A file system out of order."""

    protocol = "broken"

    def info(self, path: str, **_: object) -> dict:
        kind = OSError if "short" in path else sys.modules["botocore.exceptions"].BotoCoreError
        raise kind("no credentials\n" * (1 if "short" in path else 99))


def test_what_a_file_system_complains_about_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    fsspec.register_implementation("broken", Broken, clobber=True)
    boto = types.ModuleType("botocore.exceptions")
    for name in ("BotoCoreError", "ClientError"):
        setattr(boto, name, type(name, (Exception,), {}))
    monkeypatch.setitem(sys.modules, "botocore.exceptions", boto)
    with pytest.raises(UserError) as error:
        find_files(["broken://short"])
    assert str(error.value) == "broken://short: no credentials"
    with pytest.raises(UserError) as error:
        find_files(["broken://long"])
    assert str(error.value).endswith("...") and len(str(error.value)) < 250


def test_hdfs_is_read_through_the_web_address_of_hadoops_configuration(tmp_path: Path) -> None:
    entries = "".join(
        f"<property><name>{name}</name><value>{value}</value></property>"
        for name, value in (("dfs.replication", "1"), ("dfs.namenode.http-address", "node:9870")))
    for folder in (tmp_path, tmp_path / "home" / "etc" / "hadoop"):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "hdfs-site.xml").write_text(f"<configuration>{entries}</configuration>")
    assert name_node_of({"HADOOP_CONF_DIR": str(tmp_path)}) == "node:9870"
    assert name_node_of({"HADOOP_HOME": str(tmp_path / "home")}) == "node:9870"
    assert name_node_of({"HADOOP_CONF_DIR": str(tmp_path / "nowhere")}) is None
    assert name_node_of({}) is None


def test_the_store_of_a_remote_input_is_that_of_a_local_one(
    remote: fsspec.AbstractFileSystem, tmp_path: Path
) -> None:
    path = write_reviews(tmp_path / "a.json", make_reviews(300))
    remote.pipe("/bucket/a.json", Path(path).read_bytes())
    local = run([path], tmp_path / "local")
    assert bytes_of(run(["memory://bucket/a.json"], tmp_path / "store")) == bytes_of(local)


@pytest.mark.parametrize("name", ["part[0].json", "[2018]/a.json", "a#b.json", "what?.json", "a*"])
def test_an_address_with_wildcards_is_first_tried_as_it_is(
    remote: fsspec.AbstractFileSystem, name: str
) -> None:
    remote.pipe(f"/bucket/{name}", json_lines([review("as it is")]))
    remote.pipe("/bucket/part0.json", json_lines([review("another")]))
    [path] = find_files([f"memory://bucket/{name}"])
    assert read(path).texts == ["as it is"]
    if "/" in name:
        [path] = find_files(["memory://bucket/[2018]"])
        assert path.endswith(name)


def test_an_address_is_the_same_from_every_folder() -> None:
    assert absolute("s3://bucket/a") == "s3://bucket/a"
    assert absolute("a") == str(Path.cwd() / "a")


def test_standard_input_is_an_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_reviews(tmp_path / "a.json", make_reviews(300))
    data = Path(path).read_bytes()
    for arguments in (["-"], ["--test-input", "-", "--split", "1,0,0"]):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        corpus = [] if "-" in arguments[:1] else [path]
        out = tmp_path / f"store-{len(arguments)}"
        assert reviewmill.main(["prepare", *corpus, "--out", str(out), *arguments]) == 0
    assert bytes_of(Store(tmp_path / "store-1")) == bytes_of(
        run([path], tmp_path / "again", load_recipe()))
    assert Store(tmp_path / "store-4").rows("test") > 0
    assert reviewmill.main(["prepare", "-", "-", "--out", str(tmp_path / "no")]) == 2
    assert "standard input (-) is given twice" in capsys.readouterr().err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.json", "again", "store-1", "store-4"]
