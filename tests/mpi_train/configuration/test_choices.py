"""Every model and loss trains, is kept in its bundle and evaluated; presets and files choose."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from sklearn.utils.class_weight import compute_class_weight

from models.options import ModelConfig
from models.records import RECORDS, options_mapping
from mpi_train import evaluate
from mpi_train.__main__ import main
from mpi_train.configuration.config import TrainingConfig
from mpi_train.configuration.resolve import resolve
from mpi_train.model_folder import model_card
from reviews.bundle import read_bundle
from reviews.errors import UserError
from reviews.options import flatten, leaves
from reviews.store import Store
from tests.mpi_train.runs import difference, losses, records, train
from tests.stores import make_store

ROWS = {"train": 600, "validation": 80, "test": 90}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return make_store(tmp_path_factory.mktemp("choices") / "store", ROWS, length=16, vocabulary=60)


@pytest.fixture(scope="module")
def moods(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return make_store(tmp_path_factory.mktemp("moods") / "store", ROWS, length=16, vocabulary=60,
                      classes=("bad", "mixed", "good"))


SMALL = {
    "bilstm-attention": {"learning_rate": 0.02},
    "cnn": {"filters": 8, "learning_rate": 0.02},
    "bag": {"buckets": 500, "learning_rate": 0.3},
}


def figures_of(run: Path, store: Store, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    capsys.readouterr()
    assert evaluate.main([str(run), "--store", str(store.path), "--split", "validation", "--json",
                          "--threads", "1"]) == 0
    figures: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return figures


@pytest.mark.parametrize("model", SMALL)
def test_a_model_learns_and_its_bundle_gives_the_figures_it_was_kept_for(
    model: str, store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = train(store, tmp_path / "run", model=model, epochs=6, **SMALL[model])
    told = read_bundle(run).model
    assert told["validation"]["accuracy"] > 0.7
    assert figures_of(run, store, capsys)["accuracy"] == told["validation"]["accuracy"]
    assert told["options"]["model"] == model
    assert model in (run / "model/card.md").read_text()


WORDS = {"embedding_dim", "word_dropout"}
RECURRENT = WORDS | {"hidden_dim", "layers", "ngrams"}


@pytest.mark.parametrize(("choices", "own", "card"), [
    ({}, RECURRENT | {"bidirectional", "pooling"},
     "lstm, embedding dim 100, hidden dim 64, layers 1, pooling mean+max"),
    ({"model": "gru", "bidirectional": True, "ngrams": 1},
     RECURRENT | {"bidirectional", "pooling", "ngram_dim"},
     "gru, embedding dim 100, hidden dim 64, layers 1, bidirectional, pooling mean+max, ngrams 1, "
     "ngram dim 16"),
    ({"model": "bilstm-attention", "ngrams": 2}, RECURRENT | {"buckets", "ngram_dim"},
     "bilstm-attention, embedding dim 100, word dropout 0.05, hidden dim 64, layers 1, ngrams 2, "
     "buckets 2000000, ngram dim 16"),
    ({"model": "cnn"}, WORDS | {"widths", "filters"},
     "cnn, embedding dim 100, widths [2, 3, 4], filters 64"),
    ({"model": "bag"}, WORDS | {"ngrams", "buckets"},
     "bag, embedding dim 16, ngrams 3, buckets 2000000"),
    ({"model": "bag", "ngrams": 1}, WORDS | {"ngrams"}, "bag, embedding dim 16, ngrams 1"),
    ({"model": "mlp"}, {"hidden_dim", "layers", "ngrams"}, "mlp, hidden dim 64, layers 2"),
], ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else "")
def test_bundle_card_and_configuration_name_what_the_model_has_and_no_more(
    choices: dict[str, Any], own: set[str], card: str, store: Store
) -> None:
    model = choices.get("model", "lstm")
    config = TrainingConfig.of(**{**RECORDS[model].training, **choices})
    options = config.model_options(store)
    common = {leaf.name for leaf in leaves(ModelConfig)}
    everything = {leaf.name for record in RECORDS.values()
                  for leaf in leaves(record.config)} - common
    assert set(options_mapping(options)) & everything == own
    written = set(yaml.safe_load(config.to_yaml())) & everything
    vectors = {"word_vectors", "freeze_vectors"} if model not in ("bag", "mlp") else set()
    assert written == own | vectors | ({"ngram_rate"} if "ngram_dim" in own else set())
    assert f"- Model: {card}.\n" in model_card(config, options, store, None)


def test_the_configuration_of_a_run_is_a_file_of_choices_for_another(
    store: Store, tmp_path: Path
) -> None:
    run = train(store, tmp_path / "run", max_steps=1, pooling="last")
    file = tmp_path / "mine.yaml"
    chosen = yaml.safe_load((run / "config.yaml").read_text())
    file.write_text(yaml.safe_dump({name: value for name, value in chosen.items()
                                    if name not in ("store", "out", "config")}))
    config = resolve({"store": str(store.path), "out": "nowhere", "config": str(file)})
    values = flatten(config)
    assert (values["pooling"], values["hidden_dim"], values["max_steps"]) == ("last", 6, 1)


@pytest.mark.parametrize("options", [
    {"loss": "cross-entropy"},
    {"loss": "cross-entropy", "model": "bag", "buckets": 500, "learning_rate": 0.3},
    {"loss": "focal", "class_weights": "balanced"},
], ids=lambda options: "-".join(map(str, options.values())))
def test_three_classes_are_learned_and_measured(
    options: dict[str, Any], moods: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = train(moods, tmp_path / "run", **{"epochs": 8, "learning_rate": 0.03, **options})
    figures = figures_of(run, moods, capsys)
    assert figures["accuracy"] > 0.55
    assert set(figures["f1"]) == {"bad", "mixed", "good"}
    assert read_bundle(run).weights["output.weight"].shape[0] == 3


def test_two_outputs_say_of_two_classes_what_one_would(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = train(store, tmp_path / "run", loss="cross-entropy", epochs=4, learning_rate=0.02)
    figures = figures_of(run, store, capsys)
    assert read_bundle(run).weights["output.weight"].shape[0] == 2
    assert figures["accuracy"] > 0.65
    assert figures["loss"] == pytest.approx(read_bundle(run).model["validation"]["loss"])


def test_balanced_weights_are_scikit_learns(store: Store) -> None:
    config = resolve({"store": str(store.path), "out": "nowhere", "class_weights": "balanced"})
    labels = store.manifest["splits"]["train"]["labels"]
    truth = [name for name, count in labels.items() for _ in range(count)]
    wanted = compute_class_weight("balanced", classes=np.array(store.classes), y=truth)
    assert config.loss.weights == pytest.approx(wanted.tolist())


def test_a_rarer_class_is_oversampled_until_it_is_about_as_large(
    store: Store, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(store.path, tmp_path / "copy"))
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["splits"]["train"]["labels"] = {"negative": 100, "positive": 260}
    (copy / "manifest.json").write_text(json.dumps(manifest))
    config = resolve({"store": str(copy), "out": "nowhere", "oversample": "balanced"})
    assert config.data.times == (3, 1)


def test_a_run_trains_on_every_review_as_often_as_asked_for_and_goes_on_that_way(
    store: Store, tmp_path: Path
) -> None:
    options = {"oversample": "1,2", "keep": "last", "schedule": "constant"}
    run = train(store, tmp_path / "run", **options)
    labels = store.manifest["splits"]["train"]["labels"]
    wanted = labels["negative"] + 2 * labels["positive"]
    assert [epoch["reviews"] for epoch in records(run, "epoch")] == [wanted, wanted]
    parted = train(store, tmp_path / "parted", **options, max_steps=17)
    assert main(["--out", str(parted), "--resume", "--max-steps", "0"]) == 0
    assert losses(parted) == losses(run)
    with pytest.raises(UserError, match="--oversample 1,2: it cannot be resumed with 1,3"):
        main(["--out", str(parted), "--resume", "--oversample", "1,3"])


@pytest.mark.parametrize("options", [
    {"clip_norm": 0.01, "optimizer": "sgd"}, {"loss": "focal"}, {"loss": "cross-entropy"},
    {"loss": "focal", "focal_gamma": 0.5}, {"class_weights": "1,3"}, {"label_smoothing": 0.2},
    {"optimizer": "adamw", "weight_decay": 0.5}, {"optimizer": "adagrad"}, {"betas": "0.5,0.9"},
    {"eps": 0.1}, {"schedule": "cosine"}, {"schedule": "one-cycle"},
    {"schedule": "step", "step_epochs": 0.2}, {"warmup_epochs": 0.5}, {"warmup_fraction": 0.3},
    {"learning_rate_scaling": "sqrt"}, {"learning_rate_scaling": "linear"},
], ids=lambda options: "-".join(map(str, options.values())))
def test_an_option_changes_what_is_learned(
    options: dict[str, Any], store: Store, tmp_path: Path
) -> None:
    plain = train(store, tmp_path / "plain", max_steps=8, keep="last")
    changed = train(store, tmp_path / "changed", max_steps=8, keep="last", **options)
    assert losses(changed) != losses(plain)


NGRAMS = {"ngrams": 2, "buckets": 500, "learning_rate": 0.01}


@pytest.mark.parametrize("options", [
    {"learning_rate": 0.01}, {"learning_rate": 0.01, "ngrams": 1}, {**NGRAMS, "ngrams": 3},
    {**NGRAMS, "buckets": 100}, {**NGRAMS, "ngram_dim": 3}, {**NGRAMS, "ngram_rate": 0.01},
], ids=lambda options: "-".join(map(str, options.items())))
def test_an_option_of_a_view_of_ngrams_changes_what_is_learned(
    options: dict[str, Any], store: Store, tmp_path: Path
) -> None:
    plain = train(store, tmp_path / "plain", max_steps=5, keep="last", **NGRAMS)
    changed = train(store, tmp_path / "changed", max_steps=5, keep="last", **options)
    assert losses(changed) != losses(plain)


def test_a_model_with_a_view_of_ngrams_is_averaged_kept_evaluated_and_resumed(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = {**NGRAMS, "keep": "average", "epochs": 3, "bidirectional": True,
               "schedule": "constant"}
    run = train(store, tmp_path / "run", **options)
    told = read_bundle(run).model
    assert figures_of(run, store, capsys)["accuracy"] == told["validation"]["accuracy"] > 0.7
    assert "ngram dim 16" in (run / "model/card.md").read_text()
    parted = train(store, tmp_path / "parted", **options, max_steps=14)
    assert main(["--out", str(parted), "--resume", "--max-steps", "0"]) == 0
    assert losses(parted) == losses(run)
    assert difference(read_bundle(parted).weights, read_bundle(run).weights) == 0


def test_the_average_is_what_is_validated_and_kept(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = {"learning_rate": 0.1, "schedule": "constant", "epochs": 3}
    last = train(store, tmp_path / "last", keep="last", **options)
    run = train(store, tmp_path / "average", keep="average", **options)
    other = train(store, tmp_path / "shorter", keep="average", average_decay=0.2, **options)
    assert losses(run) == losses(last), "training itself does not see the average"
    found = [read_bundle(r).model["validation"]["loss"] for r in (run, last, other)]
    assert len(set(found)) == 3
    assert figures_of(run, store, capsys)["loss"] == pytest.approx(found[0])


def test_patience_ends_a_run_whose_validation_gets_no_better(store: Store, tmp_path: Path) -> None:
    # So high a rate that accuracy goes up and down.
    options = {"learning_rate": 0.3, "epochs": 12, "schedule": "constant", "keep": "last"}
    run = train(store, tmp_path / "run", patience=2, **options)
    accuracies = [epoch["validation"]["accuracy"] for epoch in records(run, "epoch")]
    assert len(accuracies) < 12
    assert max(accuracies[-2:]) <= max(accuracies[:-2])
    whole = train(store, tmp_path / "whole", **options)
    assert losses(whole)[: len(losses(run))] == losses(run)


UNSTEADY = {"learning_rate": 0.1, "epochs": 8, "schedule": "constant", "seed": 6}


@pytest.mark.parametrize("figure", ["accuracy", "f1_macro", "roc_auc", "loss"])
def test_epochs_are_compared_by_the_figure_that_is_named(
    figure: str, store: Store, tmp_path: Path
) -> None:
    run = train(store, tmp_path / "run", keep_by=figure, **UNSTEADY)
    sign = -1 if figure == "loss" else 1
    values = [sign * epoch["validation"][figure] for epoch in records(run, "epoch")]
    best = values.index(max(values))
    assert best not in (0, 7), "the seed must make a middle epoch the best"
    assert json.loads((run / "summary.json").read_text())["best"]["epoch"] == best
    assert read_bundle(run).model["validation"][figure] == sign * max(values)
    patient = train(store, tmp_path / "patient", keep_by=figure, keep="last", patience=1,
                    **UNSTEADY)
    first_fall = next(i for i in range(1, 8) if values[i] <= max(values[:i]))
    assert len(records(patient, "epoch")) == first_fall + 1


def test_epochs_compared_by_their_loss_may_leave_another_model(
    store: Store, tmp_path: Path
) -> None:
    kept = [read_bundle(train(store, tmp_path / figure, keep_by=figure, **UNSTEADY)).model
            for figure in ("accuracy", "loss")]
    assert kept[0]["validation"]["accuracy"] > kept[1]["validation"]["accuracy"]
    assert kept[0]["validation"]["loss"] > kept[1]["validation"]["loss"]


def test_validations_come_as_often_as_asked_for_and_at_the_end(
    store: Store, tmp_path: Path
) -> None:
    run = train(store, tmp_path / "run", evaluate_every=2, epochs=5)
    found = [epoch["validation"] for epoch in records(run, "epoch")]
    assert [figures is not None for figures in found] == [False, True, False, True, True]
    best = max(figures["accuracy"] for figures in found if figures)
    assert read_bundle(run).model["validation"]["accuracy"] == best
    # So high a rate that accuracy goes up and down: patience is about validations.
    options = {"learning_rate": 0.3, "epochs": 12, "schedule": "constant", "keep": "last"}
    stopped = train(store, tmp_path / "stopped", evaluate_every=2, patience=1, **options)
    assert len(records(stopped, "epoch")) % 2 == 0
    assert 4 <= len(records(stopped, "epoch")) < 12
    before = (stopped / "metrics.jsonl").read_bytes()
    assert main(["--out", str(stopped), "--resume"]) == 0
    assert (stopped / "metrics.jsonl").read_bytes() == before, "out of patience is complete"


@pytest.mark.parametrize(("options", "message"), [
    ({"model": "cnn", "pooling": "max"}, "--pooling is for lstm, gru: --model cnn has no such"),
    ({"ngrams": 3, "model": "cnn"}, "--ngrams is for lstm, gru, bilstm-attention, bag, mlp: "),
    ({"buckets": 9}, "--buckets is not read by --model lstm with --ngrams 0"),
    ({"model": "bag", "ngrams": 1, "buckets": 9}, "--buckets is not read by --model bag with"),
    ({"momentum": 0.5}, "--momentum is for --optimizer sgd: adam has no use for it"),
    ({"optimizer": "sgd", "betas": (0.5, 0.9)},
     "--betas is for --optimizer adam or adamw or lamb: sgd"),
    ({"optimizer": "sgd", "eps": 1e-6},
     "--eps is for --optimizer adam or adamw or lamb or adagrad: sgd"),
    ({"focal_gamma": 1.0}, "--focal-gamma is for --loss focal: bce has no use for it"),
    ({"step_factor": 0.5}, "--step-factor is for --schedule step: linear has no use for it"),
    ({"base_batch_size": 64}, "--base-batch-size is for --learning-rate-scaling linear or sqrt"),
    ({"average_decay": 0.9}, "--average-decay is for --keep average: best has no use for it"),
    ({"keep_by": "loss", "keep": "last"}, "--keep-by is for --keep best or --patience: "),
    ({"config": "rnn2020"}, "--config rnn2020 is neither a file nor one of default, "),
    ({"config": "{tmp}/wrong.yaml"}, "unknown key 'epoch'; did you mean epochs"),
    ({"class_weights": "1,2,3"}, "--class-weights has 3 numbers, but .* has 2 classes"),
    ({"oversample": "2,1,1"}, "--oversample has 3 numbers, but .* has 2 classes"),
    ({"oversample": "0,1"}, "--oversample is 0,1: give balanced, or a whole number from 1"),
    ({"store": "{moods}", "loss": "bce"}, "has 3 classes, and --loss bce is for two"),
], ids=lambda value: "-".join(value) if isinstance(value, dict) else "")
def test_a_choice_that_cannot_be_is_told_in_one_line(
    options: dict[str, Any], message: str, store: Store, moods: Store, tmp_path: Path
) -> None:
    (tmp_path / "wrong.yaml").write_text("epoch: 3\n")
    options = {name: value.format(tmp=tmp_path, moods=moods.path) if isinstance(value, str)
               else value for name, value in options.items()}
    with pytest.raises(UserError, match=message):
        resolve({"store": str(store.path), "out": str(tmp_path / "run"), "model": "lstm",
                 **options})


def test_sgd_reads_eps_where_ngrams_beside_the_model_learn_by_adagrad(store: Store) -> None:
    named = {"store": str(store.path), "out": "nowhere", "optimizer": "sgd", "eps": 1e-6}
    assert resolve({**named, "ngrams": 2}).optimizer.eps == 1e-6
    with pytest.raises(UserError, match="--eps is for --optimizer"):
        resolve({**named, "model": "bag", "momentum": 0.0})
