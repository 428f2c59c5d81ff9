"""Batches take what waits; a full queue refuses; who has left is not computed."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import numpy as np
import pytest

from scoring.encode import EncodedTexts
from scoring.service.batcher import Batcher, Overloaded, find_budget


def rows_of(*lengths: int) -> EncodedTexts:
    """Rows whose first id is their length."""
    sizes = np.array(lengths, np.int32)
    tokens = np.zeros((len(sizes), 64), np.uint16)
    tokens[:, 0] = sizes
    return EncodedTexts(tokens, sizes, sizes, sizes)


class Model:
    """Answers the first id of each row; it computes only while its gate is open."""

    def __init__(self) -> None:
        self.gate, self.batches = threading.Event(), list[list[int]]()
        self.begun = threading.Semaphore(0)

    def __call__(self, rows: EncodedTexts) -> np.ndarray:
        self.batches.append(rows.lengths.tolist())
        self.begun.release()
        assert self.gate.wait(60)
        if 13 in rows.lengths:
            raise ArithmeticError("13")
        return rows.tokens[:, :1].astype(np.float32)


def run(steps: Callable[[Batcher, Model], Coroutine[Any, Any, None]], budget: int = 40,
        most_rows: int = 1000, most_ids: int = 10_000) -> Model:
    """Run steps with a batcher whose model waits at its gate."""
    model = Model()

    async def all_steps() -> None:
        batcher = Batcher(model, budget, most_rows, most_ids)
        batcher.start()
        await steps(batcher, model)
        model.gate.set()
        await batcher.stop()

    asyncio.run(all_steps())
    return model


async def busy(batcher: Batcher, model: Model) -> asyncio.Future[np.ndarray]:
    """A call that the model has begun to compute."""
    answer = batcher.submit(rows_of(1))
    await asyncio.get_running_loop().run_in_executor(None, model.begun.acquire)
    return answer


def test_what_waits_while_the_model_computes_goes_together_up_to_the_budget() -> None:
    async def steps(batcher: Batcher, model: Model) -> None:
        answers = [await busy(batcher, model)]
        answers += [batcher.submit(rows_of(*lengths)) for lengths in ((3, 4), (5,), (20, 2), (6,))]
        model.gate.set()
        found = [answer.tolist() for answer in await asyncio.gather(*answers)]
        assert found == [[[1]], [[3], [4]], [[5]], [[20], [2]], [[6]]]

    # The fourth call is cut: more than 33 ids do not go together.
    assert run(steps, budget=33).batches == [[1], [3, 4, 5, 20], [2, 6]]


def test_a_lone_call_does_not_wait() -> None:
    async def steps(batcher: Batcher, model: Model) -> None:
        model.gate.set()
        assert (await batcher.submit(rows_of(7))).tolist() == [[7]]

    assert run(steps).batches == [[7]]


def test_a_call_larger_than_the_budget_is_computed_in_several_batches() -> None:
    async def steps(batcher: Batcher, model: Model) -> None:
        model.gate.set()
        found = await batcher.submit(rows_of(*[10] * 9, 60))
        assert found[:, 0].tolist() == [10] * 9 + [60]

    assert run(steps).batches == [[10] * 4, [10] * 4, [10], [60]]


def test_an_empty_call_is_answered() -> None:
    async def steps(batcher: Batcher, model: Model) -> None:
        model.gate.set()
        assert len(await batcher.submit(rows_of())) == 0

    run(steps)


@pytest.mark.parametrize("bounds", [{"most_rows": 3}, {"most_ids": 30}])
def test_a_full_queue_refuses_until_it_has_room(bounds: dict[str, int]) -> None:
    async def steps(batcher: Batcher, model: Model) -> None:
        first = await busy(batcher, model)
        waiting = batcher.submit(rows_of(10, 10))  # of any size where nothing waits
        with pytest.raises(Overloaded):
            batcher.submit(rows_of(10, 5))
        assert batcher.counts.refused == 2
        model.gate.set()
        await asyncio.gather(first, waiting)
        assert len(await batcher.submit(rows_of(10, 5))) == 2

    run(steps, **bounds)


def test_after_a_refusal_a_tenth_of_the_queue_becomes_free_before_calls_are_looked_at() -> None:
    async def steps(batcher: Batcher, model: Model) -> None:
        answers = [await busy(batcher, model)]
        answers += [batcher.submit(rows_of(10)) for _ in range(10)]
        assert not batcher.full  # nothing has been refused yet
        with pytest.raises(Overloaded):
            batcher.submit(rows_of(10))
        answers[-1].cancel()
        assert batcher.full  # the row is dropped when its turn comes
        model.gate.set()
        await asyncio.gather(*answers[:-1])
        assert not batcher.full
        assert batcher.waiting_rows == 0

    run(steps, budget=10, most_rows=10)


def test_texts_of_a_client_that_left_are_not_computed() -> None:
    async def steps(batcher: Batcher, model: Model) -> None:
        first = await busy(batcher, model)
        gone, other = batcher.submit(rows_of(9, 9)), batcher.submit(rows_of(4))
        gone.cancel()
        model.gate.set()
        assert (await other).tolist() == [[4]]
        await first
        assert batcher.counts.left == 2

    assert run(steps).batches == [[1], [4]]


def test_an_error_reaches_the_calls_of_its_batch_alone() -> None:
    async def steps(batcher: Batcher, model: Model) -> None:
        first = await busy(batcher, model)
        wrong, other = batcher.submit(rows_of(13)), batcher.submit(rows_of(30))
        model.gate.set()
        with pytest.raises(ArithmeticError):
            await wrong
        assert (await other).tolist() == [[30]]
        await first
        assert batcher.runs

    run(steps)


def test_the_end_cancels_what_waits() -> None:
    async def steps(batcher: Batcher, model: Model) -> None:
        await busy(batcher, model)
        waiting = batcher.submit(rows_of(2))
        stopping = asyncio.ensure_future(batcher.stop())
        model.gate.set()
        await stopping
        assert not batcher.runs
        assert waiting.cancelled() or waiting.done()

    run(steps)


def test_without_a_thread_what_has_come_goes_together_and_an_error_stays_in_its_batch() -> None:
    async def steps() -> None:
        model = Model()
        model.gate.set()
        batcher = Batcher(model, 40, 1000, 10_000, in_loop=True)
        assert not batcher.runs
        batcher.start()
        answers = [batcher.submit(rows_of(*lengths)) for lengths in ((3, 4), (5,), (20, 2, 30))]
        found = [answer.tolist() for answer in await asyncio.gather(*answers)]
        assert found == [[[3], [4]], [[5]], [[20], [2], [30]]]
        assert model.batches == [[3, 4, 5, 20, 2], [30]]
        wrong = batcher.submit(rows_of(13, 30))
        with pytest.raises(ArithmeticError):
            await wrong
        last = batcher.submit(rows_of(6))
        await batcher.finish()
        assert last.result().tolist() == [[6]]
        waiting = batcher.submit(rows_of(2))
        await batcher.stop()
        assert waiting.cancelled() and not batcher.runs

    asyncio.run(steps())


def test_the_budget_is_the_largest_that_takes_ten_milliseconds() -> None:
    now = 0.0

    def predict(rows: EncodedTexts) -> np.ndarray:
        nonlocal now
        now += 6e-6 * int(rows.lengths.sum())
        return np.zeros((len(rows.lengths), 2), np.float32)

    assert find_budget(predict, unknown=1, length=50, clock=lambda: now) == 1024
