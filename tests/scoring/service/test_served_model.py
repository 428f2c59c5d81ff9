"""A model behind its queue: whose client leaves is answered nothing, and computed no further."""

import asyncio
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi import Request

from scoring import load
from scoring.encode import EncodedTexts
from scoring.service.calls import Refused
from scoring.service.served_model import ServedModel


class Gated:
    """A model that computes only while its gate is open."""

    def __init__(self) -> None:
        self.gate, self.begun = threading.Event(), threading.Event()

    def logits(self, rows: EncodedTexts, features: np.ndarray | None = None) -> np.ndarray:
        self.begun.set()
        assert self.gate.wait(60)
        return np.zeros((len(rows.lengths), 1), np.float32)


def request_that(leaves: bool) -> Request:
    async def receive() -> dict[str, Any]:
        if not leaves:
            await asyncio.Event().wait()
        return {"type": "http.disconnect"}

    return Request({"type": "http"}, receive)


def test_a_call_whose_client_leaves_is_dropped_and_others_are_answered(model: Path) -> None:
    async def steps() -> None:
        served = ServedModel("a", load(str(model)))
        gated = served.predictor.model = Gated()
        served.batcher.start()
        stays = asyncio.ensure_future(served.score(request_that(leaves=False), ["tea"]))
        await asyncio.to_thread(gated.begun.wait, 60)
        with pytest.raises(Refused) as refused:
            await served.score(request_that(leaves=True), ["good", "bad"])
        assert refused.value.status == 499
        gated.gate.set()
        assert len((await stays)["results"]) == 1
        await served.score(request_that(leaves=False), ["cup"])
        assert served.batcher.counts.left == 2
        assert served.batcher.counts.texts == 2
        await served.batcher.stop()

    asyncio.run(steps())


def test_the_end_of_the_server_is_no_departure_of_the_client(model: Path) -> None:
    async def steps() -> None:
        served = ServedModel("a", load(str(model)))
        waiting = asyncio.ensure_future(served.score(request_that(leaves=False), ["tea"]))
        await asyncio.sleep(0)  # it has submitted its text
        await served.batcher.stop()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(steps())
