"""Table of the ranks on the page of a run."""

import json
from pathlib import Path
from typing import Any

from reports.page import render
from reports.run import read_run
from reports.studies.resources import LISTED
from tests.reports.document import Element, card, parse, rows
from tests.reports.runs import make_run


def ranks_of(folder: Path) -> Element:
    return card(parse(render(read_run(folder))), "Ranks")


def change_epochs(folder: Path, **values: Any) -> None:
    """Put values into all epoch records of a run; None takes the field away."""
    file = folder / "metrics.jsonl"
    records = [json.loads(line) for line in file.read_text().splitlines()]
    for record in records:
        if record["kind"] == "epoch":
            record.update(values)
            for name in [name for name, value in values.items() if value is None]:
                del record[name]
    file.write_text("".join(json.dumps(record) + "\n" for record in records))


def test_every_rank_has_its_work_and_its_resources(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", epochs=1)
    change_epochs(folder, cpu_percent=[98.6, 197.2], memory_bytes=[412e6, 1.5e9])
    steps = [record for line in (folder / "metrics.jsonl").read_text().splitlines()
             if (record := json.loads(line))["kind"] == "step"]
    found = ranks_of(folder)
    assert [cell.text for cell in found.all("thead")[0].all("th")] == [
        "rank", "share of the tokens", "own work, ms", "waiting, ms", "CPU", "memory, MB"]
    for rank, row in enumerate(rows(found)):
        work, wait = (1000 * sum(step[name][rank] for step in steps) / len(steps)
                      for name in ("compute_s", "wait_s"))
        assert row == [str(rank), "50.0 %", f"{work:,.1f}", f"{wait:,.1f}",
                       ("99 %", "197 %")[rank], ("412", "1,500")[rank]]


def test_gpus_have_columns_where_a_rank_has_one(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run")
    change_epochs(folder, gpu_percent=[None, 88.4], gpu_memory_bytes=[None, 2.25e9])
    found = ranks_of(folder)
    assert [cell.text for cell in found.all("thead")[0].all("th")][-2:] == [
        "GPU", "GPU memory, MB"]
    assert [row[-2:] for row in rows(found)] == [["–", "–"], ["88 %", "2,250"]]


def test_a_run_of_an_earlier_version_has_its_work_alone(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run")
    change_epochs(folder, cpu_percent=None, memory_bytes=None, gpu_percent=None,
                  gpu_memory_bytes=None)
    found = ranks_of(folder)
    assert len(rows(found)[0]) == 4
    assert "CPU" not in found.text


def test_of_many_ranks_the_first_are_listed(tmp_path: Path) -> None:
    found = ranks_of(make_run(tmp_path / "run", epochs=1, ranks=LISTED + 3))
    assert len(rows(found)) == LISTED
    assert "3 more ranks are left out." in found.text
