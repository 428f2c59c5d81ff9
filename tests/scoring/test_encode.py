"""Texts become the rows that preparation makes of them, and none is left out."""

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa

from reviews.bundle import read_bundle
from reviews.recipe import Recipe
from reviews.text.word_rules import fold, pattern
from scoring.encode import TextEncoder
from tests.scoring.bundles import LENGTH, TEXTS, WORDS, make_bundle


def encoder_of(folder: Path, recipe: Recipe | None = None, words: list[str] = WORDS) -> TextEncoder:
    return TextEncoder(read_bundle(make_bundle(folder, recipe=recipe, words=words)[0]))


def ids_of(text: str, stop_words: tuple[str, ...] = ()) -> list[int]:
    """The ids of a text, from the definition of its words."""
    found = re.findall(pattern("words+marks"), fold(text))
    numbers = {word: place + 2 for place, word in enumerate(WORDS)}
    return [numbers.get(word, 1) for word in found if word not in stop_words]


def rows(encoder: TextEncoder, texts: list[str]) -> list[list[int]]:
    made = encoder.encode(pa.array(texts, pa.string()))
    return [row[:n].tolist() for row, n in zip(made.tokens, made.lengths, strict=True)]


def test_texts_become_ids_and_a_wordless_one_an_unknown_word(tmp_path: Path) -> None:
    encoder = encoder_of(tmp_path)
    wanted = []
    for text in TEXTS:
        ids = ids_of(text) or [1]
        half = LENGTH // 2
        wanted.append(ids if len(ids) <= LENGTH else ids[:half] + ids[-half:])
    assert rows(encoder, TEXTS) == wanted


def test_words_read_and_words_cut_are_counted(tmp_path: Path) -> None:
    made = encoder_of(tmp_path).encode(pa.array(TEXTS))
    words = [len(ids_of(text)) for text in TEXTS]
    assert made.n_words.tolist() == words
    assert made.n_cut.tolist() == [max(0, n - LENGTH) for n in words]
    assert 0 in words
    assert max(words) > LENGTH


def test_what_lies_behind_a_rows_end_is_padding(tmp_path: Path) -> None:
    made = encoder_of(tmp_path).encode(pa.array(TEXTS))
    outside = np.arange(LENGTH) >= made.lengths[:, None]
    assert (made.tokens[outside] == 0).all()
    assert made.tokens.dtype == np.uint16


def test_stop_words_of_the_recipe_are_left_out(tmp_path: Path) -> None:
    encoder = encoder_of(tmp_path, Recipe.of(length=LENGTH, stop_words=("the", "it's")))
    assert rows(encoder, ["it's the tea", "the"]) == [ids_of("tea"), [1]]


def test_no_text_is_dropped_for_having_too_few_words(tmp_path: Path) -> None:
    encoder = encoder_of(tmp_path, Recipe.of(length=LENGTH, min_words=5))
    assert rows(encoder, ["tea"]) == [ids_of("tea")]


def test_nothing_is_learned_of_texts(tmp_path: Path) -> None:
    encoder = encoder_of(tmp_path)
    known = len(encoder._tokenizer.table)
    texts = [f"good word{number} tea" for number in range(2000)]
    assert rows(encoder, texts) == [[2, 1, 4]] * 2000
    assert len(encoder._tokenizer.table) == known


def test_threads_share_an_encoder(tmp_path: Path) -> None:
    encoder = encoder_of(tmp_path)
    texts = [" ".join([*WORDS[: number % 5], f"new{number}", "é" * (number % 3)])
             for number in range(3000)]
    with ThreadPoolExecutor(4) as pool:
        parts = list(pool.map(lambda first: rows(encoder, texts[first : first + 100]),
                              range(0, 3000, 100)))
    assert [row for part in parts for row in part] == rows(encoder, texts)


def test_no_texts_are_no_rows(tmp_path: Path) -> None:
    assert rows(encoder_of(tmp_path), []) == []
