"""Gradient noise scale on the page of a run: chart and table over its updates."""

import itertools
import json
from pathlib import Path

import numpy as np

from reports.page import render
from reports.run import Run, read_run
from reports.studies.noise_scale import PARTS, parts_of
from reviews.run_folder import METRICS
from tests.reports.document import Element, card, parse, rows, section
from tests.reports.runs import make_run


def measured_run(folder: Path, every: int = 1, norm: float = 4.0, steps: int = 60) -> Run:
    """A run whose gradients have a noise scale of 100, later 400, with an estimate in every so
    many updates."""
    make_run(folder, epochs=2, per_epoch=steps)
    draw, lines = np.random.default_rng(0), []
    for line in (folder / METRICS).read_text().splitlines():
        record = json.loads(line)
        if record["kind"] == "step" and record["step"] % every == 0:
            scale = 100 if record["step"] <= steps else 400
            record["noise"] = {"squared_norm": norm * draw.normal(1, 0.3),
                               "trace": 4 * scale * draw.normal(1, 0.2)}
        lines.append(json.dumps(record))
    (folder / METRICS).write_text("\n".join(lines) + "\n")
    return read_run(folder)


def page_of(run: Run) -> Element:
    return section(parse(render(run)), "training")


def test_parts_cover_all_measured_updates_and_have_their_ratios_with_errors(
    tmp_path: Path
) -> None:
    parts = parts_of(measured_run(tmp_path / "run"))
    assert 10 < len(parts) <= PARTS
    assert sum(part.measured for part in parts) == 120
    assert all(one.last < other.first for one, other in itertools.pairwise(parts))
    early = [part for part in parts if part.last <= 60]
    late = [part for part in parts if part.first > 60]
    off = [(part.scale - scale) / part.error
           for some, scale in ((early, 100), (late, 400)) for part in some]
    assert np.mean(np.abs(off) < 2) >= 0.8  # 95 %, but for errors from 8 updates
    assert {part.batch_size for part in early} <= {64, 128}
    assert {part.batch_size for part in late} <= {256, 512}


def test_updates_without_an_estimate_are_in_no_part(tmp_path: Path) -> None:
    parts = parts_of(measured_run(tmp_path / "run", every=3))
    assert sum(part.measured for part in parts) == 40
    assert min(part.measured for part in parts) >= 8


def test_the_page_has_a_chart_and_its_numbers(tmp_path: Path) -> None:
    run = measured_run(tmp_path / "run")
    page = page_of(run)
    drawing = card(page, "Gradient noise scale")
    assert len(drawing.all("svg")) == 2  # for a desk and a phone
    assert "95 % intervals" in drawing.text
    listed = rows(card(page, "Gradient noise scale, as numbers"))
    assert [int(row[1]) for row in listed] == [part.measured for part in parts_of(run)]
    assert listed[0][2] == f"{parts_of(run)[0].scale:.0f}"


def test_a_gradient_that_is_all_noise_has_dashes_and_no_chart(tmp_path: Path) -> None:
    page = page_of(measured_run(tmp_path / "run", norm=0.0))
    assert {tuple(row[2:]) for row in rows(card(page, "Gradient noise scale, as numbers"))} == {
        ("–", "–", "–")}
    assert "Gradient noise scale" not in [heading.text for heading in page.all("h3")]


def test_a_run_that_did_not_measure_it_says_nothing(tmp_path: Path) -> None:
    make_run(tmp_path / "run", epochs=2, per_epoch=20)
    assert "noise" not in page_of(read_run(tmp_path / "run")).text.lower()
