"""From the options that a user named to the configuration of a start."""

import importlib.util
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from models.encoder_folder import fitted_shape
from models.options import Words
from models.records import RECORDS
from models.transformer import TransformerConfig
from mpi_train.chosen_rows import ChosenRows
from mpi_train.configuration.config import TrainingConfig
from mpi_train.configuration.groups import MOST_TIMES
from mpi_train.configuration.presets import (
    CONFIGS,
    DEFAULT_CONFIG,
    ENOUGH_REVIEWS,
    MOST_EPOCHS,
)
from reviews.errors import UserError
from reviews.options import (
    check_conditions,
    flag,
    flatten,
    from_mapping,
    leaves,
    replace_flat,
    unread,
)
from reviews.run_folder import CONFIG, LOCK
from reviews.storage.files import is_remote, reason
from reviews.storage.folders import join, names_below, read_whole
from reviews.store import Store


def resolve(named: Mapping[str, Any], ranks: int = 1) -> TrainingConfig:
    """The configuration of a start on so many ranks, from the options that the user named.

    A resumed run takes what is not named from its config.yaml, its batch size too; where --out is
    absent or empty, the same command line starts the run, as a job that is requeued needs it.
    Raises UserError for anything that would end the run later anyway: a folder that is in
    use, a store that is not one or has nothing to train on, a resume that changes the plan.
    """
    named = {**named, **{name: os.path.abspath(named[name])
                         for name in ("rows", "validation_rows", "encoder", "teacher")
                         if named.get(name)}}
    if not named.get("out"):
        raise UserError("name the run folder to write with --out")
    out = str(named["out"])
    used = _is_used(out)
    if named.get("resume") and not used and not named.get("store"):
        raise UserError(f"{out} has no run to resume: name a store to start one")
    resumes = bool(named.get("resume")) and used
    if resumes:
        config = _resumed(out, named)
    else:
        config = layered(named, ranks)
        if used and not config.run.overwrite:
            raise UserError(f"{out} is not empty: give --resume, --overwrite, or another --out")
    if not config.files.store:
        raise UserError("name the store to train on")
    # A run is resumed and reported from other folders too.
    if not is_remote(config.files.store):
        config = replace_flat(config, store=os.path.abspath(config.files.store))
    store = Store(config.files.store)
    _check_store(config, store)
    _check_read(config, named)
    if not resumes and config.files.config == DEFAULT_CONFIG and "epochs" not in named:
        config = _with_epochs(config, store)
    return _with_classes(_with_vectors(config, store, named), store, named)


def _with_epochs(config: TrainingConfig, store: Store) -> TrainingConfig:
    """The configuration with more epochs where a few would read few reviews."""
    chosen = config.data.rows
    reviews = ChosenRows(chosen, store).total if chosen else store.rows("train")
    enough = min(round(ENOUGH_REVIEWS / max(reviews, 1)), MOST_EPOCHS)
    return replace_flat(config, epochs=max(config.duration.epochs, enough))


def _check_store(config: TrainingConfig, store: Store) -> None:
    """Raise UserError for a store that lacks what the training needs."""
    path = config.files.store
    if store.rows("train") == 0:
        raise UserError(f"{path} has no training rows")
    labels = store.manifest["splits"]["train"]["labels"]
    if sum(map(bool, labels.values())) == 1 and not config.data.allow_one_class:
        only = max(labels, key=lambda name: labels[name])
        raise UserError(f"all training reviews of {path} are {only}: there is nothing to "
                        "learn; --allow-one-class trains all the same")
    chooses = config.keep.keep == "best" or config.duration.patience
    if chooses and store.rows("validation") == 0 and not config.data.validation_rows:
        raise UserError(f"{path} has no validation rows to find the best weights by: "
                        "give --keep last, without --patience")
    if isinstance(config.network, TransformerConfig):
        _check_encoder(config.network, store)
    if config.reads_features and not store.feature_names:
        raise UserError(f"{path} has no features for --model {config.model} to read: prepare it "
                        "with --features, or choose another model")


def _check_encoder(network: TransformerConfig, store: Store) -> None:
    """Raise UserError for an encoder that does not fit, or cannot be trained here."""
    if not network.encoder:
        raise UserError("--model transformer needs a pre-trained encoder: give --encoder FOLDER")
    layers = fitted_shape(Path(network.encoder), store).encoder_layers
    if network.train_layers > layers:
        raise UserError(f"--train-layers is {network.train_layers}, but {network.encoder} has "
                        f"{layers} layers")
    if importlib.util.find_spec("transformers") is None:
        raise UserError("--model transformer needs transformers: pip install "
                        "'reviewmill[transformers]'")


def _is_used(out: str) -> bool:
    """True where there is something in a run folder, on this disk or at an address.

    Raises UserError where none can be made, or written to; makes nothing.
    """
    if is_remote(out):
        return bool(names_below(out))
    _check_writable(out)
    folder = Path(out)
    return folder.is_dir() and any(not path.name.startswith(LOCK) for path in folder.iterdir())


def _check_writable(out: str) -> None:
    """Raise UserError where no run folder can be made, or written to; makes nothing."""
    try:
        there = next(path for path in (Path(out), *Path(out).absolute().parents) if path.exists())
    except OSError as error:
        raise UserError(f"--out is {out}: {reason(error)}") from None
    if not there.is_dir():
        raise UserError(f"--out is {out}: {there} is not a folder")
    if not os.access(there, os.W_OK | os.X_OK):
        raise UserError(f"--out is {out}: nothing can be written to {there}")


def _check_read(config: TrainingConfig, named: Mapping[str, Any]) -> None:
    """Raise UserError for a named option that the other choices leave without an effect."""
    others = unread(config) & {leaf.name for leaf in leaves(TrainingConfig)
                               if leaf.path[0] == "network"}
    for name in named:
        if name in others:
            ngrams = flatten(config.network).get("ngrams", 0)
            raise UserError(f"{flag(name)} is not read by --model {config.model} with --ngrams "
                            f"{ngrams}")
    keep = config.keep.keep
    if "keep_by" in named and keep != "best" and not config.duration.patience:
        raise UserError(f"--keep-by is for --keep best or --patience: --keep {keep} has no "
                        "use for it")
    # N-grams beside another model learn by adagrad, which reads eps, whatever that learns by.
    elsewhere = set() if config.view is None else {"eps"}
    check_conditions(config, set(named) - elsewhere)


def _with_vectors(
    config: TrainingConfig, store: Store, named: Mapping[str, Any]
) -> TrainingConfig:
    """The configuration with words as wide as the store's vectors, where it begins with those.

    Raises UserError if the store has none, or if another width was chosen.
    """
    width, words, path = store.vector_width, config.network, config.files.store
    if config.vectors is None or not isinstance(words, Words) or words.embedding_dim == width:
        return config
    if not width:
        raise UserError(f"{path} has no word vectors: prepare it with --vectors FILE")
    chosen = words.embedding_dim != type(words).embedding_dim
    if "embedding_dim" in named or (chosen and config.files.config != DEFAULT_CONFIG):
        raise UserError(f"--embedding-dim is {words.embedding_dim}, but the word vectors of "
                        f"{path} have {width} numbers: give --embedding-dim {width}")
    return replace_flat(config, embedding_dim=width)


def _with_classes(
    config: TrainingConfig, store: Store, named: Mapping[str, Any]
) -> TrainingConfig:
    """The configuration with a loss for the store's classes, and what is balanced as numbers.

    Raises UserError if what was named does not fit them.
    """
    classes, path = len(store.classes), config.files.store
    if config.loss.loss == "bce" and classes != 2:
        if "loss" in named:
            raise UserError(f"{path} has {classes} classes, and --loss bce is for two: "
                            "give --loss cross-entropy or focal")
        config = replace_flat(config, loss="cross-entropy")
    if config.loss.class_weights == "balanced":
        # As scikit-learn has it: the mean weight of a training review is 1.
        rows, labels = store.rows("train"), store.manifest["splits"]["train"]["labels"]
        weights = [rows / (classes * max(1, labels[name])) for name in store.classes]
        config = replace_flat(config, class_weights=",".join(map(repr, weights)))
    if config.data.oversample == "balanced":
        counts = [store.manifest["splits"]["train"]["labels"][name] for name in store.classes]
        times = [min(MOST_TIMES, round(max(counts) / max(1, count))) for count in counts]
        config = replace_flat(config, oversample=",".join(map(str, times)))
    repeats, weighted = config.data.times, config.loss.weights
    if repeats and len(repeats) != classes:
        raise UserError(f"--oversample has {len(repeats)} numbers, but {path} has {classes} "
                        "classes")
    if weighted and len(weighted) != classes:
        raise UserError(f"--class-weights has {len(weighted)} numbers, but {path} has {classes} "
                        "classes")
    return config


def layered(named: Mapping[str, Any], ranks: int = 1) -> TrainingConfig:
    """The model's defaults, over them those of --config, over them what was named; no store is
    looked at.

    Where neither --model nor --config is named, --config default is.
    """
    values: dict[str, Any] = {}
    if not named.get("config") and "model" not in named:
        named = {**named, "config": DEFAULT_CONFIG}
    where = named.get("config", "")
    if where in CONFIGS:
        values = CONFIGS[where]
    elif where:
        values = read_choices(Path(where))
    if named.get("batch_size_per_rank") and "batch_size" in named:
        raise UserError("--batch-size is over all ranks, --batch-size-per-rank for each: give one")
    if "batch_size" in named:
        values = {name: value for name, value in values.items() if name != "batch_size_per_rank"}
    model = named.get("model") or values.get("model", "lstm")
    owners = {leaf.name: leaf.option.only_if.get("model", RECORDS)
              for leaf in leaves(TrainingConfig) if leaf.option}
    for name in {**values, **named}:
        if model not in owners.get(name, RECORDS):
            raise UserError(f"{flag(name)} is for {', '.join(owners[name])}: --model {model} has "
                            "no such thing")
    defaults = RECORDS[model].training
    if where not in ("", *CONFIGS):
        checked = from_mapping(TrainingConfig, {**defaults, **values}, where)
        flat = flatten(checked)
        values = {name: flat[name] for name in values}
    values = {**defaults, **values, **named}
    if values.get("parallel") == "fsdp" and not values.get("shares"):
        values.setdefault("balance", "equal")
    config = TrainingConfig.of(**values)
    if not config.data.batch_size_per_rank:
        return config
    return replace_flat(config, batch_size=config.data.batch_size_per_rank * ranks)


def read_choices(file: Path) -> dict[str, Any]:
    """The options of a file that --config names; UserError where it has none of them."""
    if not file.is_file():
        raise UserError(f"--config {file} is neither a file nor one of {', '.join(CONFIGS)}")
    try:
        values = yaml.safe_load(file.read_text("utf-8")) or {}
    except (yaml.YAMLError, UnicodeDecodeError):
        raise UserError(f"--config {file} is not YAML") from None
    if not isinstance(values, dict) or values.get("model", "lstm") not in RECORDS:
        raise UserError(f"--config {file} is no mapping of options, or has no known model")
    return values


def _resumed(out: str, named: Mapping[str, Any]) -> TrainingConfig:
    file = join(out, CONFIG)
    try:
        values = yaml.safe_load(read_whole(file).decode("utf-8"))
    except (FileNotFoundError, IsADirectoryError):
        raise UserError(f"{out} has no run to resume: it has no {CONFIG}") from None
    except (yaml.YAMLError, UnicodeDecodeError):
        raise UserError(f"{file} is damaged: it is not YAML") from None
    before = from_mapping(TrainingConfig, values, str(file))
    config = replace_flat(before, **named)
    kept = flatten(before)
    for leaf in leaves(TrainingConfig):
        name = leaf.name
        old = kept.get(name, leaf.default)  # what other models have is there by default
        new = named.get(name, old)
        if leaf.option and leaf.option.fixed and old != new:
            raise UserError(f"{out} was trained with {flag(name)} {old}: it cannot be resumed "
                            f"with {new}")
    return config
