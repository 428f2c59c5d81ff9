"""Counters by model, in the text format of Prometheus."""

from collections import Counter
from pathlib import Path

from scoring.service.metrics import metrics_text
from scoring.service.models import Models
from tests.scoring.bundles import make_bundle
from tests.scoring.service.server import Server


def test_calls_are_counted_by_model(server: Server) -> None:
    def texts(model: str) -> float:
        metrics = server.request("GET", "/metrics")[2].decode()
        values = dict(line.rsplit(" ", 1) for line in metrics.splitlines() if line[0] != "#")
        assert float(values['reviewmill_responses_total{status="200"}']) >= 1
        assert float(values[f'reviewmill_waiting_texts{{model="{model}"}}']) == 0
        return float(values[f'reviewmill_texts_total{{model="{model}"}}'])

    server.post({"text": "tea"})
    before = texts("served"), texts("bag")
    server.post({"texts": ["tea", "cup"], "model": "bag"})
    assert (texts("served"), texts("bag")) == (before[0], before[1] + 2)


def test_a_name_of_any_characters_is_a_label(tmp_path: Path) -> None:
    models = Models([str(make_bundle(tmp_path / 'a "b"\\c\nd', "bag")[0])])
    assert ('reviewmill_texts_total{model="a \\"b\\"\\\\c\\nd"} 0\n'
            in metrics_text(models, Counter()))
