"""The training configuration: every choice of a run, its default, and what a resume may change."""

import argparse
import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mpi_train.models.options import ModelOptions
from mpi_train.water_filling import check_caps
from reviews.errors import UserError
from reviews.options import add_options, from_mapping, make_parser, option, to_mapping
from reviews.store import Store

# What a run folder holds, and all that --overwrite removes.
RUN_FILES = ("config.yaml", "metrics.jsonl", "log.txt", "summary.json", "report.html")
RUN_FOLDERS = ("checkpoints", "model")

# Environment variable: 1 when standard error, which mpirun passes on, ends in a terminal.
TERMINAL = "REVIEWMILL_TERMINAL"

# A resume that changed one of these would not continue the same training.
FIXED = (
    "seed", "batch_size", "window", "model", "embedding_dim", "hidden_dim", "layers",
    "bidirectional", "pooling", "optimizer", "precision",
)


@dataclass(frozen=True)
class TrainingConfig:
    """How a model is trained. Lengths are in token ids, sizes in reviews over all ranks."""

    store: str = option("", "store to train on")
    out: str = option("", "run folder to write")
    model: str = option("lstm", "kind of recurrent layers", ("lstm", "gru"))
    embedding_dim: int = option(100, "width of the word vectors")
    hidden_dim: int = option(64, "width of a recurrent layer, per direction")
    layers: int = option(1, "recurrent layers on one another")
    bidirectional: bool = option(False, "read every review in both directions")
    pooling: str = option(
        "mean+max", "how a review's outputs become one vector", ("last", "max", "mean+max")
    )
    dropout: float = option(0.2, "locked dropout: inputs of every layer, and the pooled vector")
    word_dropout: float = option(0.0, "fraction of words replaced by the unknown word")
    epochs: int = option(3, "times that every review is trained on")
    max_steps: int = option(0, "stop after so many updates; 0: after the last epoch")
    batch_size: int = option(1024, "reviews of an update, over all ranks")
    micro_batch_tokens: int = option(8192, "padded tokens a rank works on at once")
    window: int = option(64, "chunks of 1,024 rows inside which rows are shuffled")
    optimizer: str = option("adam", "how gradients become updates", ("adam", "sgd"))
    learning_rate: float = option(2e-3, "highest learning rate")
    momentum: float = option(0.9, "momentum of sgd")
    schedule: str = option(
        "linear", "learning rate after the warm-up: falling to 0, or constant",
        ("linear", "constant"),
    )
    warmup_steps: int = option(0, "updates in which the learning rate rises to its height")
    positive_weight: float = option(1.0, "weight of the loss of positive reviews")
    balance: str = option(
        "dynamic", "how an update's work is divided among the ranks: by how long they take, all "
        "the time or once an epoch, or the same for all", ("dynamic", "epoch", "equal"),
    )
    rebalance_every: int = option(1, "updates between two decisions of --balance dynamic")
    caps: tuple[float, ...] = option(
        (), "the most of an update's work that each rank may get, as fractions, under "
        "--balance dynamic",
    )
    shares: tuple[float, ...] = option((), "work of each rank as a ratio, in place of --balance")
    backend: str = option(
        "auto", "how gradients travel; nccl trains on GPUs, gloo and mpi on CPUs",
        ("auto", "nccl", "gloo", "mpi"),
    )
    precision: str = option("fp32", "floating-point type", ("fp32", "fp64"))
    keep: str = option(
        "best", "weights the model gets: best by validation accuracy, or last", ("best", "last")
    )
    threads: int = option(0, "threads per rank; 0: the cores divided by the ranks of the host")
    seed: int = option(0, "seed of the initial weights, the order and the dropout")
    resume: bool = option(False, "continue the run in --out from its last checkpoint")
    overwrite: bool = option(False, "replace the run in --out")

    def __post_init__(self) -> None:
        for name in ("embedding_dim", "hidden_dim", "layers", "epochs", "batch_size",
                     "micro_batch_tokens", "window", "rebalance_every"):
            _check(self, name, getattr(self, name) >= 1, "give 1 or more")
        for name in ("max_steps", "warmup_steps", "threads", "seed"):
            _check(self, name, getattr(self, name) >= 0, "give 0 or more")
        for name in ("dropout", "word_dropout", "momentum"):
            _check(self, name, 0 <= getattr(self, name) < 1, "give 0 or more, below 1")
        for name in ("learning_rate", "positive_weight"):
            _check(self, name, 0 < getattr(self, name) < float("inf"), "give more than 0")
        if self.shares and (not min(self.shares) >= 0 or not 0 < sum(self.shares) < float("inf")):
            shown = ",".join(f"{share:g}" for share in self.shares)
            raise UserError(f"--shares is {shown}: give numbers of 0 or more, not all 0")
        if self.caps and (self.shares or self.balance != "dynamic"):
            raise UserError("--caps is about --balance dynamic, and goes without --shares")

    def ratios(self, ranks: int) -> tuple[float, ...]:
        """The wanted part of every rank, as a ratio, unless it is found by their times.

        Raises UserError when shares or caps do not fit so many ranks.
        """
        if self.shares and len(self.shares) != ranks:
            raise UserError(f"--shares names {len(self.shares)} ranks, but there are {ranks}")
        if self.caps:
            try:
                check_caps(self.caps, ranks)
            except ValueError as error:
                raise UserError(f"--caps: {error}") from None
        return self.shares or (1.0,) * ranks

    def model_options(self, store: Store) -> ModelOptions:
        """What the model is built from."""
        names = {field.name for field in dataclasses.fields(ModelOptions)}
        own = {name: value for name, value in vars(self).items() if name in names}
        return ModelOptions(**own, vocabulary_size=store.vocabulary_size,
                            padding=store.padding, unknown=store.unknown)

    def to_yaml(self) -> str:
        """The configuration as YAML, without what was asked of one start only."""
        values = to_mapping(self)
        del values["resume"], values["overwrite"]
        return yaml.safe_dump(values, sort_keys=False)


def _check(config: TrainingConfig, name: str, good: bool, wanted: str) -> None:
    if not good:
        flag = "--" + name.replace("_", "-")
        raise UserError(f"{flag} is {getattr(config, name)}: {wanted}")


def make_training_parser(prog: str, store_is_positional: bool = False) -> argparse.ArgumentParser:
    """A parser of all training options."""
    parser = make_parser(prog, "Train a model on a store.")
    if store_is_positional:
        parser.add_argument("store", nargs="?", default=argparse.SUPPRESS,
                            help="store to train on; a resumed run knows its own")
    add_options(parser, TrainingConfig, skip=("store",) if store_is_positional else ())
    return parser


def resolve(named: Mapping[str, Any]) -> TrainingConfig:
    """The configuration of a start, from the options that the user named.

    A resumed run takes what is not named from its config.yaml.
    Raises UserError for anything that would end the run later anyway: a folder that is in
    use, a store that is not one or has nothing to train on, a resume that changes the plan.
    """
    if not named.get("out"):
        raise UserError("name the run folder to write with --out")
    out = Path(named["out"])
    if named.get("resume"):
        config = _resumed(out, named)
    else:
        config = TrainingConfig(**named)
        if out.exists() and not out.is_dir():
            raise UserError(f"{out} is not a folder")
        if out.exists() and any(out.iterdir()) and not config.overwrite:
            raise UserError(f"{out} is not empty: give --resume, --overwrite, or another --out")
    if not config.store:
        raise UserError("name the store to train on")
    # A run is resumed and reported from other folders too.
    config = dataclasses.replace(config, store=os.path.abspath(config.store))
    store = Store(config.store)
    if len(store.classes) != 2:
        raise UserError(f"{config.store} has {len(store.classes)} classes; models know two")
    if store.rows("train") == 0:
        raise UserError(f"{config.store} has no training rows")
    if config.keep == "best" and store.rows("validation") == 0:
        raise UserError(f"{config.store} has no validation rows to find the best weights by: "
                        "give --keep last")
    return config


def _resumed(out: Path, named: Mapping[str, Any]) -> TrainingConfig:
    file = out / "config.yaml"
    if not file.is_file():
        raise UserError(f"{out} has no run to resume: it has no config.yaml")
    before = from_mapping(TrainingConfig, yaml.safe_load(file.read_text("utf-8")), str(file))
    config = dataclasses.replace(before, **named)
    for name in FIXED:
        old, new = getattr(before, name), getattr(config, name)
        if old != new:
            flag = "--" + name.replace("_", "-")
            raise UserError(f"{out} was trained with {flag} {old}: it cannot be resumed with {new}")
    return config


def to_arguments(named: Mapping[str, Any]) -> list[str]:
    """Named options as command-line arguments of `python -m mpi_train`."""
    arguments = []
    for name, value in named.items():
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            arguments.append(f"--{flag}" if value else f"--no-{flag}")
        else:
            shown = ",".join(map(str, value)) if isinstance(value, tuple) else value
            arguments.append(f"--{flag}={shown}")
    return arguments
