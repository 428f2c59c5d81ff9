"""Counters of the service in the text format of Prometheus."""

from collections import Counter
from collections.abc import Callable

from scoring.service.models import Models
from scoring.service.served_model import ServedModel

_OF_MODELS: tuple[tuple[str, str, Callable[[ServedModel], float]], ...] = (
    ("texts_total", "counter", lambda served: served.batcher.counts.texts),
    ("ids_total", "counter", lambda served: served.batcher.counts.ids),
    ("batches_total", "counter", lambda served: served.batcher.counts.batches),
    ("model_seconds_total", "counter", lambda served: served.batcher.counts.seconds),
    ("refused_texts_total", "counter", lambda served: served.batcher.counts.refused),
    ("left_texts_total", "counter", lambda served: served.batcher.counts.left),
    ("waiting_texts", "gauge", lambda served: served.batcher.waiting_rows),
)


def metrics_text(models: Models, statuses: Counter[int]) -> str:
    """The counters of all models, of reloads, and of answers by status."""
    lines = ["# TYPE reviewmill_responses_total counter"]
    lines += [f'reviewmill_responses_total{{status="{status}"}} {n}'
              for status, n in sorted(statuses.items())]
    lines += ["# TYPE reviewmill_reloads_total counter"]
    lines += [f'reviewmill_reloads_total{{outcome="{outcome}"}} {models.reloads[outcome]}'
              for outcome in ("taken", "refused")]
    for name, kind, value in _OF_MODELS:
        lines.append(f"# TYPE reviewmill_{name} {kind}")
        lines += [f'reviewmill_{name}{{model="{_escaped(served.name)}"}} {value(served)}'
                  for served in models.all]
    return "\n".join(lines) + "\n"


def _escaped(name: str) -> str:
    """A name as the value of a label."""
    return name.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
