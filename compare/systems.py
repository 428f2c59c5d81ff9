"""Systems that can be compared: the models of this program and baselines, by name."""

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass

from models.records import RECORDS
from reviews.errors import UserError
from reviews.options import near
from reviews.store import Store

TORCH = {"torch": "train", "mpi4py": "train", "safetensors": "train"}
NEED_FILES = ("transformer",)  # an encoder, which only `reviewmill train` takes
SKLEARN = {"sklearn": "compare"}
FASTTEXT = {"fasttext": "bench"}


@dataclass(frozen=True)
class System:
    """One of the names that --models takes.

    options: of `reviewmill train`; None for a baseline.
    packages: modules that it needs, each with the extra that brings it.
    seeded: false where every training gives the same model, so that one run is enough.
    raw: it reads the raw texts of the reviews.
    """

    options: tuple[str, ...] | None
    packages: dict[str, str]
    seeded: bool = True
    raw: bool = False


SYSTEMS = {
    "majority": System(None, {}, seeded=False),
    "tfidf-logistic": System(None, SKLEARN, seeded=False),
    "tfidf-svm": System(None, SKLEARN, seeded=False),
    "random-forest": System(None, SKLEARN),
    # Its trees draw nothing: all rows, all columns.
    "xgboost": System(None, {**SKLEARN, "xgboost": "compare"}, seeded=False),
    "features-logistic": System(None, SKLEARN, seeded=False),
    "features-svm": System(None, SKLEARN, seeded=False),
    "features-forest": System(None, SKLEARN),
    "features-xgboost": System(None, {**SKLEARN, "xgboost": "compare"}, seeded=False),
    "fasttext": System(None, FASTTEXT),
    **{f"fasttext-raw-{n}": System(None, FASTTEXT, raw=True) for n in (1, 2, 3)},
    "vader": System(None, {"nltk": "compare"}, seeded=False, raw=True),
    **{name: System(("--model", name), TORCH) for name in RECORDS
       if name not in NEED_FILES},
    **{name: System(("--config", name), TORCH) for name in ("default", "views")},
}


def check_systems(
    names: Sequence[str], reference: str, store: Store, inputs: Sequence[str] = ()
) -> None:
    """Raise UserError where a system is unknown, named twice, or cannot run here, on this store or
    without the files that the store was prepared from; and where the reference is not among them.
    """
    for name in names:
        if name not in SYSTEMS:
            raise UserError(f"no model {name!r}{near(name, SYSTEMS) or '; ' + ', '.join(SYSTEMS)}")
        if names.count(name) > 1:
            raise UserError(f"--models has {name} twice")
        for package, extra in SYSTEMS[name].packages.items():
            if importlib.util.find_spec(package) is None:
                raise UserError(f"{name} needs {package}: pip install 'reviewmill[{extra}]'")
        if SYSTEMS[name].raw and not inputs:
            raise UserError(f"{name} reads raw texts: give the files that {store.address} was "
                            "prepared from as --input")
        if name == "vader" and len(store.classes) > 3:
            raise UserError(f"vader tells two or three classes apart, and {store.address} has "
                            f"{len(store.classes)}")
        if (name == "mlp" or name.startswith("features-")) and not store.feature_names:
            raise UserError(f"{name} reads features, and {store.address} has none: prepare it with "
                            "--features")
    if reference not in names:
        raise UserError(f"--reference {reference} is not one of --models {','.join(names)}")
