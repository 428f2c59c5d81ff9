"""Groups of training options, each read by one part of the program.

Lengths are in token ids, sizes in reviews over all ranks. Defaults are those of lstm; what other
models change of them stands in their records.
"""

import itertools
from dataclasses import dataclass
from pathlib import Path

from mpi_train.balance.water_filling import check_caps
from mpi_train.configuration.presets import CONFIGS, DEFAULT_CONFIG
from mpi_train.exchange.devices import check_device
from reviews.errors import UserError
from reviews.options import Search, check_bounds, flag, option
from reviews.storage.mirror import local_folder

LARGEST_LOSS_SCALE = 1 << 24
MOST_TIMES = 1000  # that an epoch trains on one review
ROWS_ARE_CHOSEN = ("--rows does not go with --smote or with classes balanced by the store's "
                   "numbers: give numbers of your own")


@dataclass(frozen=True)
class OptionGroup:
    """Options that are checked as soon as they are there."""

    def __post_init__(self) -> None:
        check_bounds(self, flag)
        self._check()

    def _check(self) -> None:
        """Raise UserError for values that are no good, alone or together."""


@dataclass(frozen=True)
class Locations(OptionGroup):
    """Files of a training."""

    store: str = option("", "store to train on")
    out: str = option("", "run folder to write")
    config: str = option(
        "", "choices that lie beneath those named here: a YAML file, or one of "
        + ", ".join(CONFIGS) + f"; {DEFAULT_CONFIG} where --model is not named either", fixed=True)
    stage: str = option("", "folder of each host's own disk that the store is copied to first")

    @property
    def folder(self) -> Path:
        """Run folder on this machine's disk; of a run at an address, where it is written first."""
        return local_folder(self.out)


@dataclass(frozen=True)
class Duration(OptionGroup):
    """End of a training."""

    epochs: int = option(3, "number of epochs", at_least=1)
    max_steps: int = option(
        0, "number of updates after which training stops; 0: after the last epoch", at_least=0)
    evaluate_every: int = option(
        1, "number of epochs between validations; the last always has one", at_least=1)
    patience: int = option(
        0, "number of validations without a better one after which training stops; 0: never",
        at_least=0)


@dataclass(frozen=True)
class DataOptions(OptionGroup):
    """Reviews of an epoch and of an update."""

    batch_size: int = option(
        1024, "batch size: reviews of an update, over all ranks", at_least=1, fixed=True,
        search=Search(low=0.25, high=4, log=True, factors=True))
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
        "", "number of times that an epoch trains on the reviews of each class, such as 3,1; or "
        "balanced: the numbers that make all classes about equally large", fixed=True)
    rows: str = option(
        "", "Parquet file of the reviews to train on: review_id and count, the number of times for "
        "each epoch; others are left out", fixed=True)
    validation_rows: str = option(
        "", "Parquet file of training reviews to validate on, in place of the validation split: "
        "review_id and count as in --rows, which has none of them", fixed=True, later=True)
    smote: bool = option(
        False, "mlp of features alone: train on made-up reviews of rarer classes, too, as many as "
        "make all classes equally large", fixed=True)
    allow_one_class: bool = option(
        False, "train although all training reviews are of one class")

    def _check(self) -> None:
        if self.validation_rows and not self.rows:
            raise UserError("--validation-rows goes with --rows: what is trained on is no "
                            "validation")
        if self.rows and (self.smote or self.oversample == "balanced"):
            raise UserError(ROWS_ARE_CHOSEN)

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


@dataclass(frozen=True)
class LossOptions(OptionGroup):
    """Loss and what each class counts in it."""

    loss: str = option(
        "bce", "loss: bce is for two classes, with more cross-entropy is the default; focal gives "
        "easy reviews less weight",
        ("bce", "cross-entropy", "focal"), fixed=True)
    positive_weight: float = option(1.0, "bce: weight of the loss of positive reviews", above=0)
    class_weights: str = option(
        "", "weight of each class's loss, such as 1,0.2; or balanced: more for rarer classes")
    label_smoothing: float = option(
        0.0, "bce, cross-entropy: part of a label shared by all", at_least=0, below=1,
        search=Search(low=0, high=0.2))
    focal_gamma: float = option(
        2.0, "exponent: the higher, the less weight easy reviews have",
        at_least=0, only_if={"loss": ("focal",)})
    teacher: str = option(
        "", "run or bundle with a trained model of the same words and classes, whose logits are "
        "learned beside the labels", fixed=True, later=True)
    teacher_weight: float = option(
        0.5, "part of the loss that is the cross-entropy with the teacher's probabilities",
        above=0, at_most=1, fixed=True, later=True)
    teacher_temperature: float = option(
        2.0, "number that the logits of model and teacher are divided by in this part: the "
        "higher, the more the teacher's doubts count", above=0, fixed=True, later=True)

    def _check(self) -> None:
        if not self.teacher and (self.teacher_weight, self.teacher_temperature) != (0.5, 2.0):
            raise UserError("--teacher-weight and --teacher-temperature are about --teacher RUN")
        if self.positive_weight != 1 and (self.class_weights or self.loss != "bce"):
            raise UserError("--positive-weight is for --loss bce alone; --class-weights for all")
        if self.label_smoothing and self.loss == "focal":
            raise UserError("--label-smoothing is not for --loss focal")

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


@dataclass(frozen=True)
class OptimizerOptions(OptionGroup):
    """Optimizer."""

    optimizer: str = option(
        "adam", "optimizer", ("adam", "adamw", "lamb", "sgd", "adagrad"), fixed=True)
    momentum: float = option(
        0.9, "momentum", at_least=0, below=1, only_if={"optimizer": ("sgd",)})
    betas: tuple[float, ...] = option(
        (0.9, 0.999), "decay of the two moments",
        only_if={"optimizer": ("adam", "adamw", "lamb")})
    eps: float = option(
        1e-8, "added to the denominator",
        above=0, only_if={"optimizer": ("adam", "adamw", "lamb", "adagrad")})
    weight_decay: float = option(
        0.0, "sgd, adam: L2 penalty; adamw, lamb: decay of the weights", at_least=0,
        search=Search(low=0.1, high=10, log=True, factors=True))
    clip_norm: float = option(0.0, "largest norm of the whole gradient; 0: any", at_least=0)

    def _check(self) -> None:
        betas = self.betas
        if not (len(betas) == 2 and 0 <= min(betas) <= max(betas) < 1):
            raise UserError(f"--betas is {shown(betas)}: give two numbers of 0 or more, below 1")
        if self.weight_decay and self.optimizer == "adagrad":
            raise UserError("--weight-decay is for sgd, adam, adamw and lamb")


@dataclass(frozen=True)
class ScheduleOptions(OptionGroup):
    """Learning rate of each update."""

    learning_rate: float = option(
        2e-3, "highest learning rate, before it is scaled", above=0,
        search=Search(low=0.2, high=5, log=True, factors=True))
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
        search=Search(("constant", "linear", "cosine", "one-cycle")))
    warmup_steps: int = option(
        0, "number of warm-up updates, in which the learning rate rises", at_least=0)
    warmup_fraction: float = option(0.0, "warm-up as a fraction of the run", at_least=0, below=1)
    warmup_epochs: float = option(0.0, "warm-up in epochs", at_least=0)
    step_epochs: float = option(
        1.0, "number of epochs between two falls of the learning rate",
        above=0, only_if={"schedule": ("step",)})
    step_factor: float = option(
        0.1, "factor of the learning rate at each fall",
        above=0, only_if={"schedule": ("step",)})

    def _check(self) -> None:
        warmups = ("warmup_steps", "warmup_fraction", "warmup_epochs")
        for one, other in itertools.combinations([n for n in warmups if getattr(self, n)], 2):
            raise UserError(f"{flag(one)} and {flag(other)} both say how long the warm-up is")
        if self.learning_rate_scaling == "legw" and not self.warmup_epochs:
            raise UserError("--learning-rate-scaling legw needs --warmup-epochs to scale")


@dataclass(frozen=True)
class BalanceOptions(OptionGroup):
    """Division of an update's work among the ranks."""

    balance: str = option(
        "dynamic", "division of an update's work among the ranks: by the times they take, at all "
        "updates or once an epoch, or the same for all", ("dynamic", "epoch", "equal"),
    )
    rebalance_every: int = option(
        1, "number of updates between two decisions of --balance dynamic", at_least=1)
    caps: tuple[float, ...] = option(
        (), "largest fraction of an update's work for each rank, under "
        "--balance dynamic",
    )
    shares: tuple[float, ...] = option((), "work of each rank as a ratio, in place of --balance")

    def _check(self) -> None:
        if self.shares and (not min(self.shares) >= 0 or not 0 < sum(self.shares) < float("inf")):
            raise UserError(
                f"--shares is {shown(self.shares)}: give numbers of 0 or more, not all 0")
        for name in ("caps", "rebalance_every"):
            named = getattr(self, name) not in ((), 1)
            if named and (self.shares or self.balance != "dynamic"):
                raise UserError(
                    f"{flag(name)} is about --balance dynamic, and goes without --shares")

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


@dataclass(frozen=True)
class ExchangeOptions(OptionGroup):
    """Parallelism over the ranks, and the all-reduce of gradients."""

    parallel: str = option(
        "data", "parallelism: data, each rank has the whole model; model, the cores of each are "
        "two groups, of which one has the recurrent layers and the other the rest; fsdp, each has "
        "a shard of the parameters, gradients and optimizer state", ("data", "model", "fsdp"),
        later=True)
    backend: str = option(
        "auto", "backend of the all-reduce of gradients: nccl for GPUs; gloo and mpi for CPUs; shm "
        "for CPUs of one host, in memory that its ranks share; shm+gloo for CPUs of several hosts, "
        "in the memory of each host and by gloo between hosts; auto: by where the ranks are, and "
        "on several hosts of CPUs by a measurement of a second, whose choice a resume keeps",
        ("auto", "nccl", "gloo", "mpi", "shm", "shm+gloo"),
    )
    exchange: str = option(
        "full", "precision of gradients in the all-reduce of gloo and nccl: full, or bf16, half "
        "the bytes", ("full", "bf16"),
    )
    interface: str = option(
        "", "network interface between hosts, such as eth0; by default the fastest by which all "
        "hosts reach each other", one_start=True,
        only_if={"backend": ("auto", "nccl", "gloo", "mpi", "shm+gloo")})


@dataclass(frozen=True)
class KeepOptions(OptionGroup):
    """Weights that the model gets."""

    keep: str = option(
        "best", "weights the model gets: best by validation (--keep-by), last, or the moving "
        "average of all", ("best", "last", "average"),
    )
    keep_by: str = option(
        "accuracy", "figure of the validation that --keep best and --patience compare epochs by",
        ("accuracy", "f1_macro", "roc_auc", "loss"), fixed=True, later=True)
    average_decay: float = option(
        0.999, "decay of the moving average at an update",
        at_least=0, below=1, only_if={"keep": ("average",)})


@dataclass(frozen=True)
class CheckpointOptions(OptionGroup):
    """Checkpoints."""

    checkpoint_every: int = option(
        0, "number of updates between checkpoints; 0: at the end of an epoch only", at_least=0)
    checkpoint_minutes: float = option(
        0.0, "number of minutes between checkpoints; 0: no limit", at_least=0)
    checkpoints_kept: int = option(2, "number of latest checkpoints that are kept", at_least=1)


@dataclass(frozen=True)
class RunOptions(OptionGroup):
    """Processes of a run, and its start."""

    device: str = option(
        "auto", "device of each rank: cpu; cuda, the GPU of its number; cuda:N; auto: GPUs where "
        "--backend is nccl, or is auto and every rank has one of its own", later=True)
    precision: str = option(
        "fp32", "floating-point type; bf16, fp16: of the layers' products, weights and sums stay "
        "fp32; fp16 has a loss scale, for GPUs without bf16",
        ("fp32", "fp64", "bf16", "fp16"), fixed=True)
    loss_scale: int = option(
        1 << 16, "factor of the losses that a run begins with, a power of two; halved after an "
        "overflow, and the batch is done again", at_least=1, at_most=LARGEST_LOSS_SCALE,
        fixed=True, later=True, only_if={"precision": ("fp16",)})
    loss_scale_window: int = option(
        2000, "number of updates without an overflow after which the loss scale doubles",
        at_least=1, fixed=True, later=True, only_if={"precision": ("fp16",)})
    threads: int = option(
        0, "number of threads per rank; 0: OMP_NUM_THREADS, else the cores divided "
        "by the ranks of the host", at_least=0)
    pin: bool = option(False, "keep every rank to cores of its own")
    stall_minutes: float = option(
        30.0, "number of minutes that a rank may stand at one line of the program before it "
        "counts as hung and the run ends (with several ranks)", above=0)
    seed: int = option(
        0, "seed of the initial weights, the order and the dropout", at_least=0, fixed=True)
    profile: bool = option(
        False, "write a profile of updates to profile/ in the run folder",
        one_start=True)
    noise_scale: bool = option(
        False, "measure the gradient noise scale: the batch size up to which larger batches save "
        "updates",
        later=True)
    resume: bool = option(
        False, "continue the run in --out from its last checkpoint", one_start=True)
    overwrite: bool = option(False, "replace the run in --out", one_start=True)

    def _check(self) -> None:
        check_device(self.device)
        if self.loss_scale & (self.loss_scale - 1):
            raise UserError(f"--loss-scale is {self.loss_scale}: give a power of two, such as "
                            f"{1 << self.loss_scale.bit_length() - 1}")


def shown(numbers: tuple[float, ...]) -> str:
    """Numbers as the command line has them."""
    return ",".join(f"{number:g}" for number in numbers)
