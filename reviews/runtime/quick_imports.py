"""Imports of large packages without what none of our programs uses of them."""

import gc
import importlib
import importlib.util
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import Loader
from importlib.machinery import ModuleSpec
from types import ModuleType

META_KERNELS = "torch._meta_registrations"


@contextmanager
def lasting_imports() -> Iterator[None]:
    """Imports of modules that stay to the end, so that looking for garbage among them, meanwhile,
    later and when the process ends, would be for nothing: a tenth of a short run."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_on:
            gc.enable()


class Without:
    """A finder of modules that has packages look as if they were not installed."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names

    def find_spec(self, name: str, *_: object) -> None:
        if name.partition(".")[0] in self._names:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    def __enter__(self) -> None:
        sys.meta_path.insert(0, self)

    def __exit__(self, *_: object) -> None:
        sys.meta_path.remove(self)


class _MetaKernelsLater(Loader):
    """A finder and loader that finds an empty module in the place of torch's meta kernels."""

    def find_spec(self, name: str, *_: object) -> ModuleSpec | None:
        if name != META_KERNELS:
            return None
        sys.meta_path.remove(self)
        return importlib.util.spec_from_loader(name, self)

    def create_module(self, spec: ModuleSpec) -> None:
        """None: the module is an ordinary one."""

    def exec_module(self, module: ModuleType) -> None:
        """Leave the module empty."""


def meta_kernels_later() -> None:
    """Have torch start without its meta kernels: what its operators do with tensors that have
    shapes and no numbers. They are a fifth of what the start of a rank costs.

    Only what traces, compiles or shards models needs them; it calls `load_meta_kernels` first.
    Without effect where torch is loaded already.
    """
    if "torch" not in sys.modules:
        sys.meta_path.insert(0, _MetaKernelsLater())


def load_meta_kernels() -> None:
    """Load torch's meta kernels where they were left for later."""
    module = sys.modules.get(META_KERNELS)
    if module is not None and isinstance(module.__loader__, _MetaKernelsLater):
        del sys.modules[META_KERNELS]
        importlib.import_module(META_KERNELS)
