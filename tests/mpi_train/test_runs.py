"""Training runs: what their folders hold, what options change, and how they go on."""

import json
import pstats
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from mpi_train.__main__ import main
from mpi_train.configuration.config import TrainingConfig
from mpi_train.monitoring.phase_timer import PHASES
from reviews.bundle import read_bundle
from reviews.errors import UserError
from reviews.options import leaves
from reviews.store import Store
from tests.mpi_train.ranks import run_ranks
from tests.mpi_train.runs import arguments, difference, losses, records, train
from tests.stores import make_store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return make_store(tmp_path_factory.mktemp("runs") / "store",
                      {"train": 600, "validation": 80}, length=16, vocabulary=60)


@pytest.fixture(scope="module")
def run(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(store, tmp_path_factory.mktemp("run") / "run")


def test_a_run_learns(store: Store, tmp_path: Path) -> None:
    run = train(store, tmp_path / "run", epochs=6, learning_rate=0.02)
    assert np.mean(losses(run)[-5:]) < 0.5 < 0.65 < np.mean(losses(run)[:5])
    assert records(run, "epoch")[-1]["validation"]["accuracy"] > 0.75


def test_the_journal_tells_of_every_update(run: Path, store: Store) -> None:
    steps = records(run, "step")
    assert [step["step"] for step in steps] == list(range(1, 21))
    assert [step["epoch"] for step in steps] == [0] * 10 + [1] * 10
    for epoch in (0, 1):
        assert sum(s["reviews"] for s in steps if s["epoch"] == epoch) == store.rows("train")
    for step in steps:
        assert sum(step["shares"]) == step["reviews"]
        assert sum(step["share_tokens"]) == step["tokens"]
        assert len(step["compute_s"]) == len(step["wait_s"]) == 1
        assert 0 < step["compute_s"][0] <= step["step_s"] + 1
        assert list(step["phases"]) == list(PHASES)
        assert min(step["phases"][name] for name in ("data", "forward", "backward")) > 0
        assert sum(step["phases"].values()) >= step["step_s"]


def test_the_journal_tells_of_every_epoch(run: Path) -> None:
    epochs = records(run, "epoch")
    assert [epoch["step"] for epoch in epochs] == [10, 20]
    for epoch in epochs:
        steps = [s for s in records(run, "step") if s["epoch"] == epoch["epoch"]]
        mean = sum(s["loss"] * s["reviews"] for s in steps) / sum(s["reviews"] for s in steps)
        assert epoch["loss"] == pytest.approx(mean)
        assert set(epoch["validation"]) == {"n", "loss", "accuracy", "f1_macro", "roc_auc"}
        assert epoch["validation"]["n"] == 80


def test_the_summary_and_the_configuration_stand_in_the_folder(run: Path, store: Store) -> None:
    summary = json.loads((run / "summary.json").read_text())
    assert summary["format"] == "reviewmill-run/1"
    assert summary["finished"] is True
    assert (summary["epochs"], summary["steps"], summary["ranks"]) == (2, 20, 1)
    assert summary["store"]["fingerprint"] == store.fingerprint
    weights = read_bundle(run).weights
    assert summary["parameters"] == sum(value.size for value in weights.values())
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert config["hidden_dim"] == 6
    assert config["learning_rate"] == TrainingConfig().schedule.learning_rate
    assert Path(config["store"]).is_absolute()
    assert "accuracy" in (run / "log.txt").read_text()


def test_the_same_seed_gives_the_same_weights_and_another_others(
    run: Path, store: Store, tmp_path: Path
) -> None:
    again = read_bundle(train(store, tmp_path / "again")).weights
    assert difference(read_bundle(run).weights, again) == 0
    other = read_bundle(train(store, tmp_path / "other", seed=1)).weights
    assert difference(again, other) > 0.01


@pytest.mark.parametrize(
    "options",
    [{"optimizer": "sgd"}, {"learning_rate": 0.01}, {"schedule": "constant"},
     {"warmup_steps": 5}, {"positive_weight": 0.3}, {"dropout": 0.6}, {"word_dropout": 0.3},
     {"window": 1}, {"batch_size": 50}, {"model": "gru"}, {"layers": 2}, {"pooling": "max"},
     {"bidirectional": True}, {"hidden_dim": 7}, {"embedding_dim": 9}],
    ids=lambda options: "-".join(options),
)
def test_an_option_changes_what_is_learned(
    options: dict[str, Any], run: Path, store: Store, tmp_path: Path
) -> None:
    changed = train(store, tmp_path / "run", **options)
    assert not np.allclose(losses(changed)[5:8], losses(run)[5:8], rtol=1e-6)


def test_momentum_is_that_of_sgd(store: Store, tmp_path: Path) -> None:
    found = [losses(train(store, tmp_path / str(m), optimizer="sgd", momentum=m))
             for m in (0.0, 0.9)]
    assert found[0] != found[1]


def test_micro_batches_change_nothing_but_rounding(
    run: Path, store: Store, tmp_path: Path
) -> None:
    large = train(store, tmp_path / "large", micro_batch_tokens=100_000)
    assert losses(large) == pytest.approx(losses(run), rel=1e-4)


def test_double_precision_is_kept_in_the_bundle(store: Store, tmp_path: Path) -> None:
    weights = read_bundle(train(store, tmp_path / "run", precision="fp64")).weights
    assert {value.dtype for value in weights.values()} == {np.dtype(np.float64)}


def test_a_profile_says_where_an_update_goes(store: Store, tmp_path: Path) -> None:
    folder = train(store, tmp_path / "run", profile=True) / "profile"
    page = (folder / "summary.txt").read_text()
    phases = re.findall(r"^ +[\d.]+ ms +([\d.]+)%  (\w+)$", page, re.MULTILINE)
    assert [name for _, name in phases] == list(PHASES)
    assert sum(float(share) for share, _ in phases) == pytest.approx(100, abs=0.5)
    assert "mkldnn_rnn_layer_backward" in page
    assert re.search(r"ms +\d+ x  .*run_backward.*\(\S+:\d+\)$", page, re.MULTILINE)
    assert json.loads((folder / "trace.json").read_text())["traceEvents"]
    assert pstats.Stats(str(folder / "host.prof")).total_calls > 100  # type: ignore[attr-defined]
    short = train(store, tmp_path / "short", profile=True, max_steps=6)
    assert "more than 13 updates" in (short / "profile/summary.txt").read_text()


def test_max_steps_ends_a_run_early(store: Store, tmp_path: Path) -> None:
    run = train(store, tmp_path / "run", max_steps=13)
    assert len(records(run, "step")) == 13
    # The schedule knows where the end is.
    assert records(run, "step")[-1]["learning_rate"] == pytest.approx(2e-3 / 13)


def test_a_log_gets_a_line_now_and_then_and_a_terminal_a_bar(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("mpi_train.monitoring.run_log.LINE_SECONDS", 0)
    plain = train(store, tmp_path / "plain", epochs=1)
    lines = (plain / "log.txt").read_text().splitlines()
    assert len([line for line in lines if "epoch 1/1: " in line and "%, loss" in line]) == 10
    assert "\r" not in capfd.readouterr().err
    monkeypatch.setenv("REVIEWMILL_TERMINAL", "1")
    barred = train(store, tmp_path / "bar", epochs=1)
    assert len((barred / "log.txt").read_text().splitlines()) == 2
    assert "epoch 1/1:" in capfd.readouterr().err.split("\r")[1]


def test_best_keeps_the_weights_of_the_best_epoch_and_last_those_of_the_last(
    store: Store, tmp_path: Path
) -> None:
    # So high a rate that accuracy goes up and down.
    options = {"learning_rate": 0.3, "epochs": 5, "schedule": "constant"}
    kept = {keep: train(store, tmp_path / keep, keep=keep, **options) for keep in ("best", "last")}
    accuracies = [epoch["validation"]["accuracy"] for epoch in records(kept["best"], "epoch")]
    assert accuracies.index(max(accuracies)) != 4, "the seed must make a middle epoch the best"
    told = {keep: read_bundle(run).model["validation"]["accuracy"] for keep, run in kept.items()}
    assert told == {"best": max(accuracies), "last": accuracies[-1]}
    best = json.loads((kept["best"] / "summary.json").read_text())["best"]
    assert best == {"epoch": accuracies.index(max(accuracies)), "accuracy": max(accuracies)}


def test_resuming_at_an_epochs_end_gives_the_very_same_weights(
    store: Store, tmp_path: Path
) -> None:
    options = {"epochs": 4, "keep": "last", "schedule": "constant", "word_dropout": 0.1}
    whole = train(store, tmp_path / "whole", **options)
    parted = tmp_path / "parted"
    train(store, parted, **{**options, "epochs": 2})
    assert main(["--out", str(parted), "--resume", "--epochs", "4"]) == 0
    assert difference(read_bundle(whole).weights, read_bundle(parted).weights) == 0
    assert losses(parted) == losses(whole)
    assert len(records(parted, "epoch")) == 4


def test_a_run_that_ended_in_an_epoch_goes_on_inside_of_it(store: Store, tmp_path: Path) -> None:
    options = {"epochs": 3, "keep": "last", "schedule": "constant"}
    whole = train(store, tmp_path / "whole", **options)
    parted = train(store, tmp_path / "parted", **options, max_steps=17)
    with open(parted / "metrics.jsonl", "a") as file:
        file.write('{"kind": "step", "step": 18, "lo')  # as a killed run leaves it
    # What a kill in the middle of a checkpoint leaves is no checkpoint.
    (parted / "checkpoints" / ".step-00000018.partial").mkdir()
    assert main(["--out", str(parted), "--resume", "--max-steps", "0"]) == 0
    assert difference(read_bundle(whole).weights, read_bundle(parted).weights) == 0
    assert losses(parted) == losses(whole)
    assert [e["loss"] for e in records(parted, "epoch")] == [
        e["loss"] for e in records(whole, "epoch")]


def test_a_resume_of_a_complete_run_says_where_its_model_is_and_does_nothing_else(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = shutil.copytree(run, tmp_path / "run")
    assert main(["--out", str(copy), "--resume"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[1:] == ["nothing is left to do: the run was complete after update 20, and its "
                        f"model is in {copy / 'model'}"]
    assert (copy / "metrics.jsonl").read_bytes() == (run / "metrics.jsonl").read_bytes()
    assert difference(read_bundle(copy).weights, read_bundle(run).weights) == 0
    assert json.loads((copy / "summary.json").read_text())["finished"] is True


def checkpoints(run: Path) -> list[str]:
    return sorted(path.name for path in (run / "checkpoints").iterdir())


def test_checkpoints_are_written_as_often_and_kept_as_many_as_asked_for(
    store: Store, tmp_path: Path
) -> None:
    run = train(store, tmp_path / "run", checkpoint_every=4, checkpoints_kept=3)
    assert checkpoints(run) == ["step-00000012", "step-00000016", "step-00000020"]


def test_a_damaged_checkpoint_is_named_and_the_one_before_it_serves(
    store: Store, tmp_path: Path
) -> None:
    run = train(store, tmp_path / "run", epochs=3)
    assert checkpoints(run) == ["step-00000020", "step-00000030"]
    weights = run / "checkpoints/step-00000030/weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"?")
    with pytest.raises(UserError, match=r"step-00000030 is damaged: remove it .* step-00000020"):
        main(["--out", str(run), "--resume", "--epochs", "4"])
    shutil.rmtree(weights.parent)
    assert main(["--out", str(run), "--resume", "--epochs", "4"]) == 0
    assert [epoch["epoch"] for epoch in records(run, "epoch")] == [0, 1, 2, 3]


@pytest.mark.parametrize("option", ["seed", "batch_size", "window", "model", "hidden_dim",
                                    "layers", "pooling", "optimizer", "precision", "loss",
                                    "word_vectors"])
def test_a_resume_cannot_change_what_the_training_is(
    option: str, run: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(run, tmp_path / "run")
    other = {"model": "gru", "pooling": "max", "optimizer": "sgd", "precision": "fp64",
             "loss": "focal", "word_vectors": "store"}
    value = other.get(option, "99")
    flag = "--" + option.replace("_", "-")
    with pytest.raises(UserError, match=f"{flag} .* cannot be resumed with {value}"):
        main(["--out", str(copy), "--resume", flag, value])


def test_a_resume_on_another_store_is_refused(run: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(run, tmp_path / "run")
    other = make_store(tmp_path / "other", {"train": 600, "validation": 80}, length=16,
                       vocabulary=60, seed=9)
    with pytest.raises(UserError, match="is not the store that"):
        main(["--out", str(copy), "--resume", "--store", str(other.path)])


def test_overwrite_replaces_a_run_and_nothing_else(store: Store, tmp_path: Path) -> None:
    out = train(store, tmp_path / "run")
    (out / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="give --resume, --overwrite"):
        main(arguments(store, out))
    train(store, out, epochs=1, overwrite=True)
    assert len(records(out, "epoch")) == 1
    assert (out / "notes.txt").read_text() == "mine"


def test_every_field_of_the_configuration_is_an_option(store: Store, tmp_path: Path) -> None:
    run = train(store, tmp_path / "run", max_steps=1, optimizer="sgd", momentum=0.5,
                backend="gloo", shares="2")
    config = yaml.safe_load((run / "config.yaml").read_text())
    # Not those of one start, those of other models, and later ones that have their defaults.
    every = {leaf.name: leaf for leaf in leaves(TrainingConfig)}
    others = {name for name, leaf in every.items()
              if "lstm" not in leaf.option.only_if.get("model", ["lstm"])}
    absent = {name for name, leaf in every.items() if leaf.option.one_start or leaf.option.later}
    assert set(config) == every.keys() - others - absent - {"buckets", "ngram_dim", "ngram_rate"}
    assert config["momentum"] == 0.5
    assert config["shares"] == [2.0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"store": "{tmp}/nothing"}, "is not a store"),
        ({"out": ""}, "name the run folder to write with --out"),
        ({"batch_size": 0}, "--batch-size is 0: give 1 or more"),
        ({"dropout": 1.0}, "--dropout is 1.0: give 0 or more, below 1"),
        ({"learning_rate": -1}, "--learning-rate is -1.0: give more than 0"),
        ({"shares": "1,2"}, "--shares names 2 ranks, but there are 1"),
        ({"shares": "0"}, "not all 0"),
        ({"shares": "-1"}, "--shares is -1: give numbers of 0 or more"),
        ({"resume": True, "store": ""}, "has no run to resume: name a store to start one"),
    ],
    ids=str,
)
def test_a_mistake_is_one_line_before_anything_is_written(
    options: dict[str, Any], message: str, store: Store, tmp_path: Path
) -> None:
    named = {k: v.format(tmp=tmp_path) if isinstance(v, str) else v for k, v in options.items()}
    with pytest.raises(UserError, match=message.replace("(", r"\(")) as error:
        main(arguments(store, tmp_path / "run", **named))
    assert "\n" not in str(error.value)
    assert not (tmp_path / "run").exists()


def test_a_store_without_validation_needs_keep_last(tmp_path: Path) -> None:
    bare = make_store(tmp_path / "bare", {"train": 100}, length=16, vocabulary=60)
    with pytest.raises(UserError, match="give --keep last"):
        main(arguments(bare, tmp_path / "run"))
    run = train(bare, tmp_path / "run", keep="last")
    assert records(run, "epoch")[-1]["validation"] is None


def test_a_damaged_shard_stops_the_run(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store", {"train": 3000, "validation": 10}, length=16)
    shard = store.path / "shards/part-00001.h5"
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    with pytest.raises(UserError, match=r"part-00001.h5 is damaged"):
        main(arguments(store, tmp_path / "run"))


def test_a_store_is_copied_to_the_stage_once_and_only_what_is_needed_of_it(
    run: Path, store: Store, tmp_path: Path
) -> None:
    away = Path(shutil.copytree(store.path, tmp_path / "away"))
    with_test = make_store(tmp_path / "other", {"train": 100, "validation": 10, "test": 50},
                           length=16, vocabulary=60, shards=1)
    shard = next((away / "shards").iterdir())
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    stage = tmp_path / "disk" / "stage"
    with pytest.raises(UserError, match=f"{shard.name} is damaged"):
        main(arguments(Store(away), tmp_path / "damaged", stage=stage))
    shard.write_bytes(whole)
    first = train(Store(away), tmp_path / "first", stage=stage)
    copies = stage / store.fingerprint[:32]
    assert sorted(path.name for path in copies.rglob("*") if path.name[0] != ".") == sorted(
        ["shards", "vocabulary.txt", *(path.name for path in (away / "shards").iterdir())])
    assert losses(first) == losses(run)
    assert json.loads((first / "summary.json").read_text())["store"]["path"] == str(away)
    shutil.rmtree(away / "shards")
    assert losses(train(Store(away), tmp_path / "second", stage=stage)) == losses(run)
    train(with_test, tmp_path / "third", stage=stage, max_steps=1)
    assert len(list(stage.iterdir())) == 2, "each store has a folder of its own"


def test_two_ranks_stop_together_and_rank_0_alone_speaks(store: Store, tmp_path: Path) -> None:
    """One start of two ranks, which a mistake, an infinite loss and a good run share."""
    program = tmp_path / "program.py"
    program.write_text(
        "import json, sys\n"
        "from mpi_train.__main__ import main\n"
        "from reviews.errors import UserError\n"
        "from mpi4py import MPI\n"
        "found = []\n"
        "for arguments in json.loads(sys.argv[1]):\n"
        "    try:\n"
        "        found.append(main(arguments))\n"
        "    except UserError as error:\n"
        "        found.append(f'2 {error}')\n"
        "    except SystemExit as error:\n"
        "        found.append(error.code)\n"
        "found = MPI.COMM_WORLD.gather(found)\n"
        "if MPI.COMM_WORLD.Get_rank() == 0:\n"
        "    print(json.dumps(found))\n"
    )
    nan = {"learning_rate": 1e30, "optimizer": "sgd", "epochs": 20, "schedule": "constant"}
    starts = [
        arguments(store, tmp_path / "bad", shares="1,2,3"),
        arguments(store, tmp_path / "nan", **nan),
        arguments(store, tmp_path / "good", shares="3,1"),
    ]
    done = run_ranks(2, program, json.dumps(starts))
    assert done.returncode == 0, done.stderr
    first, second = json.loads(done.stdout.splitlines()[-1])
    assert first == ["2 --shares names 3 ranks, but there are 2", 3, 0]
    assert second == [2, 3, 0]
    failure = records(tmp_path / "nan", "failure")
    assert len(failure) == 1
    assert "not finite on rank" in failure[0]["reason"]
    assert not (tmp_path / "nan" / "summary.json").exists()
    steps = records(tmp_path / "good", "step")
    assert len(steps) == 20  # rank 1 wrote none of its own
    share = sum(s["share_tokens"][0] for s in steps) / sum(s["tokens"] for s in steps)
    assert share == pytest.approx(0.75, abs=0.02)
    assert all(len(step["compute_s"]) == 2 for step in steps)
