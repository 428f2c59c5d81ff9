"""Configuration of a training: the tree of its options, and its command line."""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from models.encoder_folder import fitted_shape
from models.options import ModelConfig, ModelOptions, NgramsBeside, WordVectors
from models.records import RECORDS
from models.transformer import TransformerConfig
from mpi_train.configuration.groups import (
    ROWS_ARE_CHOSEN,
    BalanceOptions,
    CheckpointOptions,
    DataOptions,
    Duration,
    ExchangeOptions,
    KeepOptions,
    Locations,
    LossOptions,
    OptimizerOptions,
    RunOptions,
    ScheduleOptions,
)
from reviews.errors import UserError
from reviews.options import (
    add_options,
    build,
    flag,
    make_parser,
    option,
    to_mapping,
    unread,
    variant,
)
from reviews.store import Store

# Environment variable: 1 when standard error, which mpirun passes on, ends in a terminal.
TERMINAL = "REVIEWMILL_TERMINAL"

# Models whose recurrent layers have a stage of their own.
IN_STAGES = ("lstm", "gru", "bilstm-attention")


@dataclass(frozen=True)
class TrainingConfig:
    """Options of a training; `network` has those of its model."""

    files: Locations = field(default_factory=Locations)
    model: str = option(
        "lstm", "kind of model; it has defaults of its own", tuple(RECORDS), fixed=True)
    network: ModelConfig = field(**variant(
        "model", {name: record.config for name, record in RECORDS.items()}))
    duration: Duration = field(default_factory=Duration)
    data: DataOptions = field(default_factory=DataOptions)
    loss: LossOptions = field(default_factory=LossOptions)
    optimizer: OptimizerOptions = field(default_factory=OptimizerOptions)
    schedule: ScheduleOptions = field(default_factory=ScheduleOptions)
    balance: BalanceOptions = field(default_factory=BalanceOptions)
    exchange: ExchangeOptions = field(default_factory=ExchangeOptions)
    keep: KeepOptions = field(default_factory=KeepOptions)
    checkpoints: CheckpointOptions = field(default_factory=CheckpointOptions)
    run: RunOptions = field(default_factory=RunOptions)

    def __post_init__(self) -> None:
        assert type(self.network) is RECORDS[self.model].config
        data, optimizer = self.data, self.optimizer
        if RECORDS[self.model].table_only:
            if optimizer.optimizer not in ("adagrad", "sgd"):
                raise UserError(f"--optimizer {optimizer.optimizer} would change all rows of a "
                                "bag at every update: give adagrad or sgd")
            if optimizer.optimizer == "sgd" and (optimizer.momentum or optimizer.weight_decay):
                raise UserError("a bag's rows have no momentum or decay: give --momentum 0")
            if self.keep.keep == "average":
                raise UserError("--keep average would read all rows of a bag at every update: "
                                "give best or last")
        if data.smote and (self.model != "mlp" or self.view is not None or data.oversample):
            raise UserError("--smote is for --model mlp without --ngrams and --oversample: "
                            "nobody can make up a text between two others")
        if data.smote and self.loss.teacher:
            raise UserError("--smote makes up reviews that no --teacher has read")
        if data.rows and self.loss.class_weights == "balanced":
            raise UserError(ROWS_ARE_CHOSEN)
        vectors = self.network
        if isinstance(vectors, WordVectors) and vectors.freeze_vectors and self.vectors is None:
            raise UserError("--freeze-vectors is about --word-vectors store")
        if self.exchange.parallel == "fsdp":
            self._check_fsdp()
        if self.exchange.parallel == "model" and self.model not in IN_STAGES:
            raise UserError(f"--parallel model is for {', '.join(IN_STAGES)}, whose recurrent "
                            "layers are most of the work: give --parallel data")

    def _check_fsdp(self) -> None:
        """Raise UserError for choices that a sharded model does not have."""
        exchange, record = self.exchange, RECORDS[self.model]
        if record.table_only or getattr(self.network, "ngrams", 0):
            raise UserError("--parallel fsdp has no shards of a bag's rows, whose gradients are "
                            "those rows alone: give --parallel data"
                            + ("" if record.table_only else ", or --ngrams 0"))
        if self.keep.keep == "average":
            raise UserError("--keep average is for --parallel data: give --keep best or last")
        if self.optimizer.optimizer == "lamb":
            raise UserError("--optimizer lamb looks at whole tensors, of which --parallel fsdp has "
                            "shards: give adamw")
        if self.balance.balance != "equal" and not self.balance.shares:
            raise UserError("--parallel fsdp has ranks wait for each other in every layer, so that "
                            "their own times cannot be told: give --balance equal, or --shares")
        if exchange.backend in ("mpi", "shm", "shm+gloo") or exchange.exchange != "full":
            raise UserError("--parallel fsdp is for --backend gloo or nccl, and --exchange full")
        if self.run.noise_scale:
            raise UserError("--noise-scale is for --parallel data: a sharded model's gradients of "
                            "one rank are never there alone")

    def check_ranks(self, ranks: int) -> None:
        """Raise UserError for options that do not fit so many ranks."""
        self.balance.ratios(ranks)
        if self.exchange.parallel == "fsdp" and ranks < 2:
            raise UserError("--parallel fsdp is for two ranks or more: give --ranks, or "
                            "--parallel data")

    @classmethod
    def of(cls, **values: Any) -> "TrainingConfig":
        """The configuration with these values of options over the defaults of its model."""
        return build(cls, values)

    @property
    def view(self) -> NgramsBeside | None:
        """Options of the n-grams beside what else the model reads; None where it has none."""
        network = self.network
        return network if isinstance(network, NgramsBeside) and network.ngrams else None

    @property
    def vectors(self) -> WordVectors | None:
        """Options of the store's vectors that words begin with; None where these are random."""
        network = self.network
        has = isinstance(network, WordVectors) and network.word_vectors == "store"
        return network if has else None

    @property
    def reads_features(self) -> bool:
        """True when the model reads the numbers beside the text."""
        return RECORDS[self.model].reads_features

    def model_options(self, store: Store) -> ModelOptions[Any]:
        """Options that the model is built from."""
        network, loss, classes = self.network, self.loss.loss, len(store.classes)
        if isinstance(network, TransformerConfig):
            network = network.with_shape(fitted_shape(Path(network.encoder), store))
        binary = loss == "bce" or (loss == "focal" and classes == 2)
        return ModelOptions(
            model=self.model, network=network, outputs=1 if binary else classes,
            vocabulary_size=store.vocabulary_size, padding=store.padding, unknown=store.unknown,
            features=len(store.feature_names) if self.reads_features else 0)

    def to_yaml(self) -> str:
        """The configuration as YAML, without what the model does not read, and what was asked of
        one start only."""
        values = to_mapping(self)
        for name in unread(self.network):
            del values[name]
        return yaml.safe_dump(values, sort_keys=False)


def make_training_parser(prog: str, store_is_positional: bool = False) -> argparse.ArgumentParser:
    """A parser of all training options."""
    parser = make_parser(
        prog, "Train a model on a store. The defaults below are those of --model lstm; other "
        "models and the trainings of --config have some of their own.")
    if store_is_positional:
        parser.add_argument("store", nargs="?", default=argparse.SUPPRESS,
                            help="store to train on; a resumed run knows its own")
    add_options(parser, TrainingConfig, skip=("store",) if store_is_positional else ())
    return parser


def to_arguments(named: Mapping[str, Any]) -> list[str]:
    """Named options as command-line arguments of `python -m mpi_train`."""
    arguments = []
    for name, value in named.items():
        if isinstance(value, bool):
            arguments.append(flag(name if value else f"no_{name}"))
        else:
            shown = ",".join(map(str, value)) if isinstance(value, tuple) else value
            arguments.append(f"{flag(name)}={shown}")
    return arguments
