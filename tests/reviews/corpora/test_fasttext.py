"""fastText's lines: a label, and a text without quotes or escapes."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reviews.errors import UserError
from tests.reviews.corpora.reading import read_bytes

# Anything but line ends, which end a review, and white space at its ends, which is no part of it.
TEXTS = (
    st.text(st.characters(exclude_characters="\n", codec="utf-8"), max_size=30)
    .map(lambda text: text.strip(" \t\r"))
    .filter(lambda text: not text.startswith("__label__"))  # it would be a second label
)


@settings(max_examples=200)
@given(st.lists(st.tuples(st.sampled_from([1, 2]), TEXTS), min_size=1), st.sampled_from("\n\r"))
def test_label_and_text_are_what_stands_before_and_after_the_space(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[int, str]], end: str
) -> None:
    end = {"\n": "\n", "\r": "\r\n"}[end]
    data = "".join(f"__label__{label} {text}{end}" for label, text in rows).encode()
    found = read_bytes(tmp_path_factory.getbasetemp(), data)
    assert found.texts == [text for _, text in rows]
    assert found.column("label") == [label - 1 for label, _ in rows]
    assert found.column("rating") == [None] * len(rows)
    assert not found.bad


def test_labels_may_be_spelled_out_and_set_off_by_tabs(tmp_path: Path) -> None:
    data = b"__label__negative\tso so\n  __label__POS   \t good  \n__label__2\n"
    found = read_bytes(tmp_path, data)
    assert found.texts == ["so so", "good  ", ""]
    assert found.column("label") == [0, 1, 1]


def test_every_bad_line_has_its_reason(tmp_path: Path) -> None:
    lines = [
        b"__label__1 fine", b"no label", b"__label__2 \xff", b"__label__7 what", b"__label__ none",
        b"__label__2 fine", b"__label_2 nearly",
    ]  # fmt: skip
    found = read_bytes(tmp_path, b"\n".join(lines))
    assert found.texts == ["fine", "fine"]
    assert found.bad == {"missing_label": 2, "invalid_utf8": 1, "unknown_label": 2}
    assert [(place.line, place.reason) for place in found.places] == [
        (2, "missing_label"), (3, "invalid_utf8"), (4, "unknown_label"),
    ]  # fmt: skip


def test_a_review_of_several_labels_is_refused_by_its_line(tmp_path: Path) -> None:
    lines = [b"__label__1 one\n", b"\n", b"__label__1 __label__2 two\n"]
    with pytest.raises(UserError, match=r"input:3: several labels on a line"):
        read_bytes(tmp_path, b"".join(lines))
