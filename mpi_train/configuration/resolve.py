"""From the options that a user named to the configuration of a start."""

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from models.options import OWN_OPTIONS, unread
from mpi_train.configuration.config import MOST_TIMES, TrainingConfig
from mpi_train.configuration.presets import CONFIGS, DEFAULT_CONFIG, MODEL_DEFAULTS
from reviews.errors import UserError
from reviews.options import check_conditions, flag, from_mapping, leaves
from reviews.run_folder import LOCK
from reviews.storage.files import is_remote, reason
from reviews.store import Store


def resolve(named: Mapping[str, Any], ranks: int = 1) -> TrainingConfig:
    """The configuration of a start on so many ranks, from the options that the user named.

    A resumed run takes what is not named from its config.yaml, its batch size too; where --out is
    absent or empty, the same command line starts the run, as a job that is requeued needs it.
    Raises UserError for anything that would end the run later anyway: a folder that is in
    use, a store that is not one or has nothing to train on, a resume that changes the plan.
    """
    if named.get("rows"):
        named = {**named, "rows": os.path.abspath(named["rows"])}
    if not named.get("out"):
        raise UserError("name the run folder to write with --out")
    out = Path(named["out"])
    _check_writable(named["out"])
    used = out.is_dir() and any(not path.name.startswith(LOCK) for path in out.iterdir())
    if named.get("resume") and not used and not named.get("store"):
        raise UserError(f"{out} has no run to resume: name a store to start one")
    if named.get("resume") and used:
        config = _resumed(out, named)
    else:
        config = layered(named, ranks)
        if used and not config.overwrite:
            raise UserError(f"{out} is not empty: give --resume, --overwrite, or another --out")
    if not config.store:
        raise UserError("name the store to train on")
    # A run is resumed and reported from other folders too.
    if not is_remote(config.store):
        config = dataclasses.replace(config, store=os.path.abspath(config.store))
    store = Store(config.store)
    if store.rows("train") == 0:
        raise UserError(f"{config.store} has no training rows")
    labels = store.manifest["splits"]["train"]["labels"]
    if sum(map(bool, labels.values())) == 1 and not config.allow_one_class:
        only = max(labels, key=lambda name: labels[name])
        raise UserError(f"all training reviews of {config.store} are {only}: there is nothing to "
                        "learn; --allow-one-class trains all the same")
    if (config.keep == "best" or config.patience) and store.rows("validation") == 0:
        raise UserError(f"{config.store} has no validation rows to find the best weights by: "
                        "give --keep last, without --patience")
    if config.reads_features and not store.feature_names:
        raise UserError(f"{config.store} has no features for --model mlp to read: prepare it with "
                        "--features, or choose another model")
    _check_read(config, named)
    return _with_classes(_with_vectors(config, store, named), store, named)


def _check_writable(out: str) -> None:
    """Raise UserError where no run folder can be made, or written to; makes nothing."""
    if is_remote(out):
        raise UserError(f"--out is {out}: a run folder is one of this machine")
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
    others = unread(config.model, config.ngrams)
    for name in named:
        if name in others:
            raise UserError(f"{flag(name)} is not read by --model {config.model} with --ngrams "
                            f"{config.ngrams}")
    if "keep_by" in named and config.keep != "best" and not config.patience:
        raise UserError(f"--keep-by is for --keep best or --patience: --keep {config.keep} has no "
                        "use for it")
    # N-grams beside another model learn by adagrad, which reads eps, whatever that learns by.
    elsewhere = set() if "ngram_rate" in others else {"eps"}
    check_conditions(config, set(named) - elsewhere)


def _with_vectors(
    config: TrainingConfig, store: Store, named: Mapping[str, Any]
) -> TrainingConfig:
    """The configuration with words as wide as the store's vectors, where it begins with those.

    Raises UserError if the store has none, or if another width was chosen.
    """
    width = store.vector_width
    if config.word_vectors == "none" or config.embedding_dim == width:
        return config
    if not width:
        raise UserError(f"{config.store} has no word vectors: prepare it with --vectors FILE")
    chosen = config.embedding_dim != TrainingConfig.embedding_dim
    if "embedding_dim" in named or (chosen and config.config != DEFAULT_CONFIG):
        raise UserError(f"--embedding-dim is {config.embedding_dim}, but the word vectors of "
                        f"{config.store} have {width} numbers: give --embedding-dim {width}")
    return dataclasses.replace(config, embedding_dim=width)


def _with_classes(
    config: TrainingConfig, store: Store, named: Mapping[str, Any]
) -> TrainingConfig:
    """The configuration with a loss for the store's classes, and what is balanced as numbers.

    Raises UserError if what was named does not fit them.
    """
    classes = len(store.classes)
    if config.loss == "bce" and classes != 2:
        if "loss" in named:
            raise UserError(f"{config.store} has {classes} classes, and --loss bce is for two: "
                            "give --loss cross-entropy or focal")
        config = dataclasses.replace(config, loss="cross-entropy")
    if config.class_weights == "balanced":
        # As scikit-learn has it: the mean weight of a training review is 1.
        rows, labels = store.rows("train"), store.manifest["splits"]["train"]["labels"]
        weights = [rows / (classes * max(1, labels[name])) for name in store.classes]
        config = dataclasses.replace(config, class_weights=",".join(map(repr, weights)))
    if config.oversample == "balanced":
        counts = [store.manifest["splits"]["train"]["labels"][name] for name in store.classes]
        times = [min(MOST_TIMES, round(max(counts) / max(1, count))) for count in counts]
        config = dataclasses.replace(config, oversample=",".join(map(str, times)))
    if config.times and len(config.times) != classes:
        raise UserError(f"--oversample has {len(config.times)} numbers, but {config.store} has "
                        f"{classes} classes")
    if config.weights and len(config.weights) != classes:
        raise UserError(f"--class-weights has {len(config.weights)} numbers, but "
                        f"{config.store} has {classes} classes")
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
        values = _read_choices(Path(where))
    if named.get("batch_size_per_rank") and "batch_size" in named:
        raise UserError("--batch-size is over all ranks, --batch-size-per-rank for each: give one")
    if "batch_size" in named:
        values = {name: value for name, value in values.items() if name != "batch_size_per_rank"}
    model = named.get("model") or values.get("model", "lstm")
    for name in {**values, **named}:
        owners = [owner for owner, own in OWN_OPTIONS.items() if name in own]
        if owners and model not in owners:
            raise UserError(f"{flag(name)} is for {', '.join(owners)}: --model {model} has no "
                            "such thing")
    defaults = MODEL_DEFAULTS[model]
    if where not in ("", *CONFIGS):
        checked = from_mapping(TrainingConfig, {**defaults, **values}, where)
        values = {name: getattr(checked, name) for name in values}
    config = TrainingConfig(**{**defaults, **values, **named})
    if not config.batch_size_per_rank:
        return config
    return dataclasses.replace(config, batch_size=config.batch_size_per_rank * ranks)


def _read_choices(file: Path) -> dict[str, Any]:
    if not file.is_file():
        raise UserError(f"--config {file} is neither a file nor one of {', '.join(CONFIGS)}")
    try:
        values = yaml.safe_load(file.read_text("utf-8")) or {}
    except (yaml.YAMLError, UnicodeDecodeError):
        raise UserError(f"--config {file} is not YAML") from None
    if not isinstance(values, dict) or values.get("model", "lstm") not in OWN_OPTIONS:
        raise UserError(f"--config {file} is no mapping of options, or has no known model")
    return values


def _resumed(out: Path, named: Mapping[str, Any]) -> TrainingConfig:
    file = out / "config.yaml"
    if not file.is_file():
        raise UserError(f"{out} has no run to resume: it has no config.yaml")
    try:
        values = yaml.safe_load(file.read_text("utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError):
        raise UserError(f"{file} is damaged: it is not YAML") from None
    before = from_mapping(TrainingConfig, values, str(file))
    config = dataclasses.replace(before, **named)
    for name in [leaf.name for leaf in leaves(TrainingConfig) if leaf.option and leaf.option.fixed]:
        old, new = getattr(before, name), getattr(config, name)
        if old != new:
            raise UserError(f"{out} was trained with {flag(name)} {old}: it cannot be resumed "
                            f"with {new}")
    return config
