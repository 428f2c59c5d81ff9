"""Tags and entities leave the text as the rule says."""

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from reviews.text.html import clean_html, clean_text

PIECES = st.sampled_from(
    ["<", ">", "&", ";", "#", "x", "br", "/", "!", "--", "&amp;", "&#34;", "&#x27;", "&nGt;",
     "&CounterClockwiseContourIntegral;", "&notanentity;", "&#0;", "&#xD800;", "&#1114112;",
     "&amp", "é", "<3", "<b>", "</b>", "<br />", "a", " ", "&#12345678;"]
)


@settings(max_examples=500)
@given(st.lists(st.lists(PIECES, max_size=12).map("".join), max_size=4))
@example(["x" * 200 + "<b>" + "y" * 70, "z" * 64 + "&amp;", "&&&"])
@example(["<a href='x'>link</a>", "1 < 2 > 0", "<<b>", "<b", "&", "&#", "&#;", "&#x;", "& amp;"])
def test_the_kernel_agrees_with_the_regular_expression(texts: list[str]) -> None:
    assert clean_html(pa.array(texts, pa.string())).to_pylist() == [clean_text(t) for t in texts]


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("good<br />better", "good better"),
        ("it&#39;s &quot;fine&quot; &amp; &eacute;", "it's \"fine\" & é"),
        ("I <3 it", "I <3 it"),
        ("&amp;lt;", "&lt;"),
        ("AT&T;", "AT&T;"),
    ],
)
def test_examples(raw: str, clean: str) -> None:
    assert clean_html(pa.array([raw])).to_pylist() == [clean]


def test_untouched_blocks_are_passed_on_as_they_are() -> None:
    texts = pa.array(["plain", "text"])
    assert clean_html(texts) is texts


def test_a_slice_of_a_block_is_cleaned_by_itself() -> None:
    texts = pa.array(["<b>x</b>", "a &amp; b", "<i>z"])
    assert clean_html(texts[1:2]).to_pylist() == ["a & b"]
