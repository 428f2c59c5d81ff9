"""The models of a server, each of which gives way to the bundle that its folder holds now."""

import asyncio
import contextlib
import os
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from reviews.errors import UserError
from scoring.predictor import load
from scoring.service.calls import Refused, call_of
from scoring.service.served_model import ServedModel, busy

SHOWN = 60  # characters of a name that is none of a model's


def names_of(paths: Sequence[str]) -> list[str]:
    """Names of the models: the shortest ends of their paths that differ.

    `model`, the folder of a run's bundle, is left out. Raises UserError for one path twice.
    """
    parts = []
    for path in paths:
        folder = Path(os.path.abspath(path))
        own = folder.parent if folder.name == "model" and folder.parent.name else folder
        parts.append([part for part in own.parts if part != own.anchor] or ["model"])
    for length in range(1, 1 + max(map(len, parts))):
        names = ["/".join(some[-length:]) for some in parts]
        if len({*names}) == len(names):
            return names
    raise UserError(f"{paths[0]} is given twice")


class Models:
    """The models by name, in the order of the command line."""

    def __init__(self, paths: Sequence[str], threads: int = 1) -> None:
        """paths: of bundles or runs. threads: of ONNX Runtime for one batch of a model."""
        self._threads = threads
        self._loop: asyncio.AbstractEventLoop | None = None  # while calls are answered
        self._paths = dict(zip(names_of(paths), paths, strict=True))
        self._served = {name: ServedModel(name, load(path, threads))
                        for name, path in self._paths.items()}
        self._reloading: asyncio.Task[None] | None = None
        self._again = False
        self.reloads = Counter[str]()  # by outcome: taken, refused

    def start(self) -> None:
        """Begin to compute; called in the loop."""
        for served in self.all:
            served.batcher.start()
        self._loop = asyncio.get_running_loop()
        if self._again:
            self._begin_reload()

    async def stop(self) -> None:
        """End; calls that wait are cancelled."""
        self._loop = None
        if self._reloading is not None:
            self._reloading.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._reloading
        for served in self.all:
            await served.batcher.stop()

    @property
    def all(self) -> list[ServedModel]:
        """The models that answer now."""
        return list(self._served.values())

    @property
    def ready(self) -> bool:
        """True while all models compute."""
        return all(served.batcher.runs for served in self.all)

    @property
    def full(self) -> bool:
        """True while all models refuse calls."""
        return all(served.batcher.full for served in self.all)

    def call(self, body: bytes | bytearray) -> tuple[ServedModel, list[str]]:
        """The model that a call asks for, and its texts; Refused where it is none, or there is no
        room for any."""
        if self.full:  # a server that parsed what it refuses would fall behind
            raise busy()
        call = call_of(body)
        return self.of(call.model), call.texts

    def of(self, name: str | None) -> ServedModel:
        """The model of a name, or the first; Refused where there is none."""
        if name is None:
            return self.all[0]
        if name not in self._served:
            raise Refused(422, f"no model {name[:SHOWN]!r}; there are {', '.join(self._served)}")
        return self._served[name]

    def ask_to_reload(self) -> None:
        """Have the bundles taken up that the folders hold now; for a signal's handler.

        One that cannot be loaded is named on standard error, and the model before it stays.
        """
        self._again = True
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._begin_reload)

    def _begin_reload(self) -> None:
        if self._loop is not None and (self._reloading is None or self._reloading.done()):
            self._reloading = self._loop.create_task(self._reload())

    async def _reload(self) -> None:
        while self._again:
            self._again = False
            for name in self._paths:
                await self._reload_one(name)

    async def _reload_one(self, name: str) -> None:
        before = self._served[name]
        try:
            # Calls are answered meanwhile.
            served = await asyncio.to_thread(self._load, name)
        except (UserError, OSError) as error:  # also a folder that is being replaced
            self.reloads["refused"] += 1
            with contextlib.suppress(OSError):
                print(f"reviewmill: {error}; {name} stays as it is", file=sys.stderr, flush=True)
            return
        served.batcher.start()
        # From here on calls go to the new one; those before are answered by the old one.
        self._served[name] = served
        self.reloads["taken"] += 1
        try:
            await before.batcher.finish()
        finally:
            await before.batcher.stop()

    def _load(self, name: str) -> ServedModel:
        return ServedModel(name, load(self._paths[name], self._threads),
                           self._served[name].batcher.counts)
