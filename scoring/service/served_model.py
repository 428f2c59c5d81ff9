"""A loaded model behind a queue, and its answers to calls."""

import asyncio
import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from fastapi import Request

from reviews.metrics import probabilities
from scoring.encode import EncodedTexts
from scoring.explain.words import effects, without_each, words_of
from scoring.predictor import Predictor
from scoring.service.batcher import Batcher, Counts, Overloaded, find_budget
from scoring.service.calls import Refused, disconnected

Array = np.ndarray
EXPLAINED = 1 << 22  # characters that are scored to explain the texts of a call
WAITING_ROWS, WAITING_BATCHES = 4096, 100  # what may wait for the model


def busy() -> Refused:
    """The refusal of a call for which there is no room."""
    return Refused(429, "too many texts are waiting", **{"Retry-After": "1"})


@dataclass(frozen=True)
class Asked:
    """Texts of a call that wait for a model."""

    model: "ServedModel"
    rows: EncodedTexts
    found: asyncio.Future[Array]  # probabilities to come; cancelling drops what is not computed yet

    def answer(self) -> dict[str, Any]:
        """The answer to /v1/score, of what has been found; raises what went wrong."""
        found = self.found.result()
        return self.model.answer(self.model.results(self.rows, found))


class ServedModel:
    """A model and its queue; its calls belong to one loop."""

    def __init__(self, name: str, predictor: Predictor, counts: Counts | None = None) -> None:
        """counts: those that go on, of a model in whose place this one is."""
        self.name, self.predictor = name, predictor
        budget = find_budget(self._predict, predictor.encoder.coding.unknown,
                             predictor.bundle.recipe.encoding.length)
        self.batcher = Batcher(self._predict, budget, WAITING_ROWS, WAITING_BATCHES * budget,
                               counts, in_loop=len(os.sched_getaffinity(0)) == 1)

    def _predict(self, rows: EncodedTexts) -> Array:
        return probabilities(self.predictor.model.logits(rows))

    def describe(self) -> dict[str, Any]:
        """Description of the model for clients: name, classes, length and sha256 of the weights."""
        bundle = self.predictor.bundle
        return {"name": self.name, "model": bundle.model["options"]["model"],
                "classes": self.predictor.classes, "length": bundle.recipe.encoding.length,
                "sha256": bundle.digest}

    def ask(self, texts: list[str]) -> Asked:
        """Have texts computed; Refused where there is no room for them."""
        rows = self.predictor.encoder.encode(pa.array(texts, pa.string()))
        try:
            return Asked(self, rows, self.batcher.submit(rows))
        except Overloaded:
            raise busy() from None

    async def score(self, request: Request, texts: list[str]) -> dict[str, Any]:
        """The answer to /v1/score."""
        asked = self.ask(texts)
        await unless_gone(request, asked.found)
        return asked.answer()

    async def explain(self, request: Request, texts: list[str]) -> dict[str, Any]:
        """The answer to /v1/explain: each text's words and how far they moved it."""
        words = [words_of(text) for text in texts]
        # Each text is scored once more for each of its words.
        if sum(len(text) * len(some) for text, some in zip(texts, words, strict=True)) > EXPLAINED:
            raise Refused(413, "too long to explain; give fewer or shorter texts")
        made = [without_each(text, some) for text, some in zip(texts, words, strict=True)]
        asked = self.ask([text for some in made for text in some])
        found = await unless_gone(request, asked.found)
        ends = np.cumsum([len(some) for some in made])
        firsts = ends - [len(some) for some in made]
        results = self.results(asked.rows.take(firsts), found[firsts])
        for result, some, first, end in zip(results, words, firsts, ends, strict=True):
            moved = effects(found[first:end])
            result["words"] = [
                {"start": word.start, "end": word.end, "effect": round(float(effect), 6)}
                for word, effect in zip(some, moved, strict=True)]
        return self.answer(results)

    def answer(self, results: list[dict[str, Any]]) -> dict[str, Any]:
        """The whole of an answer."""
        return {"model": self.name, "classes": self.predictor.classes, "results": results}

    def results(self, rows: EncodedTexts, found: Array) -> list[dict[str, Any]]:
        """One object for each text."""
        classes = self.predictor.classes
        numbers = zip(found.argmax(1).tolist(), found.tolist(), rows.n_words.tolist(),
                      rows.n_cut.tolist(), strict=True)
        return [{"label": classes[best], "probabilities": dict(zip(classes, row, strict=True)),
                 "n_words": words, "n_cut": cut} for best, row, words, cut in numbers]


async def unless_gone(request: Request, found: asyncio.Future[Array]) -> Array:
    """Probabilities of a call's texts; Refused where the client goes before they are there."""
    gone = asyncio.ensure_future(disconnected(request))
    gone.add_done_callback(lambda _: found.cancel())
    try:
        return await found
    except asyncio.CancelledError:
        if gone.done():
            raise Refused(499, "the client has gone") from None
        raise
    finally:
        gone.cancel()
        found.cancel()
