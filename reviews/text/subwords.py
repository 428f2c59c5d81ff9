"""A tokenizer of Hugging Face (tokenizer.json) in the place of words (extra `transformers`).

Its ids are the ids of the store, and its tokens take the part of words wherever these are
compared: two reviews of equal tokens are equal.
"""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from reviews.compiled.functions import kernel
from reviews.errors import UserError
from reviews.recipe import HUGGING_FACE, Tokenization
from reviews.text.strings import BASIS_A, BASIS_B, PRIME_A, PRIME_B, mix
from reviews.text.tokenizer import Tokenizer, Tokens
from reviews.vocabulary import Coding

Array = np.ndarray
FILE = "tokenizer.json"
# Names that tokenizers give to what fills rows up, and to what they do not know.
_PADDING = ("[PAD]", "<pad>", "<|endoftext|>", "</s>")
_UNKNOWN = ("[UNK]", "<unk>", "[MASK]", "<mask>")
_PROBE = "good"  # any text, to see what is put around it


def tokenizer_file(rules: Tokenization) -> Path | None:
    """The tokenizer.json that the rules name; None where its tokens are words."""
    folder = rules.tokenizer.removeprefix(HUGGING_FACE)
    return None if folder == rules.tokenizer else Path(folder, FILE)


def tokenizer_for(rules: Tokenization, file: Path | None = None) -> "Tokenizer | Subwords":
    """The tokenizer of the rules; `file` stands for the one in its folder, if that is elsewhere."""
    file = file or tokenizer_file(rules)
    return Subwords(file) if file else Tokenizer(rules)


class Vocabulary:
    """The tokens of a tokenizer by id, as a table of words that never changes."""

    def __init__(self, tokens: list[str]) -> None:
        self._tokens = pa.array(tokens, pa.string())

    def __len__(self) -> int:
        return len(self._tokens)

    def words(self) -> pa.Array:
        """The tokens, by id."""
        return self._tokens


class Subwords:
    """Takes the place of a `Tokenizer` of words."""

    def __init__(self, file: Path) -> None:
        # The runner says how many cores are used.
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        try:
            from tokenizers import Tokenizer as HuggingFace
        except ImportError:
            raise UserError(
                f"{file} needs tokenizers: pip install 'reviewmill[transformers]'"
            ) from None
        self._inner: Any = HuggingFace.from_str(_read(file))
        filled = (self._inner.padding or {}).get("pad_id")
        self._inner.no_padding()
        self._inner.no_truncation()
        probe = self._inner.encode(_PROBE)
        # What a review says is text, even where it is the name of a special token.
        self._inner.encode_special_tokens = True
        # Ids that nobody uses have names all the same.
        tokens = [self._inner.id_to_token(i) or f"<{i}>"
                  for i in range(max(self._inner.get_vocab().values()) + 1)]
        self.table = Vocabulary(tokens)
        text = np.flatnonzero(np.asarray(probe.special_tokens_mask) == 0)
        padding = self._first(_PADDING, 0) if filled is None else filled
        self.coding = Coding(
            self.table.words(), 0, padding, self._first(_UNKNOWN, padding),
            tuple(probe.ids[: text[0]]), tuple(probe.ids[text[-1] + 1 :]))
        self.special = {tokens[i]: i for i in sorted(
            {*self.coding.prefix, *self.coding.suffix, padding, self.coding.unknown})}

    def _first(self, names: tuple[str, ...], otherwise: int) -> int:
        known = (self._inner.token_to_id(name) for name in names)
        return next((number for number in known if number is not None), otherwise)

    def restart(self) -> None:
        """Nothing is learned, so nothing has to be forgotten."""

    def marks(self) -> Array:
        """No token counts as a mark alone."""
        return np.zeros(0, np.int64)

    def tokenize(self, texts: pa.Array) -> Tokens:
        """Ids and identities of the texts, without special tokens."""
        ids, ends = self.find(texts)
        identity = np.empty((len(ends), 2), np.uint64)
        _hash_rows(ids, ends, identity)
        return Tokens(ids, ends, identity)

    def find(self, texts: pa.Array) -> tuple[Array, Array]:
        """The same ids and their ends, as in Tokens."""
        found = self._inner.encode_batch_fast(texts.to_pylist(), add_special_tokens=False)
        rows = [one.ids for one in found]
        ends = np.cumsum([len(row) for row in rows], dtype=np.int64)
        ids = np.fromiter((i for row in rows for i in row), np.int32, int(ends[-1]) if rows else 0)
        return ids, ends


def _read(file: Path) -> str:
    """The text of a tokenizer.json."""
    try:
        text = file.read_text("utf-8")
    except OSError as error:
        raise UserError(f"{file}: {error.strerror}; name a folder that holds a {FILE}") from None
    except UnicodeDecodeError:
        raise UserError(f"{file} is no tokenizer: not UTF-8") from None
    try:
        known = json.loads(text)["model"]["vocab"]
    except (ValueError, KeyError, TypeError):
        known = None
    if not known:
        raise UserError(f"{file} is no tokenizer: it has no model with a vocabulary")
    return text


@kernel()
def _hash_rows(ids: Array, ends: Array, hashes: Array) -> None:
    """Two independent hashes of each row of ids."""
    begin = 0
    for row in range(ends.size):
        a, b = BASIS_A ^ np.uint64(ends[row] - begin), BASIS_B
        for k in range(begin, ends[row]):
            a = mix((a ^ np.uint64(ids[k])) * PRIME_A)
            b = mix(b + (np.uint64(ids[k]) + np.uint64(1)) * PRIME_B)
        hashes[row, 0] = a
        hashes[row, 1] = b
        begin = ends[row]
