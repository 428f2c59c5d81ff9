"""Bundle of a run: the model, its description and its card."""

from typing import Any

from models.options import ModelOptions
from models.records import can_export, onnx_file, options_mapping
from models.transformer import TransformerNetwork
from mpi_train.configuration.config import TrainingConfig
from reviews.bundle import write_bundle
from reviews.options import leaves
from reviews.store import Store


def save_model(
    config: TrainingConfig, options: ModelOptions[Any], weights: dict[str, Any], store: Store,
    figures: dict[str, Any] | None,
) -> None:
    """Write the bundle of a run with weights (arrays by name), in place of an earlier one."""
    description = {
        "options": options_mapping(options),
        "classes": store.classes,
        "length": store.length,
        "features": store.feature_names if config.reads_features else [],
        "feature_encoding": store.feature_encoding if config.reads_features else [],
        "store": store.fingerprint,
        "seed": config.run.seed,
        "validation": figures,
    }
    card = model_card(config, options, store, figures)
    write_bundle(config.files.folder / "model", weights, description, store.recipe.to_yaml(),
                 store.vocabulary_file, card, store.tokenizer_file, _onnx(options, weights))


def _onnx(options: ModelOptions[Any], weights: dict[str, Any]) -> bytes | None:
    """The model as ONNX; None where it would be too large, or onnx is not installed."""
    if not can_export():
        return None
    try:
        return onnx_file(options, weights)
    except ValueError:
        return None


def model_card(
    config: TrainingConfig, options: ModelOptions[Any], store: Store, figures: dict[str, Any] | None
) -> str:
    """card.md: what the model is, what it was trained on, how good it was."""
    accuracy = (
        f"{figures['accuracy']:.2%} on {figures['n']:,} validation reviews" if figures
        else "not measured"
    )
    begun = ""
    if config.vectors is not None:
        begun = (f"- Words began with given vectors of {store.vector_width} numbers"
                 f"{', which were kept' if config.vectors.freeze_vectors else ''}.\n")
    kept = options_mapping(options)
    shown = {leaf.name: kept[leaf.name] for leaf in leaves(type(options.network))
             if leaf.option and leaf.name != "dropout" and kept.get(leaf.name)}
    shape = ", ".join([options.model, *(
        name.replace("_", " ") + (f" {value}" if value is not True else "")
        for name, value in shown.items())])
    if isinstance(options.network, TransformerNetwork):
        encoder = options.network.shape
        shape += (f", {encoder.architecture} of {encoder.encoder_layers} layers of "
                  f"{encoder.width}")
    return (
        f"# Sentiment of reviews\n\n"
        f"Says whether a review is {' or '.join(store.classes)}.\n\n"
        f"- Model: {shape}.\n"
        f"- Trained on {store.rows('train'):,} reviews (store {store.fingerprint[:16]}), "
        f"seed {config.run.seed}.\n"
        f"{begun}"
        f"- Knows {store.vocabulary_size:,} word ids, reads {store.length} words of a review.\n"
        f"- Accuracy: {accuracy}.\n\n"
        "It learned from the ratings that people gave. It knows no other language, kind of "
        "product or time than theirs.\n"
    )
