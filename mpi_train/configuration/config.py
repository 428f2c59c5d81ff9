"""The training configuration: every choice of a run, its default, and what a resume may change."""

import argparse
import dataclasses
import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from models.options import OWN_OPTIONS, ModelOptions, unread
from mpi_train.balance.water_filling import check_caps
from mpi_train.configuration.presets import CONFIGS, DEFAULT_CONFIG
from reviews.errors import UserError
from reviews.options import add_options, check_bounds, flag, make_parser, option, to_mapping
from reviews.store import Store

# Environment variable: 1 when standard error, which mpirun passes on, ends in a terminal.
TERMINAL = "REVIEWMILL_TERMINAL"

MOST_TIMES = 1000  # that an epoch trains on one review


@dataclass(frozen=True)
class TrainingConfig:
    """Options of a training. Lengths are in token ids, sizes in reviews over all ranks.

    Defaults are those of lstm; what other models change of them is in
    mpi_train/configuration/presets.py.
    """

    store: str = option("", "store to train on")
    out: str = option("", "run folder to write")
    config: str = option(
        "", "choices that lie beneath those named here: a YAML file, or one of "
        + ", ".join(CONFIGS) + f"; {DEFAULT_CONFIG} where --model is not named either", fixed=True)
    stage: str = option("", "folder of each host's own disk that the store is copied to first")
    model: str = option(
        "lstm", "kind of model; it has defaults of its own", tuple(OWN_OPTIONS), fixed=True)
    embedding_dim: int = option(100, "width of the word vectors", at_least=1, fixed=True)
    word_vectors: str = option(
        "none", "recurrent models, cnn: vectors that words begin with, random ones or those of the "
        "store (prepare --vectors), as wide as they are", ("none", "store"), fixed=True)
    freeze_vectors: bool = option(
        False, "keep the vectors of --word-vectors store as they are", fixed=True)
    hidden_dim: int = option(
        64, "width of a recurrent layer, per direction", at_least=1, fixed=True)
    layers: int = option(1, "number of recurrent layers", at_least=1, fixed=True)
    bidirectional: bool = option(
        False, "lstm, gru: read every review in both directions", fixed=True)
    pooling: str = option(
        "mean+max", "lstm, gru: pooling of a review's outputs into one vector",
        ("last", "max", "mean+max"), fixed=True)
    widths: tuple[int, ...] = option(
        (2, 3, 4), "cnn: widths of the convolutions in words", at_least=1, fixed=True)
    filters: int = option(64, "cnn: number of outputs of each convolution", at_least=1, fixed=True)
    ngrams: int = option(
        0, "words of the longest n-gram: of a bag, of one that votes beside a recurrent model "
        "(0: none does), or of one that an mlp reads beside the features (0: it reads no text)",
        at_least=0, fixed=True)
    buckets: int = option(
        2_000_000, "number of rows that n-grams are hashed into", at_least=1, fixed=True)
    ngram_dim: int = option(
        16, "recurrent models, mlp: width of that bag's vectors", at_least=1, fixed=True)
    ngram_rate: float = option(
        0.3, "recurrent models, mlp: learning rate of that bag's rows, by adagrad", above=0)
    dropout: float = option(
        0.2, "locked dropout: inputs of every layer, and the pooled vector", at_least=0, below=1)
    word_dropout: float = option(
        0.0, "fraction of words replaced by the unknown word", at_least=0, below=1)
    epochs: int = option(3, "number of epochs", at_least=1)
    max_steps: int = option(
        0, "number of updates after which training stops; 0: after the last epoch", at_least=0)
    evaluate_every: int = option(
        1, "number of epochs between validations; the last always has one", at_least=1)
    patience: int = option(
        0, "number of validations without a better one after which training stops; 0: never",
        at_least=0)
    batch_size: int = option(
        1024, "batch size: reviews of an update, over all ranks", at_least=1, fixed=True)
    batch_size_per_rank: int = option(
        0, "batch size for each rank that a run begins with, in place of --batch-size; 0: that",
        at_least=0, fixed=True, later=True)
    micro_batch_tokens: int = option(
        4096, "micro-batch size in padded tokens: few stay in a core's cache, many fill a GPU",
        at_least=1)
    window: int = option(
        64, "shuffle window: chunks of 1,024 rows inside which rows are shuffled",
        at_least=1, fixed=True)
    oversample: str = option(
        "", "times that an epoch trains on the reviews of each class, as 3,1; or balanced: "
        "rarer classes as often as makes them about as many", fixed=True)
    rows: str = option(
        "", "Parquet file of the reviews to train on: review_id and count, the number of times for "
        "each epoch; others are left out", fixed=True)
    smote: bool = option(
        False, "mlp of features alone: train on made-up reviews of rarer classes, too, as many as "
        "make all classes equally large", fixed=True)
    allow_one_class: bool = option(
        False, "train although all training reviews are of one class")
    loss: str = option(
        "bce", "loss: bce is for two classes, with more cross-entropy is the default; focal takes "
        "easy reviews less seriously",
        ("bce", "cross-entropy", "focal"), fixed=True)
    positive_weight: float = option(1.0, "bce: weight of the loss of positive reviews", above=0)
    class_weights: str = option(
        "", "weight of each class's loss, as 1,0.2; or balanced: more for rarer classes")
    label_smoothing: float = option(
        0.0, "bce, cross-entropy: part of a label shared by all", at_least=0, below=1)
    focal_gamma: float = option(
        2.0, "focal: exponent; the higher, the less easy reviews count",
        at_least=0, only_if={"loss": ("focal",)})
    optimizer: str = option(
        "adam", "optimizer", ("adam", "adamw", "sgd", "adagrad"), fixed=True)
    learning_rate: float = option(2e-3, "highest learning rate, before it is scaled", above=0)
    learning_rate_scaling: str = option(
        "none", "scaling of the learning rate from --base-batch-size to --batch-size; legw: by the "
        "square root, and the warm-up epochs in proportion", ("none", "linear", "sqrt", "legw"),
    )
    base_batch_size: int = option(
        1024, "batch size that the learning rate was found for",
        at_least=1, only_if={"learning_rate_scaling": ("linear", "sqrt", "legw")})
    schedule: str = option(
        "linear", "learning rate after the warm-up",
        ("constant", "linear", "cosine", "one-cycle", "step"),
    )
    warmup_steps: int = option(
        0, "number of warm-up updates, in which the learning rate rises", at_least=0)
    warmup_fraction: float = option(0.0, "warm-up as a fraction of the run", at_least=0, below=1)
    warmup_epochs: float = option(0.0, "warm-up in epochs", at_least=0)
    step_epochs: float = option(
        1.0, "step: number of epochs between two falls of the learning rate",
        above=0, only_if={"schedule": ("step",)})
    step_factor: float = option(
        0.1, "step: factor of the learning rate at each fall",
        above=0, only_if={"schedule": ("step",)})
    momentum: float = option(
        0.9, "sgd: momentum", at_least=0, below=1, only_if={"optimizer": ("sgd",)})
    betas: tuple[float, ...] = option(
        (0.9, 0.999), "adam, adamw: decay of the two moments",
        only_if={"optimizer": ("adam", "adamw")})
    eps: float = option(
        1e-8, "adam, adamw, adagrad: added to the denominator",
        above=0, only_if={"optimizer": ("adam", "adamw", "adagrad")})
    weight_decay: float = option(
        0.0, "sgd, adam: L2 penalty; adamw: decay of the weights", at_least=0)
    clip_norm: float = option(0.0, "largest norm of the whole gradient; 0: any", at_least=0)
    balance: str = option(
        "dynamic", "division of an update's work among the ranks: by the times they take, at all "
        "updates or once an epoch, or the same for all", ("dynamic", "epoch", "equal"),
    )
    rebalance_every: int = option(
        1, "number of updates between two decisions of --balance dynamic", at_least=1)
    caps: tuple[float, ...] = option(
        (), "caps: largest fraction of an update's work for each rank, under "
        "--balance dynamic",
    )
    shares: tuple[float, ...] = option((), "work of each rank as a ratio, in place of --balance")
    backend: str = option(
        "auto", "backend of the all-reduce of gradients; nccl trains on GPUs, gloo and mpi on CPUs "
        "and so does shm, in memory that the ranks of one host share",
        ("auto", "nccl", "gloo", "mpi", "shm"),
    )
    exchange: str = option(
        "full", "precision of gradients in the all-reduce of gloo and nccl: full, or bf16, half "
        "the bytes", ("full", "bf16"),
    )
    precision: str = option(
        "fp32", "floating-point type; bf16: of the layers' products, weights and sums stay fp32",
        ("fp32", "fp64", "bf16"), fixed=True)
    keep: str = option(
        "best", "weights the model gets: best by validation (--keep-by), last, or the moving "
        "average of all", ("best", "last", "average"),
    )
    keep_by: str = option(
        "accuracy", "figure of the validation that --keep best and --patience compare epochs by",
        ("accuracy", "f1_macro", "roc_auc", "loss"), fixed=True, later=True)
    average_decay: float = option(
        0.999, "average: decay of the moving average at an update",
        at_least=0, below=1, only_if={"keep": ("average",)})
    checkpoint_every: int = option(
        0, "number of updates between checkpoints; 0: at the end of an epoch only", at_least=0)
    checkpoint_minutes: float = option(
        0.0, "number of minutes between checkpoints; 0: no limit", at_least=0)
    checkpoints_kept: int = option(2, "number of latest checkpoints that are kept", at_least=1)
    threads: int = option(
        0, "number of threads per rank; 0: OMP_NUM_THREADS, else the cores divided "
        "by the ranks of the host", at_least=0)
    pin: bool = option(False, "keep every rank to cores of its own")
    interface: str = option(
        "", "network interface between hosts, such as eth0; by default the fastest by which all "
        "hosts reach each other", one_start=True, only_if={"backend": ("auto", "gloo", "nccl")})
    stall_minutes: float = option(
        30.0, "number of minutes at one line of the program after which a rank counts as hung and "
        "the run ends, with several ranks", above=0)
    seed: int = option(
        0, "seed of the initial weights, the order and the dropout", at_least=0, fixed=True)
    profile: bool = option(
        False, "write where the time of an update goes to profile/ in the run folder",
        one_start=True)
    resume: bool = option(
        False, "continue the run in --out from its last checkpoint", one_start=True)
    overwrite: bool = option(False, "replace the run in --out", one_start=True)

    def __post_init__(self) -> None:
        check_bounds(self, flag)
        _check(self, "widths", bool(self.widths), "give numbers of 1 or more")
        _check(self, "betas", len(self.betas) == 2 and 0 <= min(self.betas) <= max(self.betas) < 1,
               "give two numbers of 0 or more, below 1")
        if self.shares and (not min(self.shares) >= 0 or not 0 < sum(self.shares) < float("inf")):
            _check(self, "shares", False, "give numbers of 0 or more, not all 0")
        for name in ("caps", "rebalance_every"):
            named = getattr(self, name) not in ((), 1)
            if named and (self.shares or self.balance != "dynamic"):
                raise UserError(
                    f"{flag(name)} is about --balance dynamic, and goes without --shares")
        self._check_together()

    def _check_together(self) -> None:
        """Refuse what makes no sense together."""
        warmups = ("warmup_steps", "warmup_fraction", "warmup_epochs")
        for one, other in itertools.combinations([n for n in warmups if getattr(self, n)], 2):
            raise UserError(f"{flag(one)} and {flag(other)} both say how long the warm-up is")
        if self.learning_rate_scaling == "legw" and not self.warmup_epochs:
            raise UserError("--learning-rate-scaling legw needs --warmup-epochs to scale")
        if self.positive_weight != 1 and (self.class_weights or self.loss != "bce"):
            raise UserError("--positive-weight is for --loss bce alone; --class-weights for all")
        if self.label_smoothing and self.loss == "focal":
            raise UserError("--label-smoothing is not for --loss focal")
        if self.model == "bag":
            if self.optimizer not in ("adagrad", "sgd"):
                raise UserError(f"--optimizer {self.optimizer} would change all rows of a bag at "
                                "every update: give adagrad or sgd")
            if self.optimizer == "sgd" and (self.momentum or self.weight_decay):
                raise UserError("a bag's rows have no momentum or decay: give --momentum 0")
            if self.keep == "average":
                raise UserError("--keep average would read all rows of a bag at every update: "
                                "give best or last")
            _check(self, "ngrams", self.ngrams >= 1, "give 1 or more")
        if self.smote and (self.model != "mlp" or self.ngrams or self.oversample):
            raise UserError("--smote is for --model mlp without --ngrams and --oversample: "
                            "nobody can make up a text between two others")
        if self.rows and (self.smote or "balanced" in (self.oversample, self.class_weights)):
            raise UserError("--rows does not go with --smote or with classes balanced by the "
                            "store's numbers: give numbers of your own")
        if self.freeze_vectors and self.word_vectors == "none":
            raise UserError("--freeze-vectors is about --word-vectors store")
        if self.weight_decay and self.optimizer == "adagrad":
            raise UserError("--weight-decay is for sgd, adam and adamw")

    @property
    def weights(self) -> tuple[float, ...]:
        """Weight of each class's loss, or nothing; UserError for what is neither."""
        if not self.class_weights:
            return ()
        try:
            weights = tuple(map(float, self.class_weights.split(",")))
        except ValueError:
            weights = ()
        if not weights or not all(0 <= w < float("inf") for w in weights) or not sum(weights):
            raise UserError(f"--class-weights is {self.class_weights}: give balanced, or numbers "
                            "of 0 or more")
        return weights

    @property
    def times(self) -> tuple[int, ...]:
        """Repeats of the reviews of each class in an epoch, or nothing: once; else UserError."""
        if not self.oversample:
            return ()
        parts = self.oversample.split(",")
        if not all(part.isdecimal() and 1 <= int(part) <= MOST_TIMES for part in parts):
            raise UserError(f"--oversample is {self.oversample}: give balanced, or a whole number "
                            f"from 1 to {MOST_TIMES} for each class")
        return tuple(map(int, parts))

    @property
    def reads_features(self) -> bool:
        """True when the model reads what stands beside the text."""
        return self.model == "mlp"

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
        """Options that the model is built from."""
        names = {field.name for field in dataclasses.fields(ModelOptions)}
        own = {name: value for name, value in vars(self).items() if name in names}
        classes = len(store.classes)
        binary = self.loss == "bce" or (self.loss == "focal" and classes == 2)
        if self.reads_features:
            own["features"] = len(store.feature_names)
        return ModelOptions(**own, outputs=1 if binary else classes,
                            vocabulary_size=store.vocabulary_size,
                            padding=store.padding, unknown=store.unknown)

    def to_yaml(self) -> str:
        """The configuration as YAML, without what the model does not read, and what was asked of
        one start only."""
        values = to_mapping(self)
        for name in unread(self.model, self.ngrams):
            del values[name]
        return yaml.safe_dump(values, sort_keys=False)


def _check(config: TrainingConfig, name: str, good: bool, wanted: str) -> None:
    if not good:
        value = getattr(config, name)
        if isinstance(value, tuple):
            value = ",".join(f"{part:g}" for part in value)
        raise UserError(f"{flag(name)} is {value}: {wanted}")


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
