"""Table of what each rank of a run did and used."""

from typing import Any

from reports.html import Html, count, el, percent, table
from reports.run import Run

LISTED = 64  # ranks
_HEAD = ["rank", "share of the tokens", "own work, ms", "waiting, ms", "CPU", "memory, MB",
         "GPU", "GPU memory, MB"]


def resources(run: Run) -> Html | None:
    """Work of a mean update, and the resources of the latest epoch, rank by rank; columns that no
    rank has a figure for are left out."""
    total = run.curve.total
    if total is None or not total.compute:
        return None
    used = run.epochs[max(run.epochs)] if run.epochs else {}
    tokens, scale = max(sum(total.tokens), 1e-12), 1000 / total.steps
    rows = [
        [str(rank), percent(total.tokens[rank] / tokens), _figure(total.compute[rank] * scale),
         _figure(total.wait[rank] * scale), _of(used, "cpu_percent", rank, " %"),
         _of(used, "memory_bytes", rank, "", 1e6), _of(used, "gpu_percent", rank, " %"),
         _of(used, "gpu_memory_bytes", rank, "", 1e6)]
        for rank in range(min(len(total.compute), LISTED))]
    shown = [number for number in range(len(_HEAD))
             if number < 4 or any(row[number] != "–" for row in rows)]
    left = len(total.compute) - len(rows)
    says = "Times of a mean update."
    if len(shown) > 4:
        says += " CPU (200 %: two cores) and GPU over the latest epoch, memory at its most."
    if left > 0:
        says += f" {count(left)} more ranks are left out."
    return el("figure", el("figcaption", el("h3", "Ranks"), el("p", says)),
              table([_HEAD[number] for number in shown],
                    [[row[number] for number in shown] for row in rows]), cls="card wide")


def _of(epoch: dict[str, Any], name: str, rank: int, unit: str, scale: float = 1.0) -> str:
    """Figure of a rank in an epoch's record; a dash where the record has none."""
    values = epoch.get(name) or []
    value = values[rank] if rank < len(values) else None
    return "–" if value is None else f"{value / scale:,.0f}{unit}"


def _figure(milliseconds: float) -> str:
    return f"{milliseconds:,.1f}"
