"""`reviewmill cluster`: clusters started, watched and ended, and what they cost."""

import importlib
from collections.abc import Sequence

from reviews.errors import UserError
from reviews.options import near

KINDS = {
    "spark": ("cluster.spark", "start or stop: a Spark of this machine alone"),
    "emr": ("cluster.emr_command", "create, status, terminate or setup: clusters of AWS EMR"),
    "cost": ("cluster.cost_command", "what such a cluster costs"),
}


def main(argv: Sequence[str]) -> int:
    """Run a command; return the exit status."""
    if not argv or argv[0] in ("-h", "--help"):
        rows = "\n".join(f"  {name:<10} {text}" for name, (_, text) in KINDS.items())
        print(f"usage: reviewmill cluster KIND ...\n\n{rows}")
        return 0
    name, *rest = argv
    if name not in KINDS:
        raise UserError(f"no kind of cluster {name!r}{near(name, KINDS)}; there are "
                        + ", ".join(KINDS))
    return int(importlib.import_module(KINDS[name][0]).main(rest))
