"""CSV: what Python's csv module writes and reads, with any columns in any order."""

import csv
import io
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from reviews.corpora import plan_splits
from reviews.errors import UserError
from reviews.recipe import Recipe
from tests.reviews.corpora.reading import read_bytes, read_splits

# A NUL is nothing that the csv module of Python 3.11 takes everywhere.
FIELDS = st.text(
    st.sampled_from("ab \"\n\r,;\t'é\U0001f600")
    | st.characters(codec="utf-8", exclude_characters="\0"),
    max_size=20,
)
CSV = Recipe.of(format="csv", dedupe="reviewer-product")


def written(rows: list[list[Any]], **dialect: Any) -> bytes:
    out = io.StringIO(newline="")
    csv.writer(out, **{"lineterminator": "\n", **dialect}).writerows(rows)
    return out.getvalue().encode()


@settings(max_examples=300)
@given(
    st.lists(st.tuples(FIELDS, st.integers(1, 5), FIELDS), min_size=1, max_size=6),
    st.permutations(["text", "rating", "other"]),
    # The csv module quotes a CR only where line ends have one, but always ends a row at it.
    st.sampled_from([(csv.QUOTE_MINIMAL, "\r\n"), (csv.QUOTE_ALL, "\n"), (csv.QUOTE_ALL, "\r\n"),
                     (csv.QUOTE_NONNUMERIC, "\n")]),
    st.sampled_from(",;\t"),
    st.booleans(),
)
@example([('say "so"', 5, '"'), ("", 1, "\n"), ("\r", 2, "\r\n")], ["other", "text", "rating"],
         (csv.QUOTE_MINIMAL, "\r\n"), ",", True)  # fmt: skip
def test_the_fields_are_those_that_pythons_csv_module_reads(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[str, int, str]],
    order: list[str],
    style: tuple[Any, str],
    delimiter: str,
    bom: bool,
) -> None:
    table = [dict(zip(("text", "rating", "other"), row, strict=True)) for row in rows]
    data = written(
        [order, *([row[name] for name in order] for row in table)],
        quoting=style[0], delimiter=delimiter, lineterminator=style[1],
    )  # fmt: skip
    oracle = list(csv.DictReader(io.StringIO(data.decode(), newline=""), delimiter=delimiter))
    assert [row["text"] for row in oracle] == [row["text"] for row in table]
    data = b"\xef\xbb\xbf" * bom + data
    found = read_bytes(tmp_path_factory.getbasetemp(), data, CSV)
    assert found.texts == [row["text"] for row in oracle]
    assert found.column("rating") == [float(row["rating"]) for row in oracle]
    assert not found.bad


@pytest.mark.parametrize("stretch", [1, 7, 100])
@settings(max_examples=50)
@given(st.lists(st.tuples(FIELDS, st.integers(1, 5)), min_size=1, max_size=6), st.booleans())
def test_the_sizes_in_which_bytes_arrive_do_not_matter(
    tmp_path_factory: pytest.TempPathFactory, stretch: int, rows: list[tuple[str, int]], crlf: bool
) -> None:
    data = written([["text", "rating"], *map(list, rows)], lineterminator="\r\n" if crlf else "\n")
    pieces = [data[i : i + stretch] for i in range(0, len(data), stretch)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("reviews.corpora.stretches._STRETCH", 1)
        patch.setattr("reviews.corpora.read.read_input", lambda path: iter(pieces))
        found = read_bytes(tmp_path_factory.getbasetemp(), data, CSV)
    assert found.texts == [text for text, _ in rows]
    assert found.size == len(data)
    assert not found.bad


def test_columns_are_found_by_known_names_in_any_case(tmp_path: Path) -> None:
    data = b"Id,ProductId,UserId,Score,Time,Summary,Text\n1,B1,A1,5,1303862400,Good,It is fine\n"
    assert read_bytes(tmp_path, data, CSV).reviews == [
        {"text": "It is fine", "rating": 5.0, "label": None, "reviewer": "A1", "product": "B1",
         "time": 1303862400, "source": None}
    ]  # fmt: skip


def test_columns_can_be_named(tmp_path: Path) -> None:
    recipe = Recipe.of(text_field="what they said", label_field="mood")
    found = read_bytes(tmp_path, b' mood ,"what they said"\npositive,good\nneg,"b,ad"\n', recipe)
    assert found.texts == ["good", "b,ad"]
    assert found.column("label") == [1, 0]


def test_empty_fields_are_missing_and_rows_of_another_width_are_bad(tmp_path: Path) -> None:
    rows = ["text,rating,user", "good,5,me", "good,,me", ",5,", "good,5", "good,5,me,you", "",
            "x,4,", "good,nine,me", "good,6,me"]  # fmt: skip
    found = read_bytes(tmp_path, "\n".join(rows).encode(), Recipe.of(reviewer_field="user"))
    assert found.texts == ["good", "", "x"]
    assert found.bad == {"missing_rating": 2, "wrong_columns": 2, "rating_out_of_range": 1}
    assert [(place.line, place.reason) for place in found.places] == [
        (3, "missing_rating"), (5, "wrong_columns"), (6, "wrong_columns"),
    ]  # fmt: skip


def test_lines_are_counted_through_quoted_newlines(tmp_path: Path) -> None:
    data = b'text,rating\n"one\n\ntwo",5\n"three\n",0\nfour,\n'
    found = read_bytes(tmp_path, data)
    assert [(place.line, place.reason) for place in found.places] == [
        (5, "rating_out_of_range"), (7, "missing_rating"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "line",
    ['"open,5', '"shut" late,5', '"shut"\rlate,5', 'fine,"5', '"a "quoted" word",5', '"",",5',
     '"""open,5'],
)  # fmt: skip
def test_a_row_of_broken_quotes_costs_itself_alone(tmp_path: Path, line: str) -> None:
    data = f'text,rating\n"before",5\n{line}\n"after\nit",4\nlast,3'
    found = read_bytes(tmp_path, data.encode())
    assert found.texts == ["before", "after\nit", "last"]
    assert found.bad == {"wrong_columns": 1}
    assert found.places[0].line == 3


def test_a_quote_that_is_never_closed_costs_its_line_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reviews.corpora.csv_rows.LONGEST_FIELD", 50)
    lines = ["text,rating", '"never closed,5', *(f"text {n},4" for n in range(100))]
    found = read_bytes(tmp_path, "\n".join(lines).encode())
    assert found.texts == [f"text {n}" for n in range(100)]
    assert found.bad == {"wrong_columns": 1}


def test_quotes_inside_of_a_bare_field_are_text(tmp_path: Path) -> None:
    found = read_bytes(tmp_path, b'text,rating\nsay "so" to 5" pipes,5\n')
    assert found.texts == ['say "so" to 5" pipes']


def test_bytes_that_are_not_utf8_cost_their_row(tmp_path: Path) -> None:
    rows = [b"text,rating,x", b"good,5,", b"b\xe4d,1,", b"good,4,\xff", b"good,\xff,", b"fine,3,"]
    found = read_bytes(tmp_path, b"\n".join(rows))
    assert found.texts == ["good", "fine"]
    assert found.bad == {"invalid_utf8": 3}


def test_a_header_without_rows_holds_no_records(tmp_path: Path) -> None:
    found = read_bytes(tmp_path, b"text,rating\r\n")
    assert (found.records, found.size) == (0, 13)


def test_a_first_row_that_is_no_header_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="its first row is not a CSV header"):
        read_bytes(tmp_path, b"text\xff,rating\ngood,5\n", CSV)
    with pytest.raises(UserError, match="no text field among good, 5; name it with --text-field"):
        read_bytes(tmp_path, b"good,5\nbad,1\n", CSV)


POLARITY = """"2","Great CD","My \\nlovely ""Pat"", has"
"1","","No title"
"2","Batteries: died","twice"
"""


def test_amazon_polarity_needs_no_header(tmp_path: Path) -> None:
    found = read_bytes(tmp_path, POLARITY.encode())
    assert found.texts == ['My \nlovely "Pat", has', "No title", "twice"]
    assert found.column("label") == [1, 0, 1]
    assert not found.bad


def test_titles_are_put_before_texts_as_in_fasttexts_files(tmp_path: Path) -> None:
    found = read_bytes(tmp_path, POLARITY.encode(), Recipe.of(title_field="title"))
    assert found.texts == ['Great CD: My \nlovely "Pat", has', "No title", "Batteries: died: twice"]


def test_the_five_classes_of_amazon_full_are_ratings(tmp_path: Path) -> None:
    found = read_bytes(tmp_path, POLARITY.encode() + b'"5","x","y"\n"9","x","y"\n')
    assert found.column("rating") == [2, 1, 2, 5]
    assert found.column("label") == [None] * 4
    assert found.bad == {"rating_out_of_range": 1}


@pytest.mark.parametrize(("classes", "labels"), [("two", [1, 0, 1]), ("three", [2, 0, 2])])
def test_polaritys_classes_are_negative_and_positive_among_any(
    tmp_path: Path, classes: str, labels: list[int]
) -> None:
    found = read_bytes(tmp_path, POLARITY.encode(), Recipe.of(classes=classes))
    assert found.column("label") == labels


def test_columns_without_a_header_can_be_named(tmp_path: Path) -> None:
    recipe = Recipe.of(columns=("rating", "", "text"))
    data = b'5,2011,"good,\ntea"\n1,2012,bad\n'
    found = read_bytes(tmp_path, data, recipe)
    assert (found.texts, found.column("rating")) == (["good,\ntea", "bad"], [5, 1])
    assert found.places == []
    # A header that says the same is no review.
    found = read_bytes(tmp_path, b"rating,,text\n" + data, recipe)
    assert found.texts == ["good,\ntea", "bad"]
    with pytest.raises(UserError, match="its first row has 3 columns, but --columns names 2"):
        read_bytes(tmp_path, data, Recipe.of(columns=("rating", "text")))


def test_where_no_column_is_known_the_error_says_how_to_name_them(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"among good, 5; .* [(]or a CSV's columns with --columns"):
        read_bytes(tmp_path, b"good,5\nbad,1\n", CSV)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_the_mark_that_cuts_rows_alike(tmp_path: Path, delimiter: str) -> None:
    header = ["text", "a, b; c | d, e; f", "rating"]
    rows = [["one, two; three | four", "\t\t", "5"], ["good; bad; fine", "||||,,,,", "1"]]
    found = read_bytes(tmp_path, written([header, *rows], delimiter=delimiter))
    assert (found.texts, found.column("rating")) == ([row[0] for row in rows], [5, 1])


@pytest.mark.parametrize(("name", "mark"), [("tab", "\t"), ("\\t", "\t"), ("^", "^"), ("~", "~")])
def test_any_delimiter_can_be_named(tmp_path: Path, name: str, mark: str) -> None:
    data = written([["text", "rating"], ["a,b;c", 5], [f"say{mark}so", 4]], delimiter=mark)
    assert read_bytes(tmp_path, data, Recipe.of(delimiter=name)).texts == ["a,b;c", f"say{mark}so"]


LITERAL = Recipe.of(literal_stray_quotes=True, dedupe="reviewer-product")


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize(("opening", "closing"), [(3, 4), (3, 40), (0, 49)])
def test_stray_quotes_that_would_swallow_rows_are_text(
    tmp_path: Path, delimiter: str, opening: int, closing: int
) -> None:
    texts = [f"text {n} of it" for n in range(50)]
    texts[opening], texts[closing] = '"' + texts[opening], texts[closing] + '"'
    lines = ["id,text,rating,day", *(f"{n},{text},{n % 5 + 1},monday"
                                     for n, text in enumerate(texts))]
    data = "\n".join(lines).replace(",", delimiter).encode()
    assert read_bytes(tmp_path, data, LITERAL).texts == texts
    swallowed = read_bytes(tmp_path, data, Recipe())
    assert len(swallowed.texts) == 50 - (closing - opening)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("stretch", [1, 60, 1 << 20])
def test_stray_quotes_among_rows_that_are_quoted_rightly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str, stretch: int
) -> None:
    monkeypatch.setattr("reviews.corpora.stretches._STRETCH", stretch)
    rows = ["label,text", '"neg","two, of\nthem, here"', 'pos,"stray one', "neg,plain",
            '"pos","say ""so"""', 'neg,"stray" word', 'pos,stray two"', 'neg,"never closed']
    found = read_bytes(tmp_path, end.join(rows).encode(), LITERAL)
    assert found.texts == ["two, of\nthem, here", '"stray one', "plain", 'say "so"',
                           '"stray" word', 'stray two"', '"never closed']
    assert not found.bad


@pytest.mark.parametrize("text", [
    "Taste,5\nLook,4\nall, in all", "pros\ngood,5\nbad,1\ncons", "so,\na,5\nb,5", "5,5,\n5,5"])
@pytest.mark.parametrize("order", [["text", "rating"], ["rating", "text"]])
def test_lines_of_a_quoted_text_that_look_like_rows_are_text(
    tmp_path: Path, text: str, order: list[str]
) -> None:
    rows = [dict(zip(("text", "rating"), row, strict=True))
            for row in [("fine", 5), (text, 4), ("bad", 1)]]
    data = written([order, *([row[name] for name in order] for row in rows)])
    found = read_bytes(tmp_path, data, LITERAL)
    assert found.texts == ["fine", text, "bad"]


@settings(max_examples=200)
@given(
    st.lists(st.tuples(FIELDS, st.integers(1, 5), FIELDS), min_size=1, max_size=6),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
)
def test_what_is_quoted_rightly_is_read_alike_with_stray_quotes_as_text(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, int, str]], quoting: Any
) -> None:
    data = written([["text", "rating", "other"], *map(list, rows)], quoting=quoting)
    found = read_bytes(tmp_path_factory.getbasetemp(), data, LITERAL)
    assert found.texts == [text for text, _, _ in rows]
    assert not found.bad


def test_without_quoted_newlines_a_stray_quote_costs_its_line_alone(tmp_path: Path) -> None:
    data = b'text,rating\n"open,5\n"a ""b"", c",4\r\nshut",3\nlast,2'
    found = read_bytes(tmp_path, data, Recipe.of(quoted_newlines=False))
    assert found.texts == ['a "b", c', 'shut"', "last"]
    assert found.bad == {"wrong_columns": 1}
    assert found.size == len(data)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.text("ab \"',;", max_size=9), st.integers(1, 5)), min_size=1))
def test_without_quotes_they_are_text(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, int]]
) -> None:
    data = "review_body\tstar_rating\n" + "".join(f"{text}\t{n}\n" for text, n in rows)
    folder = tmp_path_factory.getbasetemp()
    found = read_bytes(folder, data.encode(), Recipe.of(quotes=False))
    assert found.texts == [text for text, _ in rows]
    splits = plan_splits([str(folder / "input")], Recipe.of(quotes=False), 10)
    assert len(splits) > 2
    assert read_splits(splits, Recipe.of(quotes=False)).texts == found.texts


@pytest.mark.parametrize("mark", [",", ";", "\t", "^"])
@pytest.mark.parametrize("options", [{}, {"quoted_newlines": False}])
def test_excels_first_line_names_the_delimiter(
    tmp_path: Path, mark: str, options: dict[str, Any]
) -> None:
    rows = [["text", "rating"], ["one, two", 5], ["three; four", 1]]
    data = b"sep=" + mark.encode() + b"\r\n" + written(rows, delimiter=mark, lineterminator="\r\n")
    for bom in (b"", b"\xef\xbb\xbf"):
        found = read_bytes(tmp_path, bom + data, Recipe.of(**options))
        assert (found.texts, found.records) == (["one, two", "three; four"], 2)
    splits = plan_splits([str(tmp_path / "input")], Recipe.of(**options), 10)
    assert read_splits(splits, Recipe.of(**options)).texts == ["one, two", "three; four"]
