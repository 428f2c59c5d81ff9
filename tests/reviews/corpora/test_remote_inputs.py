"""Every format with every codec, wherever the file lies, is read to the last byte."""

import bz2
import contextlib
import gzip
import importlib.util
import io
import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reviews.corpora import plan_splits
from reviews.corpora.inputs import read_lines_from
from reviews.recipe import Recipe
from tests.cluster.aws import BUCKET, boto, pretended_aws
from tests.faulty_proxy import proxy_of
from tests.requirements import need
from tests.reviews.corpora.reading import read_splits
from tests.reviews.corpora.test_inputs import zstd
from tests.reviews.corpora.web_hdfs import web_hdfs

TEXTS = [f"caf\u00e9 number {n}, " + "word " * (n % 7) + "end" for n in range(40)]
RATINGS = [float(n % 5 + 1) for n in range(40)]
LINES = Recipe.of(quoted_newlines=False)  # plain CSV files are cut as well
SPLIT_BYTES = (499, 1 << 20)  # cuts within records, and none
Put = Callable[[str, bytes], str]


def _json_lines() -> list[str]:
    return [json.dumps({"text": text, "rating": rating})
            for text, rating in zip(TEXTS, RATINGS, strict=True)]


def _json_array() -> list[str]:
    return ["[" + ",\n".join(_json_lines()) + "]"]


def _fasttext() -> list[str]:
    return [f"__label__{1 + (rating > 3)} {text}"
            for text, rating in zip(TEXTS, RATINGS, strict=True)]


def _csv() -> list[str]:
    return ["rating,text"] + [f'{rating},"{text}"'
                              for text, rating in zip(TEXTS, RATINGS, strict=True)]


def _tsv() -> list[str]:
    return ["rating\ttext"] + [f"{rating}\t{text}"
                               for text, rating in zip(TEXTS, RATINGS, strict=True)]


FORMATS = {"json lines": _json_lines, "json array": _json_array, "fasttext": _fasttext,
           "csv": _csv, "tsv": _tsv}
CODECS: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes, "gzip": gzip.compress, "bz2": bz2.compress, "zstd": zstd}


@pytest.fixture(scope="module", params=["local", "s3", "webhdfs"])
def put(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Put]:
    """Puts a file where one kind of address leads; gives the address."""
    if request.param == "local":
        folder: Path = tmp_path_factory.mktemp("local")

        def put_local(name: str, data: bytes) -> str:
            (folder / name).write_bytes(data)
            return str(folder / name)

        yield put_local
    elif request.param == "s3":
        with contextlib.contextmanager(pretended_aws)():

            def put_s3(name: str, data: bytes) -> str:
                boto("s3").put_object(Bucket=BUCKET, Key=f"in/{name}", Body=data)
                return f"s3://{BUCKET}/in/{name}"

            yield put_s3
    else:
        files: dict[str, bytes] = {}
        with web_hdfs(files) as server:

            def put_hdfs(name: str, data: bytes) -> str:
                files[f"/in/{name}"] = data
                return f"webhdfs://{server}/in/{name}"

            yield put_hdfs


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("format", FORMATS)
def test_all_records_come_in_order_from_splits_of_any_size(
    format: str, codec: str, put: Put
) -> None:
    for ends, end in enumerate(("\n", "\r\n")):
        for last in ("", end):
            data = (end.join(FORMATS[format]()) + last).encode()
            name = f"{format}-{codec}-{ends}-{len(last)}".replace(" ", "-")
            address = put(name, CODECS[codec](data))
            for split_bytes in SPLIT_BYTES if codec == "plain" and len(last) < 2 else (400,):
                recipe = LINES if split_bytes < 1 << 20 else Recipe()
                splits = plan_splits([address], recipe, split_bytes)
                found = read_splits(splits, recipe)
                assert found.texts == TEXTS, (name, split_bytes)
                assert not found.bad


def test_row_groups_come_in_order(put: Put) -> None:
    sink = io.BytesIO()
    pq.write_table(pa.table({"text": TEXTS, "rating": RATINGS}), sink, row_group_size=7)
    address = put("rows.parquet", sink.getvalue())
    for split_bytes in (1, 500, 1 << 20):
        assert read_splits(plan_splits([address], Recipe(), split_bytes), Recipe()).texts == TEXTS


@pytest.mark.parametrize("data", [
    b"", b"\n", b"\n\n\n", b"a", b"a\n", b"ab\ncd", b"ab\r\n\r\ncd\r\n",
    b"\nlonger than a piece\n\nx",
], ids=repr)  # fmt: skip
def test_every_line_belongs_to_one_split(data: bytes, tmp_path: Path) -> None:
    """Splits and pieces of every size: together the file, and each begins where a line does."""
    address = str(tmp_path / "lines")
    Path(address).write_bytes(data)
    for size in range(1, len(data) + 2):
        for piece_bytes in (1, 3, 100):
            parts = [b"".join(read_lines_from(address, offset, size, piece_bytes))
                     for offset in range(0, len(data), size)]
            assert b"".join(parts) == data
            for number, part in enumerate(parts):
                begun = len(b"".join(parts[:number]))
                assert not part or begun == 0 or data[begun - 1 : begun] == b"\n"
                assert not part or number * size <= begun < (number + 1) * size
    assert b"".join(read_lines_from(address, 0, -1)) == data


@pytest.mark.parametrize("given", ["folder", "files"])
def test_a_folder_of_s3_is_planned_by_its_listing_and_one_request_a_file(
    given: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    need(importlib.util.find_spec("s3fs") is not None, "s3fs is not installed")
    with (contextlib.contextmanager(pretended_aws)() as server,
          proxy_of(server.removeprefix("http://"), faults={}) as proxy):
        data = "\n".join(_json_lines()).encode()
        for number in range(40):
            body = gzip.compress(data) if number % 2 else data
            boto("s3").put_object(Bucket=BUCKET, Key=f"many/{number:02d}", Body=body)
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{proxy.address}")
        inputs = [f"s3://{BUCKET}/many"] if given == "folder" else [
            f"s3://{BUCKET}/many/{number:02d}" for number in range(40)]
        splits = plan_splits(inputs, Recipe())
        assert [split.path for split in splits] == [
            f"s3://{BUCKET}/many/{number:02d}" for number in range(40)]
        assert {split.raw_bytes for split in splits} == {len(data)}
        gets = Counter(path.partition("?")[0] for method, path in proxy.made
                       if method == "GET" and path.startswith(f"/{BUCKET}/many/"))
        assert len(gets) == 40 and set(gets.values()) == {1}
        others = len(proxy.made) - 40
        # A name that is given is asked for; what a folder holds is listed.
        assert others <= (5 if given == "folder" else 40)
        assert proxy.most > 4
