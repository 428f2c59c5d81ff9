"""Boundaries of the words of a text: compiled, 64 bytes at a time."""

from typing import Any

import numpy as np

from reviews.compiled.functions import inlined
from reviews.text.bits import at_least, between, count_ones, equal, trailing_zeros

Array = np.ndarray

# The rules of `reviews.text.tokenizer`.
LETTERS, WORDS, WORDS_AND_MARKS = range(3)
AT_ONCE = 12  # tokens of 64 bytes, seldom more
AS_IS = np.uint8(0)


@inlined
def _bounds(text: Array, i: Any, left: Any, case: Any, rule: Any, carried: Any) -> Any:
    """Boundaries of tokens among the 64 bytes text[i:i + 64], as bits.

    Of these bytes `left` belong to the text. carried: whether the byte before them is of a
    letter, of a word, a mark. Returns the first bytes, the bytes after the last ones, and what
    the next 64 bytes carry.
    """
    one, last = np.uint64(1), np.uint64(63)
    inside = ~np.uint64(0) if left >= 64 else (one << np.uint64(left)) - one
    was_letter, was_word, was_mark = carried
    letter = between(text, i, case, np.uint8(97), np.uint8(122))
    mark = np.uint64(0)
    if rule == LETTERS:
        word = letter = letter & inside
    else:
        letter |= at_least(text, i, np.uint8(128))
        letter |= between(text, i, AS_IS, np.uint8(48), np.uint8(57))
        letter &= inside
        # An apostrophe belongs to the word only between two word characters. The byte before
        # the 64 may be an apostrophe of a word itself; then a second one does not follow here.
        after = letter >> one
        if left > 64:
            byte = text[i + 64]
            after |= np.uint64(97 <= byte | case <= 122 or byte > 127 or 48 <= byte < 58) << last
        word = letter | equal(text, i, np.uint8(39)) & after & (letter << one | was_letter)
        if rule == WORDS_AND_MARKS:
            mark = inside & (  # ! " ( ) , . : ; ?
                between(text, i, AS_IS, np.uint8(33), np.uint8(34))
                | between(text, i, AS_IS, np.uint8(40), np.uint8(41))
                | equal(text, i, np.uint8(44)) | equal(text, i, np.uint8(46))
                | between(text, i, AS_IS, np.uint8(58), np.uint8(59))
                | equal(text, i, np.uint8(63)))
    shifted = word << one | was_word
    firsts = word & ~shifted | mark
    ends = ~word & shifted | mark << one | was_mark
    return firsts, ends, (letter >> last, word >> last, mark >> last)


@inlined
def stands(data: Array, i: Any, last: Any, rule: Any) -> Any:
    """True when the words of data[i:last] can be found in it as it is; 64 bytes may be read at
    each of its own, and some more.

    So it is with ASCII, whose words are lower-cased by one bit. Where only a-z count, other
    bytes are in nobody's way but two characters that become an i and a k.
    """
    while i < last:
        beyond = at_least(data, i, np.uint8(128))
        if last - i < 64:
            beyond &= (np.uint64(1) << np.uint64(last - i)) - np.uint64(1)
        if beyond and (rule != LETTERS or _dotted_or_kelvin(data, i)):
            return False
        i += 64
    return True


@inlined
def _dotted_or_kelvin(data: Array, i: Any) -> Any:
    """True when U+0130 or U+212A begins among 64 bytes."""
    dotted = equal(data, i, np.uint8(0xC4)) & equal(data, i + 1, np.uint8(0xB0))
    kelvin = (equal(data, i, np.uint8(0xE2)) & equal(data, i + 1, np.uint8(0x84))
              & equal(data, i + 2, np.uint8(0xAA)))
    return dotted | kelvin != 0


@inlined
def _put_places(bits: Any, base: Any, places: Array, n: Any) -> Any:
    """Write base + j for each bit j that is 1 to places[n:]; return the new end.

    A fixed count and no exit spare the processor a wrong guess; what is written too much is
    written over.
    """
    one = np.uint64(1)
    end = n + count_ones(bits)
    for k in range(AT_ONCE):
        places[n + k] = base + trailing_zeros(bits)
        bits &= bits - one
    n += AT_ONCE
    while bits:
        places[n] = base + trailing_zeros(bits)
        bits &= bits - one
        n += 1
    return end


@inlined
def find_tokens(text: Array, i: Any, size: Any, case: Any, rule: Any, places: Array) -> Any:
    """Write begin and end of the tokens of text[i:i + size] into places (2, n); their number."""
    begun: Any = 0
    ended: Any = 0
    base: Any = 0
    carried = (np.uint64(0), np.uint64(0), np.uint64(0))
    while base <= size:
        firsts, ends, carried = _bounds(text, i + base, size - base, case, rule, carried)
        begun = _put_places(firsts, i + base, places[0], begun)
        ended = _put_places(ends, i + base, places[1], ended)
        base += 64
    return ended
