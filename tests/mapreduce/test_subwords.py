"""A tokenizer of Hugging Face makes the ids of a store, as it would by itself."""

import json
import shutil
from collections import Counter
from pathlib import Path

import h5py
import numpy as np
import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

import reviewmill
from reports.words import count_words
from reviews.encoding import encode_files
from reviews.recipe import SPLITS, Recipe
from reviews.storage.verify import verify_store
from reviews.store import Store, sha256
from tests.mapreduce.corpus import bytes_of, make_reviews, run, write_reviews

LENGTH = 8


def save_tokenizer(folder: Path, kind: str) -> Tokenizer:
    """A small tokenizer: "bert" puts [CLS] and [SEP] around texts, "bytes" nothing."""
    rows = make_reviews(400, longest=12)
    texts = [row["reviewText"] for row in rows]
    if kind == "bert":
        made = Tokenizer(models.WordPiece(unk_token="[UNK]"))
        made.normalizer = normalizers.BertNormalizer()
        made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        special = ["[UNK]", "[CLS]", "[SEP]", "[PAD]"]
        made.train_from_iterator(
            texts, trainers.WordPieceTrainer(vocab_size=60, special_tokens=special))
        made.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)])
    else:
        made = Tokenizer(models.BPE())
        made.pre_tokenizer = pre_tokenizers.ByteLevel()
        made.train_from_iterator(texts, trainers.BpeTrainer(
            vocab_size=300, special_tokens=["<|endoftext|>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    # What a file says of padding and truncation is for other programs.
    made.enable_padding(length=3, pad_id=made.token_to_id("[PAD]") or 0)
    made.enable_truncation(5)
    folder.mkdir()
    made.save(str(folder / "tokenizer.json"))
    return made


@pytest.fixture(scope="module", params=["bert", "bytes"])
def prepared(request, tmp_path_factory: pytest.TempPathFactory) -> tuple[Tokenizer, list, Store]:
    top = tmp_path_factory.mktemp(request.param)
    tokenizer = save_tokenizer(top / "folder", request.param)
    rows = make_reviews(600, seed=5, longest=12)
    # Names of special tokens are text in a review, and unknown signs stay in.
    rows[3]["reviewText"] = "good [SEP] [PAD] <|endoftext|> \u4e2d"
    path = write_reviews(top / "reviews.json", rows)
    recipe = Recipe.of(tokenizer=f"huggingface:{top / 'folder'}", length=LENGTH, keep="head",
                       html=False, dedupe="none")
    return tokenizer, rows, run([path], top / "store", recipe)


def stored(store: Store) -> Counter[tuple[int, ...]]:
    """All rows as they are stored, with their padding."""
    found: Counter[tuple[int, ...]] = Counter()
    with h5py.File(store.path / "reviews.h5", locking=False) as file:
        for split in SPLITS:
            tokens, length = file[f"{split}/tokens"][:], file[f"{split}/length"][:]
            inside = np.arange(tokens.shape[1]) < length[:, None]
            assert (tokens[~inside] == store.padding).all()
            found.update(tuple(row[:n].tolist()) for row, n in zip(tokens, length, strict=True))
    return found


def test_the_tokenizer_alone_gives_the_same_rows(prepared) -> None:
    tokenizer, rows, store = prepared
    tokenizer.no_padding()
    tokenizer.enable_truncation(LENGTH)
    tokenizer.encode_special_tokens = True
    texts = [row["reviewText"] for row in rows if row["overall"] != 3 and row["reviewText"].strip()]
    assert stored(store) == Counter(tuple(tokenizer.encode(text).ids) for text in texts)
    assert store.vocabulary_size == tokenizer.get_vocab_size()
    assert not list(verify_store(store))


def test_the_store_says_what_the_ids_are(prepared) -> None:
    tokenizer, _, store = prepared
    manifest = store.manifest
    assert store.tokenizer_file is not None
    assert manifest["files"]["tokenizer.json"]["sha256"] == sha256(store.tokenizer_file)
    assert all(tokenizer.token_to_id(name) == i for name, i in manifest["special"].items())
    lines = store.vocabulary_file.read_text().split("\n")[:-1]
    assert lines == [tokenizer.id_to_token(i) for i in range(store.vocabulary_size)]
    if "[PAD]" in manifest["special"]:
        assert (store.padding, store.unknown) == (3, 0)
        assert set(manifest["special"]) == {"[UNK]", "[CLS]", "[SEP]", "[PAD]"}
        assert not count_words(store).counts[:, [1, 2, 3]].any()
    assert count_words(store).counts.sum() > 1000


@pytest.mark.parametrize("dedupe", ["text", "reviewer-product"])
def test_any_runner_and_keep_make_the_same_store(prepared, dedupe: str, tmp_path: Path) -> None:
    _, rows, store = prepared
    paths = [write_reviews(tmp_path / f"{n}.json", rows[n::2]) for n in range(2)]
    recipe = Recipe.of(tokenizer=store.recipe.tokens.tokenizer, length=LENGTH, dedupe=dedupe,
                       min_words=2, tokens="letters")
    first = run(paths, tmp_path / "one", recipe)
    assert bytes_of(run(paths[::-1], tmp_path / "two", recipe, runner="local", workers=2)) == (
        bytes_of(first))
    # Both ends of a long review are kept, with what stands around it.
    prefix, suffix = (1, 2) if "[CLS]" in store.manifest["special"] else (None, None)
    for row in stored(first):
        assert len(row) <= LENGTH
        assert prefix is None or (row[0], row[-1]) == (prefix, suffix)


def test_other_files_are_encoded_alike_without_the_folder(prepared, tmp_path: Path) -> None:
    _, rows, store = prepared
    path = write_reviews(tmp_path / "a.json", rows)
    blocks = list(encode_files([path], store.recipe, [], tokenizer_json=store.tokenizer_file))
    found = Counter(tuple(row[:n].tolist()) for block in blocks
                    for row, n in zip(block.tokens, block.length, strict=True))
    assert found == stored(store)


def test_a_model_takes_its_tokenizer_along(tmp_path: Path) -> None:
    save_tokenizer(tmp_path / "folder", "bert")
    path = write_reviews(tmp_path / "a.json", make_reviews(300))
    out, trained = str(tmp_path / "store"), str(tmp_path / "run")
    tokenizer = f"huggingface:{tmp_path / 'folder'}"
    assert reviewmill.main(["prepare", path, "--out", out, "--tokenizer", tokenizer]) == 0
    assert reviewmill.main(["train", out, "--out", trained, "--max-steps", "1"]) == 0
    shutil.rmtree(tmp_path / "folder")
    shutil.rmtree(out)
    assert reviewmill.main(["evaluate", trained, "--input", path]) == 0


@pytest.mark.parametrize(
    ("tokenizer", "more", "message"),
    [
        ("huggingface:{tmp}/nowhere", [], "tokenizer.json: No such file or directory; name a"),
        ("huggingface:{tmp}/words", [], "tokenizer.json is no tokenizer: it has no model"),
        ("huggingface:", [], "needs a folder"),
        ("bert", [], "tokenizer is 'bert': give words or huggingface:FOLDER"),
        ("huggingface:{tmp}/bert", ["--length", "2"], "length 2 has no room beside"),
        ("huggingface:{tmp}/bert", ["--vocabulary", "{tmp}/a.json"], "are for words"),
    ],
)
def test_a_tokenizer_that_cannot_be_used_is_one_line(
    tokenizer: str, more: list[str], message: str, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "words").mkdir()
    (tmp_path / "words" / "tokenizer.json").write_text(json.dumps({"model": {}}))
    save_tokenizer(tmp_path / "bert", "bert")
    path = write_reviews(tmp_path / "a.json", make_reviews(50))
    options = [word.format(tmp=tmp_path) for word in ["--tokenizer", tokenizer, *more]]
    assert reviewmill.main(["prepare", path, "--out", str(tmp_path / "store"), *options]) == 2
    assert message in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "store").exists()
