"""Word vectors and vocabularies that a user gives."""

import gzip
from pathlib import Path

import numpy as np
import pytest

import reviewmill
from reviews.errors import UserError
from reviews.storage.verify import verify_store
from reviews.store import Store
from reviews.vectors import read_vectors
from reviews.vocabulary import given_vocabulary
from tests.mapreduce.corpus import bytes_of, make_reviews, write_reviews

WORDS = ["the", "caf\u00e9", "!", "absent", "na\u00efve"]
GLOVE = "the 1 2 3\ncaf\u00e9 -0.5 1e-3 4\n. . . 7 7 7\n! 0.25 0 0\nthe 9 9 9\nother 1 1 1\n"


def expected() -> np.ndarray:
    rows = [[0, 0, 0], [0, 0, 0], [1, 2, 3], [-0.5, 1e-3, 4], [0.25, 0, 0], [0, 0, 0], [0, 0, 0]]
    return np.array(rows, np.float32)


@pytest.mark.parametrize(
    "text", [GLOVE, "6 3\n" + GLOVE, GLOVE.replace("\n", " \n"), GLOVE.removesuffix("\n"),
             GLOVE.replace("\n", "\r\n")],
    ids=["GloVe", "fastText", "spaces at the ends", "no last newline", "CRLF"],
)  # fmt: skip
@pytest.mark.parametrize("packed", [False, True])
def test_the_vectors_of_a_vocabulary_are_found_in_both_formats(
    tmp_path: Path, text: str, packed: bool
) -> None:
    data = text.encode()
    (tmp_path / "vectors").write_bytes(gzip.compress(data) if packed else data)
    vectors = read_vectors(str(tmp_path / "vectors"), WORDS)
    np.testing.assert_array_equal(vectors, expected())
    assert vectors.dtype == np.float32


def test_a_large_file_is_read_as_numpy_reads_it(tmp_path: Path) -> None:
    table = np.random.default_rng(0).normal(size=(30_000, 20)).astype(np.float32)
    lines = [f"w{n} " + " ".join(map(repr, row.tolist())) for n, row in enumerate(table)]
    (tmp_path / "vectors").write_text("\n".join(lines) + "\n")
    assert (tmp_path / "vectors").stat().st_size > 8 << 20
    chosen = np.random.default_rng(1).permutation(30_000)[:2000]
    vectors = read_vectors(str(tmp_path / "vectors"), [f"w{n}" for n in chosen])
    np.testing.assert_array_equal(vectors[2:], table[chosen])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("the 1 2 3\ncaf\u00e9 1 2\n", "vectors:2: not a word and 3 numbers"),
        ("the 1 2 3\ncaf\u00e9 1\n", "vectors:2: not a word and 3 numbers"),
        ("2 3\nthe 1 2 3\ncaf\u00e9 1 x 2\n", "vectors:3: not a word and 3 numbers"),
        ("", "vectors: no word vectors"),
        ("the\ncup\n", "vectors: no word vectors"),
    ],
)
def test_a_line_that_is_no_vector_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "vectors").write_text(text)
    with pytest.raises(UserError, match=message):
        read_vectors(str(tmp_path / "vectors"), WORDS)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a\nb\na\n", "words:3: 'a' stands in line 1 too"),
        ("a\n\nb\n", "words:2: an empty word"),
        ("a\n b\n", "words:2: an empty word, or spaces around it"),
        ("", "words: no words"),
    ],
)
def test_a_line_that_is_no_word_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "words").write_text(text)
    with pytest.raises(UserError, match=message):
        given_vocabulary(tmp_path / "words")


def test_a_store_has_the_given_words_and_their_vectors(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_reviews(tmp_path / "a.json", make_reviews(400))
    (tmp_path / "words").write_text("tea\nzebra\ngood\n")
    (tmp_path / "vectors").write_text("good 1 2\nbad 3 4\ntea 5 6\n")
    given = ["--vocabulary", str(tmp_path / "words"), "--vectors", str(tmp_path / "vectors")]
    for runner in ("inline", "local"):
        arguments = ["prepare", path, "--out", str(tmp_path / runner), "--runner", runner]
        assert reviewmill.main([*arguments, *given]) == 0
    assert "word vectors: 2 of 3 words (66.7%), 2 numbers each" in capsys.readouterr().err
    store = Store(tmp_path / "inline")
    assert bytes_of(store) == bytes_of(Store(tmp_path / "local"))
    assert store.vocabulary_file.read_text() == "tea\nzebra\ngood\n"
    assert store.manifest["vectors"] == {"dimension": 2, "words": 2}
    np.testing.assert_array_equal(
        np.load(store.path / "vectors.npy"), [[0, 0], [0, 0], [5, 6], [0, 0], [1, 2]])
    assert not list(verify_store(store))


def test_a_vocabulary_of_another_store_gives_its_ids(tmp_path: Path) -> None:
    first = write_reviews(tmp_path / "a.json", make_reviews(400))
    second = write_reviews(tmp_path / "b.json", make_reviews(400, seed=1))
    assert reviewmill.main(["prepare", first, "--out", str(tmp_path / "one")]) == 0
    words = Store(tmp_path / "one").vocabulary_file
    arguments = ["prepare", second, "--out", str(tmp_path / "two"), "--vocabulary", str(words)]
    assert reviewmill.main(arguments) == 0
    assert Store(tmp_path / "two").vocabulary_file.read_bytes() == words.read_bytes()
    assert Store(tmp_path / "two").manifest["given_vocabulary"]


@pytest.mark.parametrize("option", ["--vocabulary", "--vectors"])
def test_a_file_that_is_not_there_is_told_before_anything_is_read(
    option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_reviews(tmp_path / "a.json", make_reviews(40))
    arguments = ["prepare", path, "--out", str(tmp_path / "store"), option, "nothing.txt"]
    assert reviewmill.main(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "nothing.txt" in line
