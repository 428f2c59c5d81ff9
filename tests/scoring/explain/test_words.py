"""Words are spans of the text, and effects what their absence does to the probability."""

import numpy as np

from scoring.explain.words import MOST_WORDS, effects, without_each, words_of


def test_words_are_what_stands_between_spaces() -> None:
    text = " Good,  tea\n\u00e9t\u00e9 "
    assert [text[start:end] for start, end in words_of(text)] == ["Good,", "tea", "\u00e9t\u00e9"]
    assert words_of(" ") == []


def test_only_the_first_words_of_a_long_text_are_tried() -> None:
    assert len(words_of("a " * 1000)) == MOST_WORDS


def test_each_word_is_left_out_once() -> None:
    assert without_each("a b a", words_of("a b a")) == ["a b a", " b a", "a  a", "a b "]


def test_effects_are_on_the_second_of_two_classes() -> None:
    found = effects(np.array([[0.2, 0.8], [0.5, 0.5], [0.1, 0.9]]))
    np.testing.assert_allclose(found, [0.3, -0.1])


def test_effects_are_on_the_most_probable_of_several() -> None:
    found = effects(np.array([[0.6, 0.3, 0.1], [0.1, 0.8, 0.1]]))
    np.testing.assert_allclose(found, [0.5])
