"""Pre-trained encoder with a head of two layers: options, tensors and ONNX graph."""

from dataclasses import dataclass, field

from models.encoder import EncoderShape, encoder_tensors, first_states
from models.graphs.graph import Graph
from models.options import ModelConfig, ModelOptions
from models.record import ModelRecord, Shapes
from reviews.options import Search, option, with_default

HEAD_WIDTH = 256


@dataclass(frozen=True)
class TransformerConfig(ModelConfig):
    """Options of transformer; the encoder's folder has its shape."""

    dropout: float = with_default(ModelConfig, "dropout", 0.2)
    encoder: str = option(
        "", "folder of a pre-trained encoder in the layout of Hugging Face: config.json, "
        "model.safetensors, tokenizer.json", fixed=True, training_only=True)
    train_layers: int = option(
        0, "number of the encoder's last layers that are trained beside the head; 0: all layers",
        at_least=0, fixed=True, training_only=True)
    layer_decay: float = option(
        1.0, "factor of the learning rate from one of the encoder's layers to that before it",
        above=0, at_most=1, search=Search(low=0.7, high=1), training_only=True)
    activation_checkpointing: bool = option(
        False, "compute activations inside the encoder's layers again in the backward pass, "
        "instead of keeping them: less memory, more time", training_only=True)

    def with_shape(self, shape: EncoderShape) -> "TransformerNetwork":
        """The same, and the encoder's shape."""
        return TransformerNetwork(**vars(self), shape=shape)


@dataclass(frozen=True)
class TransformerNetwork(TransformerConfig):
    """Options of transformer and the shape of its encoder, of which it is built."""

    shape: EncoderShape = field(kw_only=True)

    @property
    def depth(self) -> int:
        """Number of the encoder's layers."""
        return self.shape.encoder_layers


def _tensors(options: ModelOptions[TransformerNetwork]) -> Shapes:
    shape = options.network.shape
    return {
        **encoder_tensors(shape, options.vocabulary_size),
        "hidden.weight": (HEAD_WIDTH, shape.width), "hidden.bias": (HEAD_WIDTH,),
        "output.weight": (options.outputs, HEAD_WIDTH), "output.bias": (options.outputs,),
    }


def _graph(graph: Graph, options: ModelOptions[TransformerNetwork]) -> str:
    states = first_states(graph, options.network.shape)
    hidden = graph.node("Relu", graph.linear(states, "hidden"))
    return graph.linear(hidden, "output")


TRANSFORMER = ModelRecord(
    TransformerConfig, _tensors, _graph, int8=True, built=TransformerNetwork,
    training={"optimizer": "adamw", "learning_rate": 2e-5, "weight_decay": 0.01,
              "warmup_fraction": 0.1, "schedule": "constant", "batch_size": 32,
              "clip_norm": 1.0, "micro_batch_tokens": 1024})
