"""JSON lines: the same values as Python's json module finds, from any fields."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from reviews.corpora.columns import CODE, Column
from reviews.corpora.json.lines import take_fields
from reviews.corpora.json.values import ABSENT, FALSE, NULL, NUMBER, OTHER, STRING, TRUE
from reviews.corpora.stretches import find_lines
from reviews.recipe import Recipe
from tests.reviews.corpora.reading import json_lines, mcauley, read_bytes, review

# Characters that are written in some way of their own, and one of each length in UTF-8.
CHARACTERS = st.sampled_from(
    'ab"\\/\b\f\n\r\t\x00\x1f\x7fé\u07ff\u0800\u2028\ufffd\U0001f600{}[]:,'
)
TEXTS = st.text(CHARACTERS, max_size=50) | st.text(max_size=20)
NUMBERS = (
    st.integers(-(2**63), 2**64 - 1)
    | st.integers(-100, 100)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.decimals(-1000, 1000, places=2).map(float)
)
SCALARS = st.none() | st.booleans() | NUMBERS | TEXTS
NAMES = st.sampled_from(["a", "b", "ab", "ä", 'q"', ""]) | TEXTS
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)
FIELDS = ["a", "ab", "ä"]


def take(lines: bytes, fields: list[str] = FIELDS) -> tuple[list[Column], list[int]]:
    starts, ends, used = find_lines(lines, True)
    assert used == len(lines)
    columns, reasons = take_fields(lines, starts, ends, fields)
    return columns, reasons.tolist()


def expected(row: dict[str, Any], name: str) -> tuple[int, Any, str]:
    """(kind, number or nan, string) of a field, as Python's json module sees it."""
    if name not in row:
        return ABSENT, math.nan, ""
    value = row[name]
    if value is None or isinstance(value, bool):
        return {None: NULL, False: FALSE, True: TRUE}[value], math.nan, ""
    if isinstance(value, str):
        return STRING, math.nan, value
    if isinstance(value, int):
        return NUMBER, float(value), str(value)
    return (NUMBER, value, "") if isinstance(value, float) else (OTHER, math.nan, "")


def assert_same(columns: list[Column], rows: list[dict[str, Any]]) -> None:
    for name, column in zip(FIELDS, columns, strict=True):
        kinds, numbers, strings = zip(*(expected(row, name) for row in rows), strict=True)
        assert column.kinds.tolist() == list(kinds)
        assert column.strings.to_pylist() == list(strings)
        found = np.where(column.kinds == NUMBER, column.numbers, math.nan)
        np.testing.assert_array_equal(found, np.array(numbers))
        # Minus zero is zero with a sign.
        signs = column.kinds == NUMBER
        assert (np.signbit(found) == np.signbit(numbers))[signs].all()


@settings(max_examples=400)
@given(
    st.lists(st.dictionaries(NAMES, VALUES, max_size=6), min_size=1, max_size=5),
    st.booleans(),
    st.sampled_from([(",", ":"), (", ", ": "), (" ,\t", "\t: ")]),
)
@example([{"a": -0.0, "ab": 0, "ä": -1.5}], True, (",", ":"))
@example([{"a": "x" * 31 + '"', "ab": "x" * 32 + "\\", "ä": "y" * 100 + "é"}], False, (",", ":"))
@example([{"a": 10**22, "ab": 2**53 + 1, "ä": 0.1 + 0.2}], False, (",", ":"))
@example([{"z": [[[[{}]]], [[], {}]], "a": {"a": "inner"}, "ab": []}], False, (",", ":"))
def test_every_value_is_what_pythons_json_module_reads(
    rows: list[dict[str, Any]], ascii: bool, separators: tuple[str, str]
) -> None:
    columns, reasons = take(json_lines(rows, ensure_ascii=ascii, separators=separators))
    assert not any(reasons)
    # A whole number beyond 64 bits is a float for us.
    for row in rows:
        row.update({n: float(v) for n, v in row.items() if type(v) is int and abs(v) >= 2**64})
    assert_same(columns, rows)


NUMERALS = st.from_regex(
    r"-?(0|[1-9][0-9]{0,24})(\.[0-9]{1,24})?([eE][+-]?[0-9]{1,3})?", fullmatch=True
)


@settings(max_examples=400)
@given(st.lists(NUMERALS, min_size=1, max_size=4))
@example(["0.1", "-0", "-0.0", "1e5"])
@example(["123456789012345", "1234567890123456", "0.000000000000001", "99999999999999.9"])
@example(["5" * 99, "5" * 101, "1e99", "1E-300"])
def test_any_spelling_of_a_number_is_the_nearest_double(numerals: list[str]) -> None:
    finite = [n for n in numerals if math.isfinite(float(n))]
    if not finite:
        return
    columns, reasons = take("".join(f'{{"a":{n}}}\n' for n in finite).encode())
    assert not any(reasons)
    assert columns[0].numbers.tolist() == [float(n) for n in finite]


@pytest.mark.parametrize(
    "line",
    [
        '{"a": "escaped: \\u0041\\u00e9\\u20ac\\ud83d\\ude00\\/\\b\\f\\n\\r\\t\\"\\\\"}',
        '{"\\u0061": "an escaped name"}',
        '{"a": 1, "a": "the last one counts"}',
        '{"x": 1, "x": 2, "a": "fine"}',
        '  {"a": "white space around"}  \t',
        '{"a":"no white space","ab":[1,{"a":"inner"}],"\u00e4":{"ab":null}}',
        "{}",
        '{"a": -0, "ab": -0.0, "ä": 0}',
        '{"a": ' + "[" * 200 + "]" * 200 + "}",
        '{"x": ' + '{"a":' * 80 + "1" + "}" * 80 + ', "a": "beyond the nesting"}',
    ],
)
def test_unusual_objects_are_read_as_pythons_json_module_reads_them(line: str) -> None:
    columns, reasons = take(line.encode())
    assert reasons == [0]
    assert_same(columns, [json.loads(line)])


@pytest.mark.parametrize(
    "line",
    [
        b'{"a": 1', b'{"a": }', b'{"a" 1}', b'{"a": 1,}', b'{,"a": 1}', b'{"a": 1 "b": 2}',
        b"{a: 1}", b"{'a': 1}", b'{"a": 01}', b'{"a": 1.}', b'{"a": .5}', b'{"a": +1}',
        b'{"a": 1e}', b'{"a": -}', b'{"a": nul}', b'{"a": nullx}', b'{"a": True}', b'{"a": "x}',
        b'{"a": "\\x"}', b'{"a": "\\u12"}', b'{"a": "tab\there"}', b'{"a": 1} x',
        b'{"a": 1}{"b": 2}', b'{"a": [1, ]}', b'{"a": [1}', b'{"a": {"b"}}', b'{"a": [}',
        b'{"a": [', b'{"a": {', b'{"a": {"b":', b'{"a": [1,', b"{", b'{"', b'{"a":', b"x",
        b'{"a": 1}\x00', b'{"a": [1 2]}', b'{"a": {"b": 1 2}}', b'{"a": {1: 2}}', b'{"z": "\\',
        b'{"z": "\\u00', b'{"z": "\\ud83d\\u0041"}',
    ],
)  # fmt: skip
def test_what_pythons_json_module_refuses_is_invalid_json(line: bytes) -> None:
    if b"ud83d" not in line:  # half a surrogate pair is refused by us alone
        with pytest.raises(json.JSONDecodeError):
            json.loads(line)
    good = b'{"a": 1}\n'
    columns, reasons = take(good + line + b"\n" + good)
    assert reasons == [0, CODE["invalid_json"], 0]
    assert columns[0].kinds.tolist() == [NUMBER, ABSENT, NUMBER]


@pytest.mark.parametrize(
    "value",
    ["NaN", "Infinity", "-Infinity", '"\\ud800"', '"\\udc00 x"', '"\\udc00\\udc00"',
     '"\\ud800\\ud800"'],
)  # fmt: skip
def test_what_is_no_json_though_python_reads_it_is_invalid(value: str) -> None:
    json.loads(value)
    assert take(f'{{"a": {value}}}'.encode())[1] == [CODE["invalid_json"]]


@pytest.mark.parametrize("line", [b"[]", b"1", b"null", b'"text"', b'[{"a": 1}]'])
def test_a_line_that_holds_no_object_is_said_to_be_so(line: bytes) -> None:
    assert take(line)[1] == [CODE["not_an_object"]]


@pytest.mark.parametrize(
    "text",
    [b"\xff", b"\xc3", b"\xc3(", b"\xc0\xaf", b"\xe0\x80\xaf", b"\xed\xa0\x80", b"\xf0\x80\x80\xaf",
     b"\xf4\x90\x80\x80", b"\x80", b"\xe2\x82", b"\xf5\x80\x80\x80"],
)  # fmt: skip
def test_bytes_that_are_not_utf8_are_a_reason_of_their_own(text: bytes) -> None:
    with pytest.raises(UnicodeDecodeError):
        text.decode()
    for line in (b'{"a": "%s"}' % text, b'{"z": "%s"}' % text, b'{"%s": 1}' % text):
        assert take(line)[1] == [CODE["invalid_utf8"]]


@settings(max_examples=200)
@given(st.lists(st.binary(max_size=12).map(lambda b: b.replace(b"\n", b" ")), max_size=6))
def test_a_record_does_not_depend_on_its_neighbours(lines: list[bytes]) -> None:
    lines = [b'{"a": "%s"}' % line for line in lines]
    columns, reasons = take(b"\n".join(lines))
    alone = [take(line) for line in lines]
    assert reasons == [other for _, others in alone for other in others]
    assert columns[0].strings.to_pylist() == [c[0].strings[0].as_py() for c, _ in alone]


def test_mcauleys_records_are_read_without_naming_a_field(tmp_path: Path) -> None:
    rows = [mcauley(number) for number in range(20)]
    found = read_bytes(tmp_path, json_lines(rows))
    assert found.reviews == [
        {"text": row["reviewText"], "rating": row["overall"], "label": None,
         "reviewer": row["reviewerID"], "product": row["asin"], "time": row["unixReviewTime"],
         "source": None}
        for row in rows
    ]  # fmt: skip


def test_the_records_of_2018_have_more_fields_and_may_lack_a_text(tmp_path: Path) -> None:
    rows = [
        mcauley(n, verified=True, style={"Size:": " Big", "Color:": " {red}"}, image=["x"])
        for n in range(5)
    ]
    del rows[3]["reviewText"]
    found = read_bytes(tmp_path, json_lines(rows))
    assert found.texts == [rows[n]["reviewText"] for n in (0, 1, 2, 4)]
    assert found.bad == {"missing_text": 1}
    assert [place.line for place in found.places] == [4]


def test_any_field_can_be_named(tmp_path: Path) -> None:
    rows = [{"Wörter": "good", 'no "te"': 4, "who": "me", "what": 17, "when": "2019-05-13"}]
    recipe = Recipe.of(
        text_field="Wörter", rating_field='no "te"', reviewer_field="who", product_field="what",
        time_field="when", dedupe="reviewer-product",
    )  # fmt: skip
    assert read_bytes(tmp_path, json_lines(rows), recipe).reviews == [
        {"text": "good", "rating": 4.0, "label": None, "reviewer": "me", "product": "17",
         "time": 1557705600, "source": None}
    ]  # fmt: skip


def test_one_field_can_stand_for_two_parts(tmp_path: Path) -> None:
    recipe = Recipe.of(rating_field="stars", label_field="stars")
    found = read_bytes(tmp_path, json_lines([{"text": "good", "stars": 1}]), recipe)
    assert (found.column("rating"), found.column("label")) == ([1.0], [1])


@pytest.mark.parametrize("end", ["\n", "\r\n", "\n\n", "\n \t\r\n"])
def test_line_ends_and_blank_lines_do_not_matter(tmp_path: Path, end: str) -> None:
    lines = [json.dumps(review(f"text {n}")) for n in range(3)]
    for data in (end.join(lines), end + end.join(lines) + end):
        found = read_bytes(tmp_path, data.encode())
        assert found.texts == ["text 0", "text 1", "text 2"]
        assert found.size == len(data)


def test_a_byte_order_mark_is_no_part_of_the_first_record(tmp_path: Path) -> None:
    found = read_bytes(tmp_path, b"\xef\xbb\xbf" + json_lines([review("first"), review("second")]))
    assert found.texts == ["first", "second"]
    assert not found.bad


def test_parts_that_the_recipe_does_not_look_at_are_left_out(tmp_path: Path) -> None:
    data = json_lines([mcauley(1)])
    absent = {"reviewer": None, "product": None, "time": None}
    whole = read_bytes(tmp_path, data).reviews[0]
    parts = {name: whole[name] for name in absent}
    assert None not in parts.values()
    for recipe, read in [
        (Recipe(), absent),
        (Recipe.of(split_by="time"), {**absent, "time": parts["time"]}),
        (Recipe.of(split_by="product"), {**parts, "reviewer": None}),
        (Recipe.of(split_by="reviewer"), {**parts, "product": None}),
    ]:
        found = read_bytes(tmp_path, data, recipe).reviews[0]
        assert found == {**whole, **read}


@pytest.mark.parametrize("longest", [1 << 20, 9 << 20])
def test_fields_are_found_behind_a_record_longer_than_what_is_looked_at(
    tmp_path: Path, longest: int
) -> None:
    rows = [{"stars": 1, "body": "long " * (longest // 5 + 1)}, {"stars": 5, "body": "short"}]
    found = read_bytes(tmp_path, json_lines(rows))
    assert [len(text) for text in found.texts] == [len(rows[0]["body"]), 5]
