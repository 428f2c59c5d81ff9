"""The rules of words keep to Unicode."""

import re
import sys
from unicodedata import category

import regex

from reviews.text.word_rules import TABLE_SIZE, fold, pattern


def test_the_scripts_without_spaces_are_those_of_unicode() -> None:
    scripts = ("Han", "Hiragana", "Katakana", "Thai", "Lao", "Khmer", "Myanmar")
    unspaced = regex.compile("[" + "".join(rf"\p{{scx={name}}}" for name in scripts) + "]")
    letters = [chr(code) for code in range(TABLE_SIZE)
               if category(chr(code))[0] == "L" or category(chr(code)) == "Nl"]
    single = re.compile(pattern("words", unspaced_characters=True))
    found = {c for c in letters if single.findall(fold(c + c)) == [fold(c), fold(c)]}
    # A modifier letter that Thai shares with many scripts.
    assert found == {c for c in letters if unspaced.match(c)} - {"\u02bc"}


def test_nothing_above_the_table_begins_or_continues_a_word() -> None:
    above = [chr(code) for code in range(TABLE_SIZE, sys.maxunicode + 1)]
    assert not any(category(c)[0] in "LN" or c.lower() != c for c in above)
    # Supplementary variation selectors choose a glyph; they are not part of the spelling.
    marks = {ord(c) for c in above if category(c)[0] == "M"}
    assert marks == set(range(0xE0100, 0xE01F0))
