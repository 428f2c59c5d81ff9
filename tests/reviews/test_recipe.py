"""Recipes: the presets, files laid under the command line, and what a recipe refuses."""

from pathlib import Path
from typing import Any

import nltk
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import reviewmill
from reviews.errors import UserError
from reviews.options import from_mapping, leaves, replace_flat
from reviews.recipe import Recipe, load_recipe
from tests.requirements import need

NLTK_DATA = Path(__file__).parents[3] / "shared" / "nltk_data"


# No control characters and line separators: YAML that shows characters as they are folds these.
TEXTS = st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), max_size=9)


def write(folder: Path, text: str | bytes) -> str:
    path = folder / "recipe.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return str(path)


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert reviewmill.main(["prepare", "--print-recipe", *arguments]) == 0
    return capsys.readouterr().out


def look_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let NLTK look for its data in this folder alone, and forget what it has found before."""
    monkeypatch.setattr(nltk.data, "path", [str(folder)])
    monkeypatch.setattr(nltk.corpus, "stopwords", nltk.corpus.util.LazyCorpusLoader(
        "stopwords", nltk.corpus.reader.WordListCorpusReader, r"(?!README|\.).*", encoding="utf8"
    ))  # fmt: skip


@pytest.fixture
def stop_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A small list in the place of NLTK's, and where NLTK looks for it."""
    words = ["the", "and", "wouldn't"]
    folder = tmp_path / "nltk_data" / "corpora" / "stopwords"
    folder.mkdir(parents=True)
    (folder / "english").write_text("".join(word + "\n" for word in words))
    look_in(tmp_path / "nltk_data", monkeypatch)
    return words


LATER = [leaf for leaf in leaves(Recipe) if leaf.option and leaf.option.later]


def test_the_default_preset_is_the_defaults_but_for_the_keys_that_came_later() -> None:
    before = replace_flat(load_recipe(), **{leaf.name: leaf.default for leaf in LATER})
    assert load_recipe() == load_recipe("default") != Recipe() == before


@pytest.mark.parametrize("name", ["netflix", "electronics", "polarity", "rnn2019"])
def test_presets_have_what_came_later_from_the_default_one(name: str) -> None:
    assert load_recipe(name).input.literal_stray_quotes
    assert not load_recipe(name, {"literal_stray_quotes": False}).input.literal_stray_quotes


def test_a_recipe_file_without_a_later_key_does_what_it_did(tmp_path: Path) -> None:
    file = tmp_path / "old.yaml"
    file.write_text("length: 9\n")
    assert load_recipe(str(file)) == Recipe.of(length=9)
    written = yaml.safe_load(Recipe.of(length=9).to_yaml())
    assert {leaf.name for leaf in leaves(Recipe)} - set(written) == {leaf.name for leaf in LATER}
    every = yaml.safe_load(Recipe.of(length=9).to_yaml(every=True))
    assert set(every) == {leaf.name for leaf in leaves(Recipe)}


def test_the_2019_preset_is_the_2019_system() -> None:
    recipe = load_recipe("rnn2019")
    assert recipe.tokens.tokens == "letters"
    assert (recipe.encoding.vocabulary_size, recipe.encoding.length) == (10_000, 100)
    assert (recipe.labels.negative_to, recipe.labels.positive_from) == (3.0, 4.0)
    assert (recipe.selection.dedupe, recipe.selection.split) == ("text", (0.9, 0.0, 0.1))
    assert not recipe.cleaning.html


def test_the_2019_preset_leaves_out_nltks_stop_words_and_three_of_its_own(
    stop_words: list[str],
) -> None:
    resolved = load_recipe("rnn2019").resolved()
    assert resolved.tokens.stop_words == tuple(sorted([*stop_words, "get", "would", "product"]))
    assert resolved.resolved() == resolved


def test_the_real_list_of_nltk_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    need((NLTK_DATA / "corpora" / "stopwords.zip").is_file(), "needs NLTK's stop words")
    look_in(NLTK_DATA, monkeypatch)
    words = set(load_recipe("rnn2019").resolved().tokens.stop_words)
    assert {"the", "i", "wouldn't", "get", "would", "product"} <= words
    assert len(words) > 150


def test_without_nltks_list_the_error_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    look_in(tmp_path, monkeypatch)
    assert reviewmill.main(["prepare", "--print-recipe", "--recipe", "rnn2019"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err == (
        "reviewmill prepare: the recipe wants NLTK's stop words, which are not installed: "
        "run 'python -m nltk.downloader stopwords', or set NLTK_DATA\n"
    )


@pytest.mark.parametrize(
    "arguments",
    [[], ["--recipe", "rnn2019"], ["--length", "7", "--stop-words", "b,a", "--text-field", "null"],
     ["--split", "100,0,20", "--rating-field", "yes: # 1", "--no-html"]],
)  # fmt: skip
def test_a_printed_recipe_is_the_same_recipe_again(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], stop_words: list[str]
) -> None:
    first = printed(capsys, *arguments)
    assert printed(capsys, "--recipe", write(tmp_path, first)) == first


@settings(max_examples=150)
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "text_field": TEXTS, "label_field": st.none() | TEXTS,
            "stop_words": st.lists(TEXTS).map(tuple), "html": st.booleans(),
            "sample": st.floats(1e-9, 1), "max_bad_fraction": st.floats(0, 1),
            "length": st.integers(1, 65_535), "seed": st.integers(0, 2**32 - 1),
            "split": st.tuples(st.floats(0, 0.4), st.floats(1e-9, 0.3), st.floats(0, 0.3)),
            "dedupe": st.sampled_from(["none", "text", "reviewer-product"]),
        },
    )
)  # fmt: skip
def test_any_recipe_is_the_same_after_yaml(
    tmp_path_factory: pytest.TempPathFactory, changes: dict[str, Any]
) -> None:
    recipe = Recipe.of(**changes)
    assert load_recipe(write(tmp_path_factory.getbasetemp(), recipe.to_yaml())) == recipe


def test_the_command_line_lies_over_the_file_and_the_file_over_the_defaults(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path, "length: 50\nseed: 3\nstop_words: [x]\n")
    text = printed(capsys, "--recipe", file, "--seed", "4")
    assert load_recipe(write(tmp_path, text)) == Recipe.of(length=50, seed=4, stop_words=("x",))


@pytest.mark.parametrize("text", ["", "# nothing\n", "{}", "\ufefflength: 256\n"])
def test_a_file_without_changes_is_the_default(tmp_path: Path, text: str) -> None:
    assert load_recipe(write(tmp_path, text)) == Recipe()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lenght: 3", "recipe.yaml: unknown key 'lenght'; did you mean length?"),
        ("1: 2", "recipe.yaml: unknown key 1; allowed: format, "),
        ("length: long", "recipe.yaml: length is 'long', not a whole number"),
        ("sample: .nan", "recipe.yaml: sample is nan, not a number"),
        ("dedupe: texts", "recipe.yaml: dedupe is 'texts', not one of none, text"),
        ("split: 0.5", "recipe.yaml: split is 0.5, not a list"),
        ("- length", "recipe.yaml is not a mapping of keys to values"),
        ("length", "recipe.yaml is not a mapping of keys to values"),
        ("length: [", "recipe.yaml is not YAML: "),
        (b"length: \xff\n", "recipe.yaml is not YAML: "),
        ("length: !!python/object:os.system {}", "recipe.yaml is not YAML: "),
    ],
)
def test_a_mistake_in_a_recipe_file_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str | bytes, message: str
) -> None:
    assert reviewmill.main(["prepare", "--print-recipe", "--recipe", write(tmp_path, text)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


def test_a_preset_that_does_not_exist_is_compared_with_those_that_do() -> None:
    with pytest.raises(UserError, match=r"no recipe .*; did you mean rnn2019\?; presets: def"):
        load_recipe("rnn2018")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"split": (0.5, 0.5)}, "split is 0.5,0.5: give three numbers >= 0"),
        ({"split": (1.0, -0.1, 0.1)}, "give three numbers >= 0, not all 0"),
        ({"split": (0.0, 0.0, 0.0)}, "give three numbers >= 0, not all 0"),
        ({"split": (0.8, 0.2, 0.1)}, "split fractions 0.8,0.2,0.1 add up to more than 1"),
        ({"split": (100.0, 0.5, 10.0)}, "split rows 100,0.5,10 are not whole numbers"),
        ({"sample": 0.0}, "sample is 0.0: give a fraction above 0, at most 1"),
        ({"sample": 1.5}, "sample is 1.5"),
        ({"max_bad_fraction": -0.1}, "max_bad_fraction is -0.1: give 0 to 1"),
        ({"max_bad_fraction": 1.1}, "max_bad_fraction is 1.1: give 0 to 1"),
        ({"length": 0}, "length is 0: give 1 to 65535"),
        ({"length": 65_536}, "length is 65536: give 1 to 65535"),
        ({"vocabulary_size": 0}, "vocabulary_size is 0: give 1 or more"),
        ({"seed": -1}, "seed is -1: give 0 to 4294967295"),
        ({"seed": 2**32}, "seed is 4294967296: give 0 to 4294967295"),
        ({"delimiter": ",,"}, "delimiter is ',,': give one ASCII character, or tab"),
        ({"delimiter": '"'}, "give one ASCII character"),
        ({"delimiter": "\u20ac"}, "give one ASCII character"),
        ({"min_words": 0}, "min_words is 0: give 1 or more"),
        ({"min_count": 0}, "min_count is 0: give 1 or more"),
        ({"negative_to": 4.0}, "negative_to 4.0 is not below positive_from 4.0"),
    ],
)
def test_impossible_choices_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as error:
        Recipe.of(**changes)
    assert message in str(error.value)


@pytest.mark.parametrize(
    "split",
    [(0.8, 0.1, 0.1), (1.0, 0.0, 0.0), (0.1, 0.2, 0.3), (500.0, 0.0, 100.0), (0.7, 0.2, 0.1)],
)
def test_possible_splits_are_fractions_or_rows(split: tuple[float, ...]) -> None:
    assert Recipe.of(split=split).selection.split_is_rows == (max(split) > 1)


@pytest.mark.parametrize(("name", "changes", "limits"), [
    ("default", {"rating_scale": (1.0, 5.0)}, (4, 2)),
    ("default", {"rating_scale": (0.0, 10.0)}, (7.5, 2.5)),
    ("default", {"rating_scale": (0.0, 100.0), "positive_from": 60.0}, (60, 25)),
    ("netflix", {"rating_scale": (0.0, 4.0)}, (4, 3)),
    ("electronics", {}, (4, 2.5)),
])  # fmt: skip
def test_limits_are_as_far_up_a_named_scale(
    name: str, changes: dict[str, Any], limits: tuple[float, float]
) -> None:
    recipe = load_recipe(name, changes)
    assert (recipe.labels.positive_from, recipe.labels.negative_to) == pytest.approx(limits)
    assert recipe == from_mapping(Recipe, yaml.safe_load(recipe.to_yaml()), "file")


def test_a_file_names_limits_in_the_units_of_its_scale(tmp_path: Path) -> None:
    file = write(tmp_path, "rating_scale: [1, 10]\npositive_from: 8\n")
    recipe = load_recipe(file)
    assert (recipe.labels.positive_from, recipe.labels.negative_to) == (8, 3.25)
    recipe = load_recipe(file, {"rating_scale": (1.0, 100.0)})
    assert (recipe.labels.positive_from, recipe.labels.negative_to) == (78, 25.75)


@pytest.mark.parametrize(("changes", "message"), [
    ({"rating_scale": (5.0, 1.0)}, "rating_scale is 5,1: give the lowest and the highest"),
    ({"rating_scale": (1.0,)}, "rating_scale is 1: give the lowest and the highest"),
    ({"rating_scale": (0.0, 1.0), "positive_from": 4.0}, "positive_from 4 and negative_to 0.25"),
    ({"rating_scale": (0.0, 10.0), "classes": "ratings"}, "classes ratings want five steps"),
])  # fmt: skip
def test_a_scale_that_does_not_fit_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_recipe("default", changes)
