"""Token rows -> logits, by kernels (bag, LSTM of one layer) or by ONNX Runtime. Any thread may
call it."""

from dataclasses import replace
from itertools import pairwise
from typing import Any, Protocol

import numpy as np

from models.graphs.graph import INPUTS
from models.micro_batches import micro_batches
from models.options import ModelOptions, Ngrams
from models.records import check_shapes, options_of
from models.recurrent import RecurrentConfig
from models.transformer import TransformerNetwork
from reviews.bundle import ONNX, Bundle, read_bundle
from reviews.errors import UserError
from reviews.text.ngrams import find_rows, mean_rows, padded_rows, row_counts
from scoring.encode import EncodedTexts
from scoring.lstm import columns_of, directions_of
from scoring.onnx_check import check_onnx

Array = np.ndarray
BATCH_TOKENS = 8192  # padded ids of one call of ONNX Runtime
ENCODER_BATCH_TOKENS = 512  # of an encoder, whose layers are wide: they stay in a core's cache


class Model(Protocol):
    """A model: logits of rows."""

    def logits(self, rows: EncodedTexts, features: Array | None = None) -> Array:
        """(n, C) float32 for rows, and features (n, F) float32 of a model that reads some."""


def load_model(path: str, threads: int = 1) -> tuple[Bundle, Model]:
    """A bundle, or that of a run, and what computes its logits."""
    bundle = read_bundle(path, weights=False)
    options = options_of(bundle)
    _check_names(bundle, options)
    temperature = bundle.temperature
    bundle, model = _untempered(path, bundle, options, threads)
    return bundle, model if temperature == 1 else Tempered(model, temperature)


class Tempered:
    """A model whose logits are divided by its temperature."""

    def __init__(self, model: Model, temperature: float) -> None:
        self._model, self._temperature = model, np.float32(temperature)

    def logits(self, rows: EncodedTexts, features: Array | None = None) -> Array:
        """As Model."""
        found: Array = self._model.logits(rows, features) / self._temperature
        return found


def _untempered(
    path: str, bundle: Bundle, options: ModelOptions[Any], threads: int
) -> tuple[Bundle, Model]:
    """The bundle without the weights, and what computes its logits as the weights have them."""
    one_layer = options.model == "lstm" and options.network.depth == 1
    if not bundle.graph_alone and (options.model == "bag" or one_layer):
        bundle = read_bundle(path)
        check_shapes(bundle, options)
        kernel = LstmModel if one_layer else BagModel
        return replace(bundle, weights={}), kernel(bundle.weights, options)
    if ONNX not in bundle.files:
        raise UserError(f"{bundle.path} has no {ONNX}; `reviewmill export {path}` writes it")
    return bundle, OnnxModel(bundle.read(ONNX), f"{bundle.path}/{ONNX}", options, threads)


def _check_names(bundle: Bundle, options: ModelOptions[Any]) -> None:
    """Raise UserError where the names of classes and features are not what the model needs."""
    classes: Any = bundle.model.get("classes")
    features: Any = bundle.model.get("features", [])
    for names in (classes, features):
        if not isinstance(names, list) or not all(map(_is_name, names)):
            raise UserError(f"{bundle.path}/model.json: no names of classes or features")
    fits = options.outputs > 0 and len(classes) == max(2, options.outputs)
    if len({*classes}) != len(classes) or not fits:
        raise UserError(f"{bundle.path}/model.json: {len(classes)} classes do not fit the "
                        f"model's {options.outputs} outputs")
    if len(features) != options.features:
        raise UserError(f"{bundle.path}/model.json: {len(features)} names of features do not fit "
                        f"the {options.features} that the model reads")


def _is_name(value: Any) -> bool:
    """True for a text that can be written as UTF-8."""
    return isinstance(value, str) and value.encode(errors="ignore").decode() == value


class BagModel:
    """A bag: the mean over a review's rows of what each adds to the logits."""

    def __init__(
        self, weights: dict[str, Array], options: ModelOptions[Ngrams], prefix: str = ""
    ) -> None:
        """prefix: of the tensors' names, for a bag beside another model."""
        self._options = options
        output = weights[f"{prefix}output.weight"].astype(np.float32)
        table = weights[f"{prefix}table.weight"].astype(np.float32, copy=False)
        self._table = np.ascontiguousarray(table @ output.T)
        self._bias = weights[f"{prefix}output.bias"].astype(np.float32)

    def logits(self, rows: EncodedTexts, features: Array | None = None) -> Array:
        """As Model; no reviews are padded."""
        options = self._options
        config = options.network
        ends = np.cumsum(row_counts(rows.lengths, config.ngrams))
        found = np.empty(int(ends[-1]) if len(ends) else 0, np.int32)
        find_rows(rows.tokens, rows.lengths, options.vocabulary_size, config.ngrams,
                  config.buckets, found, np.concatenate([[0], ends[:-1]]))
        means = np.empty((len(ends), self._table.shape[1]), np.float32)
        mean_rows(found, ends, self._table, means)
        means += self._bias
        return means


class LstmModel:
    """An LSTM of one layer in one or two directions, with or without a bag beside it."""

    def __init__(
        self, weights: dict[str, Array], options: ModelOptions[RecurrentConfig]
    ) -> None:
        self._directions = directions_of(weights, options)
        self._columns = columns_of(
            options.network.pooling, options.network.hidden_dim, len(self._directions))
        self._output = weights["output.weight"].astype(np.float32).T
        self._bias = weights["output.bias"].astype(np.float32)
        self._bag = BagModel(weights, options, "ngrams.") if options.table else None

    def logits(self, rows: EncodedTexts, features: Array | None = None) -> Array:
        """As Model; no reviews are padded."""
        order = np.argsort(-rows.lengths, kind="stable")
        pooled = np.empty((len(order), len(self._output)), np.float32)
        for number, direction in enumerate(self._directions):
            direction.read(rows.tokens, rows.lengths, order, number == 1, self._columns[number],
                           pooled)
        found: Array = pooled @ self._output + self._bias
        return found if self._bag is None else (found + self._bag.logits(rows)) / 2


class OnnxModel:
    """A session of ONNX Runtime, fed batches of reviews of about the same length."""

    def __init__(
        self, file: bytes, where: str, options: ModelOptions[Any], threads: int
    ) -> None:
        check_onnx(file, where)
        self._session = open_session(file, where, threads)
        self._inputs = [one.name for one in self._session.get_inputs()]
        if unknown := set(self._inputs) - set(INPUTS):
            raise UserError(f"{where} is refused: it reads {min(unknown)!r}")
        if "rows" in self._inputs and options.table is None:
            raise UserError(f"{where} does not fit model.json: it reads n-grams")
        self._options, self._where = options, where

    def logits(self, rows: EncodedTexts, features: Array | None = None) -> Array:
        """As Model, in batches sorted by length."""
        order = np.argsort(rows.lengths, kind="stable")
        out = np.empty((len(order), self._options.outputs), np.float32)
        encodes = isinstance(self._options.network, TransformerNetwork)
        tokens = ENCODER_BATCH_TOKENS if encodes else BATCH_TOKENS
        for first, last in pairwise(micro_batches(rows.lengths[order], tokens)):
            some = order[first:last]
            out[some] = self.run_batch(rows.tokens[some], rows.lengths[some],
                                  None if features is None else features[some])
        return out

    def run_batch(
        self, tokens: Array, lengths: Array, features: Array | None = None
    ) -> Array:
        """Logits (n, C) of one batch."""
        options = self._options
        given: dict[str, Array] = {"lengths": lengths}
        if "tokens" in self._inputs:
            given["tokens"] = tokens[:, : lengths.max()].astype(np.int32)
        if (table := options.table) and "rows" in self._inputs:
            given["rows"], given["row_weights"] = padded_rows(
                tokens, lengths, options.vocabulary_size, table.ngrams, table.buckets)
        if features is not None:
            given["features"] = features
        feed = {name: given[name] for name in self._inputs}
        try:
            logits: Array = self._session.run(None, feed)[0]
        except _runtime_errors() as error:
            raise _refusal(self._where, error) from None
        if logits.shape != (len(lengths), options.outputs):
            raise UserError(f"{self._where}: logits of the shape {logits.shape}")
        return logits


def open_session(file: bytes, where: str, threads: int) -> Any:
    """A session on the CPU that computes in the calling thread and `threads - 1` others."""
    try:
        import onnxruntime
    except ImportError:
        raise UserError(
            f"{where} needs onnxruntime: pip install 'reviewmill[score]'") from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    # Threads that wait for the next call would take the cores of others.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.set_denormal_as_zero", "1")
    options.log_severity_level = 4  # errors become exceptions
    try:
        return onnxruntime.InferenceSession(
            file, options, providers=["CPUExecutionProvider"])
    except _runtime_errors() as error:
        raise _refusal(where, error) from None


def _runtime_errors() -> tuple[type[Exception], ...]:
    """Exceptions of ONNX Runtime for a graph that it cannot run."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    return (state.Fail, state.InvalidArgument, state.InvalidGraph, state.InvalidProtobuf,
            state.NotImplemented, state.RuntimeException)


def _refusal(where: str, error: Exception) -> UserError:
    return UserError(
        f"{where}: ONNX Runtime refuses it: " + " ".join(str(error).split())[:200])
