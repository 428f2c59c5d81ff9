"""Small encoders in the layout of Hugging Face, with random weights and a tokenizer."""

import random
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

# Special tokens in the order of their ids; what stands before a text, and behind it.
SPECIAL = {"bert": ["[PAD]", "[UNK]", "[CLS]", "[SEP]"],
           "roberta": ["<s>", "<pad>", "</s>", "<unk>"]}
AROUND = {"bert": ("[CLS]", "[SEP]"), "roberta": ("<s>", "</s>")}
KINDS = ("bert", "distilbert", "roberta")
WORDS = ["good", "bad", "fine", "awful", "tea", "cup", "very", "not", "it's", "broke", "again",
         "lovely", "nice", "!", ".", "café"]
POSITIONS = 130  # rows of the table of positions


def sentences(n: int, longest: int = 12, seed: int = 0) -> list[str]:
    """Texts of a few words."""
    rng = random.Random(seed)
    return [" ".join(rng.choices(WORDS, k=rng.randint(1, longest))) for _ in range(n)]


def make_encoder(folder: Path, kind: str = "bert", framed: bool = True, **shape: Any) -> Any:
    """A folder with config.json, model.safetensors and tokenizer.json; the model of transformers.

    framed: the tokenizer puts special ids around a text.
    """
    import transformers

    family = "roberta" if kind == "roberta" else "bert"
    tokenizer = _tokenizer(family, framed)
    folder.mkdir(parents=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    torch.manual_seed(9)
    common = {"vocab_size": tokenizer.get_vocab_size(), "max_position_embeddings": POSITIONS,
              "pad_token_id": 1 if family == "roberta" else 0}
    if kind == "distilbert":
        values = {**common, "dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 24, **shape}
        model = transformers.DistilBertModel(transformers.DistilBertConfig(**values))
    else:
        values = {**common, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
                  "intermediate_size": 24, "type_vocab_size": 2, **shape}
        if kind == "bert":
            model = transformers.BertModel(transformers.BertConfig(**values))
        else:
            model = transformers.RobertaModel(transformers.RobertaConfig(**values))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    model.save_pretrained(folder)
    return model.eval()


def _tokenizer(family: str, framed: bool) -> Tokenizer:
    """A tokenizer that is not trained: trainers break ties as they like."""
    special = SPECIAL[family]
    if family == "roberta":
        tokens = [*special, *sorted(pre_tokenizers.ByteLevel.alphabet()), "go", "od"]
        made = Tokenizer(models.BPE(_numbered(tokens), [("g", "o"), ("o", "d")]))
        made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    else:
        signs = sorted({sign for word in WORDS for sign in word.replace("é", "e")})
        tokens = [*special, *signs, *(f"##{sign}" for sign in signs), "good", "bad", "tea", "##ly"]
        made = Tokenizer(models.WordPiece(_numbered(tokens), unk_token="[UNK]"))
        made.normalizer = normalizers.BertNormalizer()
        made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.add_special_tokens(special)
    if framed:
        before, behind = AROUND[family]
        made.post_processor = processors.TemplateProcessing(
            single=f"{before} $A {behind}",
            special_tokens=[(name, made.token_to_id(name)) for name in (before, behind)])
    return made


def _numbered(tokens: list[str]) -> dict[str, int]:
    return {token: number for number, token in enumerate(tokens)}
