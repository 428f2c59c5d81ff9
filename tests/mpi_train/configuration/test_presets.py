"""Trainings by name: the default one, those of earlier systems, and files of choices."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from models.records import RECORDS
from mpi_train.configuration.config import TrainingConfig
from mpi_train.configuration.presets import CONFIGS
from mpi_train.configuration.resolve import layered, resolve
from mpi_train.optimization.schedules import Schedule
from reviews.errors import UserError
from reviews.options import flatten, replace_flat
from reviews.run_folder import CONFIG
from reviews.store import Store
from tests.mpi_train.runs import train
from tests.stores import make_store

ROWS = {"train": 600, "validation": 80, "test": 90}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return make_store(tmp_path_factory.mktemp("presets") / "store", ROWS, length=16, vocabulary=60)


@pytest.mark.parametrize("name", CONFIGS)
def test_a_preset_is_what_its_system_did_and_named_options_lie_over_it(name: str) -> None:
    config = layered({"out": "nowhere", "config": name, "epochs": 4})
    assert config.duration.epochs == 4
    wanted = {**RECORDS[config.model].training, **CONFIGS[name], "epochs": 4}
    assert {name: flatten(config)[name] for name in wanted} == wanted


def test_a_run_for_which_no_model_is_named_is_the_default_training(store: Store) -> None:
    named = {"store": str(store.path), "out": "nowhere", "epochs": 4}
    config = resolve(named)
    assert config.files.config == "default"
    values = flatten(config)
    assert (values["ngrams"], values["bidirectional"], values["epochs"]) == (3, True, 4)
    assert config == resolve({**named, "config": "default"})


@pytest.mark.parametrize(("count", "epochs"), [(1, 20), (60, 3), (200, 2)])
def test_the_default_training_has_more_epochs_of_few_reviews(
    store: Store, tmp_path: Path, count: int, epochs: int
) -> None:
    named = {"store": str(store.path), "out": "nowhere", "rows": str(tmp_path / "rows.parquet")}
    rows = {"review_id": range(ROWS["train"]), "count": [count] * ROWS["train"]}
    pq.write_table(pa.table(rows), named["rows"])
    assert resolve(named).duration.epochs == epochs  # of 600, 36,000 and 120,000 reviews
    assert resolve({**named, "epochs": 3}).duration.epochs == 3
    assert resolve({**named, "config": "views"}).duration.epochs == CONFIGS["views"]["epochs"]


def test_a_resumed_run_of_the_default_training_keeps_its_epochs(
    store: Store, tmp_path: Path
) -> None:
    named = {"store": str(store.path), "out": str(tmp_path / "run")}
    (tmp_path / "run").mkdir()
    started = resolve({**named, "epochs": 7})
    (tmp_path / "run" / CONFIG).write_text(started.to_yaml(), "utf-8")
    assert resolve({**named, "resume": True}).duration.epochs == 7


def test_a_named_model_is_trained_by_its_own_defaults(store: Store) -> None:
    named = {"store": str(store.path), "out": "nowhere"}
    config = resolve({**named, "model": "lstm"})
    assert config == TrainingConfig.of(store=str(store.path), out="nowhere")
    plain = resolve({**named, "config": "plain-lstm"})
    assert plain == replace_flat(config, config="plain-lstm")


def test_a_file_that_names_no_model_is_about_the_lstm(store: Store, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("epochs: 7\n")
    config = resolve({"store": str(store.path), "out": "nowhere",
                      "config": str(tmp_path / "mine.yaml")})
    values = flatten(config)
    assert (values["ngrams"], values["hidden_dim"], values["epochs"]) == (0, 64, 7)


def test_a_batch_size_for_each_rank_is_multiplied_by_them(store: Store) -> None:
    named = {"store": str(store.path), "out": "nowhere"}
    found = [resolve({**named, "batch_size_per_rank": 48}, ranks).data.batch_size
             for ranks in (1, 4)]
    assert found == [48, 192]
    with pytest.raises(UserError, match="--batch-size is over all ranks, --batch-size-per-rank"):
        resolve({**named, "batch_size_per_rank": 48, "batch_size": 48})
    assert resolve({**named, "config": "rnn2019"}, ranks=2).data.batch_size == 256
    assert resolve({**named, "config": "rnn2019", "batch_size": 96}, ranks=2).data.batch_size == 96


def test_the_rate_of_goyal_is_in_proportion_to_the_ranks_and_rises_gradually(store: Store) -> None:
    named = {"store": str(store.path), "out": "nowhere", "config": "goyal"}
    found = {}
    for n in (1, 8):
        config = resolve(named, n)
        found[n] = Schedule.of(config.schedule, config.data.batch_size, total=1000, updates=100)
    assert {n: schedule.peak for n, schedule in found.items()} == {1: 0.1, 8: pytest.approx(0.8)}
    rates = [found[8].rate(update) for update in range(1000)]
    assert rates[:100] == sorted(set(rates[:100])), "the warm-up is an epoch"
    assert set(rates[99:]) == {found[8].peak}


def test_a_preset_trains_and_stands_in_the_runs_configuration(tmp_path: Path) -> None:
    bare = make_store(tmp_path / "bare", {"train": 300, "test": 30})  # as its recipe leaves it
    run = train(bare, tmp_path / "run", config="rnn2019", max_steps=2)
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert (config["config"], config["pooling"], config["momentum"]) == ("rnn2019", "last", 0.9)
    assert config["hidden_dim"] == 6, "what is named wins"


def test_a_file_of_choices_lies_between_the_models_defaults_and_what_is_named(
    store: Store, tmp_path: Path
) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("model: bag\nngrams: 3\nepochs: 7\n")
    named = {"store": str(store.path), "out": "nowhere", "config": str(file), "epochs": 2}
    config = resolve(named)
    values = flatten(config)
    assert (config.model, values["ngrams"], values["epochs"]) == ("bag", 3, 2)
    assert config.optimizer.optimizer == "adagrad"


def test_every_default_of_a_model_and_preset_is_an_option() -> None:
    for choices in [*({"model": model} for model in RECORDS), *CONFIGS.values()]:
        TrainingConfig.of(**{**RECORDS[choices["model"]].training, **choices})
