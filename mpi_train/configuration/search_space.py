"""Options that a search tries, and the values that it tries of each, as their declarations say.

    python -m mpi_train.configuration.search_space [OPTIONS OF train]

prints them as JSON for `reviewmill tune`. An option is searched where its declaration has values
to search, the configuration reads it, its default is among these values, and it is not named on
the command line: what is off stays off, and what is named stays as it is.
"""

import dataclasses
import json
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from mpi_train.configuration.config import TrainingConfig, make_training_parser
from mpi_train.configuration.presets import CONFIGS
from mpi_train.configuration.resolve import layered, read_choices
from reviews.errors import UserError
from reviews.options import Search, flag, flatten, given, leaves, replace_flat, unread


def search_space(config: TrainingConfig, named: Mapping[str, Any]) -> dict[str, Search]:
    """Values that are searched, by the name of the option, in the order of the options."""
    values, left_out = flatten(config), unread(config) | set(named)
    found: dict[str, Search] = {}
    for leaf in leaves(TrainingConfig):
        name = leaf.name
        if leaf.option is None or leaf.option.search is None or name in left_out:
            continue
        search = leaf.option.search.around(values[name])
        if search is not None and _allowed(config, name, search):
            found[name] = search
    return found


def _allowed(config: TrainingConfig, name: str, search: Search) -> bool:
    """True where the ends of the search, or all of its values, go with the other options."""
    try:
        for value in search.values or (search.low, search.high):
            replace_flat(config, **{name: type(flatten(config)[name])(value)})
    except UserError:
        return False
    return True


# What `tune` gives each of its trainings.
CHOSEN_BY_TUNE = {"store", "out", "rows", "validation_rows", "seed", "resume", "overwrite"}


def main(argv: Sequence[str]) -> None:
    """Print `base`, the options beneath the search as `train --config` takes them, `space`, what
    is searched, `defaults`, the values of these options without a search, and `keep` and `keep_by`.
    """
    named = given(make_training_parser("reviewmill tune").parse_args(argv), TrainingConfig)
    for name in named:
        if name in CHOSEN_BY_TUNE:
            raise UserError(f"{flag(name)} is what tune chooses itself")
    if named.get("encoder"):
        named["encoder"] = os.path.abspath(named["encoder"])
    config = layered(named)
    space = search_space(config, named)
    where = config.files.config
    beneath = dict(CONFIGS[where] if where in CONFIGS else read_choices(where) if where else {})
    base = {**beneath, **named, "model": config.model}
    base.pop("config", None)
    values = flatten(config)
    print(json.dumps({
        "base": base, "keep": config.keep.keep, "keep_by": config.keep.keep_by,
        "space": {name: dataclasses.asdict(search) for name, search in space.items()},
        "defaults": {name: values[name] for name in space},
    }))


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
