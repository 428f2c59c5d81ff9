"""Baselines: what they learn from, and what they say of the test reviews."""

import importlib.util
import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from sklearn.metrics import root_mean_squared_error

import reviewmill
from compare import fasttext_model, raw_texts, vader
from compare.baselines import Source, predict, predict_ratings, train, train_ratings
from compare.learners import MOST_FEATURES, OF_FEATURES, Learner, mutual_information
from compare.ratings import RATED
from compare.rows import column, texts, write_rows
from reviews.errors import UserError
from reviews.metrics import probabilities
from reviews.store import Store
from tests.requirements import need
from tests.stores import make_store

DETERMINISTIC = ["tfidf-logistic", "tfidf-svm", "xgboost"]


def make(folder: Path, classes: int) -> Store:
    names = ["low", "middle", "high"] if classes == 3 else []
    return make_store(folder, {"train": 600, "test": 200}, length=20, vocabulary=30,
                      classes=names)


def fit(
    name: str, store: Store, folder: Path, rows: Path | None = None, texts: Path | None = None
) -> np.ndarray:
    if name.startswith("fasttext"):
        need(importlib.util.find_spec("fasttext") is not None, "fasttext (extra bench)")
    source = Source(store, texts)
    train(name, source, folder / "model", 0, rows)
    return predict(name, source, folder / "model")


@pytest.mark.parametrize("classes", [2, 3])
def test_the_majority_is_said_of_all(tmp_path: Path, classes: int) -> None:
    store = make(tmp_path / "store", classes)
    logits = fit("majority", store, tmp_path)
    commonest = np.bincount(column(store, "train", "label")).argmax()
    said = logits >= 0 if classes == 2 else logits.argmax(1)
    assert logits.shape == ((200,) if classes == 2 else (200, 3))
    assert set(said.astype(int).tolist()) == {commonest}


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("name", [*DETERMINISTIC, "random-forest"])
def test_learners_learn(tmp_path: Path, name: str, classes: int) -> None:
    store = make(tmp_path / "store", classes)
    logits = fit(name, store, tmp_path)
    labels = column(store, "test", "label")
    said = logits >= 0 if classes == 2 else logits.argmax(1)
    assert logits.shape == ((200,) if classes == 2 else (200, 3))
    assert np.mean(said == labels) > np.bincount(labels).max() / 200 + 0.05
    if name in DETERMINISTIC:
        assert np.array_equal(fit(name, store, tmp_path), logits)


@pytest.mark.parametrize("name", ["random-forest", "xgboost"])
def test_trees_read_a_stores_features_beside_its_tokens(tmp_path: Path, name: str) -> None:
    accuracies = []
    for features in ((), ("hint", "noise")):
        store = make_store(tmp_path / f"store{len(features)}", {"train": 600, "test": 300},
                           length=4, vocabulary=60, features=features)
        said = fit(name, store, tmp_path) >= 0
        accuracies.append(np.mean(said == column(store, "test", "label")))
    assert accuracies[1] > accuracies[0] + 0.05


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("name", OF_FEATURES)
def test_learners_of_features_read_no_token(tmp_path: Path, name: str, classes: int) -> None:
    draw = np.random.default_rng(0)
    labels = draw.integers(0, classes, 600)
    features = draw.normal(size=(600, 3)).astype(np.float32)
    features[:, 1] += 3 * labels
    fitted = Learner(name, 0).fit([""] * 400, features[:400], labels[:400])
    logits = fitted.logits(["nonsense"] * 200, features[400:])
    said = logits >= 0 if classes == 2 else logits.argmax(1)
    assert logits.shape == ((200,) if classes == 2 else (200, 3))
    assert np.mean(said == labels[400:]) > 0.8
    assert np.array_equal(fitted.logits(["other"] * 200, features[400:]), logits)


def test_of_many_features_the_best_by_mutual_information_are_read() -> None:
    draw = np.random.default_rng(0)
    labels = draw.integers(0, 2, 300)
    features = draw.normal(size=(300, MOST_FEATURES + 20))
    features[:, 7] += 3 * labels
    features[:, 45] = labels + 0.2 * features[:, 45]
    information = mutual_information(features, labels)
    assert set(np.argsort(information)[-2:]) == {7, 45}
    assert information[45] > 0.5  # nats; the label itself has 0.69
    last = int(np.argsort(information)[0])
    fitted = Learner("features-logistic", 0).fit([""] * 300, features, labels)
    before = fitted.logits([""] * 300, features)
    changed = features.copy()
    changed[:, last] += 100  # nobody reads it
    assert np.array_equal(fitted.logits([""] * 300, changed), before)
    changed[:, 45] += 1
    assert not np.array_equal(fitted.logits([""] * 300, changed), before)


def test_the_majority_predicts_the_mean_rating_and_trees_come_nearer(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store", {"train": 600, "test": 300}, length=4, vocabulary=60,
                       features=("hint", "noise"))
    ratings, errors = column(store, "test", "rating"), {}
    assert {"majority", "features-xgboost"} < set(RATED)
    for name in ("majority", "features-xgboost"):
        train_ratings(name, Source(store), tmp_path / "ratings", 0, None)
        predicted = predict_ratings(name, Source(store), tmp_path / "ratings")
        errors[name] = root_mean_squared_error(ratings, predicted)
        assert predicted.shape == (300,)
    mean = column(store, "train", "rating").mean()
    assert errors["majority"] == pytest.approx(np.sqrt(np.square(ratings - mean).mean()))
    assert errors["features-xgboost"] < 0.95 * errors["majority"]


@pytest.mark.parametrize("case", ["a system of classes alone", "a row without a rating"])
def test_ratings_are_not_learned_where_there_are_none(tmp_path: Path, case: str) -> None:
    store = make(tmp_path / "store", 2)
    name = "tfidf-svm" if case.startswith("a system") else "majority"
    if name == "majority":
        with h5py.File(store.shards("train")[-1].path, "r+", locking=False) as file:
            file["train/rating"][-1] = np.nan
    train_ratings(name, Source(store), tmp_path / "ratings", 0, None)
    assert not (tmp_path / "ratings").exists()


@pytest.mark.parametrize("classes", [2, 3])
def test_fasttext_gives_a_logit_for_each_review(tmp_path: Path, classes: int) -> None:
    store = make(tmp_path / "store", classes)
    logits = fit("fasttext", store, tmp_path)
    assert logits.shape == ((200,) if classes == 2 else (200, 3))
    assert np.isfinite(logits).all()
    assert len(np.unique(logits, axis=0)) > 100
    fasttext = importlib.import_module("fasttext").load_model(str(tmp_path / "model"))
    labels, chances = fasttext.predict(texts(store, "test"), k=1)
    wide = logits if classes == 3 else np.stack([np.zeros(200), logits], 1)
    assert [f"__label__{n}" for n in wide.argmax(1)] == [name for name, in labels]
    assert probabilities(wide).max(1) == pytest.approx([float(p[0]) for p in chances], abs=1e-4)


def test_only_chosen_rows_are_learned_from(tmp_path: Path) -> None:
    store = make(tmp_path / "store", 2)
    labels = column(store, "train", "label")
    negative = np.flatnonzero(labels == 0)
    write_rows(tmp_path / "rows.parquet", column(store, "train", "review_id"), negative)
    fit("majority", store, tmp_path, tmp_path / "rows.parquet")
    assert json.loads((tmp_path / "model").read_bytes()) == [len(negative), 0]


RAW = {"negative": "Awful, terrible junk. I hate item{n}!", "positive": "I LOVE item{n} - great!"}


def raw_store(folder: Path, dedupe: str = "text") -> tuple[Store, list[Path]]:
    """A store of reviews whose sentiment is plain, and its two files, some reviews in both."""
    lines = [json.dumps({"reviewText": RAW[label].format(n=n), "overall": rating,
                         "reviewerID": f"r{n}", "asin": f"p{rating}"})
             for n in range(150) for label, rating in (("negative", 1.0), ("positive", 5.0))]
    files = [folder / "a.json", folder / "b.json"]
    files[0].write_text("\n".join(lines[:200]) + "\n")
    files[1].write_text("\n".join(lines[150:]) + "\n")
    assert reviewmill.main(["prepare", *map(str, files), "--out", str(folder / "store"),
                            "--split", "0.6,0.1,0.3", "--dedupe", dedupe]) == 0
    return Store(folder / "store"), files


def test_raw_texts_are_those_of_the_stores_reviews(tmp_path: Path) -> None:
    store, files = raw_store(tmp_path)
    texts = tmp_path / "texts.parquet"
    raw_texts.write(texts, store, [str(file) for file in files])
    for split in ("train", "test"):
        labels = [store.classes[label] for label in column(store, split, "label")]
        read = raw_texts.read(texts, column(store, split, "review_id"))
        assert len(set(read)) == store.rows(split)
        assert [text.startswith("I LOVE") for text in read] == [
            label == "positive" for label in labels]
    with pytest.raises(UserError, match=r"of the \d+ train, test reviews of .* are not in"):
        raw_texts.write(texts, store, [str(files[0])])


def test_texts_are_not_found_by_their_words_where_these_are_no_identity(tmp_path: Path) -> None:
    store, files = raw_store(tmp_path, dedupe="reviewer-product")
    with pytest.raises(UserError, match="prepared with --dedupe reviewer-product"):
        raw_texts.write(tmp_path / "texts.parquet", store, [str(file) for file in files])


def test_seeds_of_fasttext_are_different_trainings_on_one_core_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need(importlib.util.find_spec("fasttext") is not None, "fasttext (extra bench)")
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0})
    documents, labels = ["it is bad", "it is good"] * 50, np.arange(100) % 2
    said = []
    for seed in (0, 1):
        fasttext_model.train("fasttext-raw-1", documents, labels, tmp_path / "model", seed)
        said.append(fasttext_model.logits(documents, 2, tmp_path / "model"))
    assert (said[0] != said[1]).all()


@pytest.mark.parametrize("name", ["fasttext-raw-1", "fasttext-raw-2", "vader"])
def test_raw_baselines_read_raw_texts(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name == "vader":
        data = Path(__file__).parents[3] / "shared" / "nltk_data"
        need(data.is_dir(), "NLTK's VADER lexicon")
        monkeypatch.setattr("nltk.data.path", [str(data)])
    store, files = raw_store(tmp_path)
    texts = tmp_path / "texts.parquet"
    raw_texts.write(texts, store, [str(file) for file in files])
    said = fit(name, store, tmp_path, texts=texts) >= 0
    assert np.mean(said == column(store, "test", "label")) > 0.95


def test_vader_has_a_logit_for_each_of_three_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    data = Path(__file__).parents[3] / "shared" / "nltk_data"
    need(data.is_dir(), "NLTK's VADER lexicon")
    monkeypatch.setattr("nltk.data.path", [str(data)])
    said = vader.logits(["Horrible, awful.", "The box is a box.", "Wonderful, I love it."], 3)
    assert said.argmax(1).tolist() == [0, 1, 2]


def test_a_missing_lexicon_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nltk.data.path", [])
    with pytest.raises(UserError, match=r"python -m nltk\.downloader vader_lexicon"):
        vader.check_lexicon()
