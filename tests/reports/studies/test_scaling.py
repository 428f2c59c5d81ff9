"""The page about a scaling study."""

from pathlib import Path

import pytest

from benchmarks.scaling.points import Point
from reports import main
from reports.studies.scaling import read_scaling, render_scaling
from reviews.errors import UserError
from tests.reports.document import card, parse, rows, section
from tests.reports.studies.scalings import make_points, make_scaling


def test_every_point_is_a_row_and_simulated_ones_are_marked(tmp_path: Path) -> None:
    folder = make_scaling(tmp_path / "study")
    page = parse(render_scaling(read_scaling(folder), "study"))
    for stage in ("preparation", "training", "scoring"):
        found = section(page, stage)
        strong = rows(card(found, "The same work on more nodes"))
        assert [row[:2] for row in strong] == [
            ["1", "measured"], ["2", "measured"], ["4", "simulated"], ["8", "simulated"]]
        assert strong[1] == ["2", "measured", "20,000", "2.2 s", "9,091", "1.82", "91 %", "12.3",
                             "96 %", "420"]
        assert strong[3][-2:] == ["–", "–"]
        weak = rows(card(found, "As much work for each node"))
        assert [row[2] for row in weak] == ["20,000", "40,000", "80,000", "160,000"]
        assert [row[6] for row in weak] == ["100 %", "91 %", "77 %", "59 %"]


def test_the_headline_parts_measured_from_simulated(tmp_path: Path) -> None:
    page = parse(render_scaling(read_scaling(make_scaling(tmp_path / "study")), "study"))
    [title] = page.all("h1")
    assert title.text == (
        "2 nodes, measured, reach 1.82 (preparation), 1.82 (training), 1.82 (scoring) times the "
        "speed of one; 8 nodes, simulated, reach 4.71 (preparation), 4.71 (training), 4.71 "
        "(scoring).")


def test_one_measured_node_has_nothing_to_be_compared_with(tmp_path: Path) -> None:
    folder = make_scaling(tmp_path / "study", make_points(("train",), measured=1))
    [title] = parse(render_scaling(read_scaling(folder), "study")).all("h1")
    assert title.text == "One node is measured; 8 nodes, simulated, reach 4.71 (training)."


def test_a_study_without_simulated_points_says_nothing_of_them(tmp_path: Path) -> None:
    folder = make_scaling(tmp_path / "study", make_points(("train",), measured=8))
    page = parse(render_scaling(read_scaling(folder), "study"))
    assert "simulated" not in page.all("h1")[0].text
    says = card(page, "The same work on more nodes").text
    assert "Amdahl's law through the measured counts of 20,000 reviews: 10.0 % is serial" in says
    assert "the speed-up ends at 10.0." in says


def test_fewer_than_four_measured_counts_have_no_law(tmp_path: Path) -> None:
    page = render_scaling(read_scaling(make_scaling(tmp_path / "study")), "study")
    assert "Amdahl" not in page


def test_several_sizes_are_drawn_and_listed(tmp_path: Path) -> None:
    points = make_points(("score",), sizes=(10_000, 500_000))
    page = parse(render_scaling(read_scaling(make_scaling(tmp_path / "study", points)), "study"))
    listed = rows(card(page, "The same work on more nodes"))
    assert [row[2] for row in listed] == ["10,000"] * 4 + ["500,000"] * 4
    assert "10,000 reviews" in card(page, "Speed-up of the same work").text


def test_gpus_have_columns_where_a_node_has_one(tmp_path: Path) -> None:
    points = [Point("train", law, 1000, 1, 1000, 2.0, 0.1, True, [50.0], [1e9], [73.0], [2e9])
              for law in ("strong", "weak")]
    page = parse(render_scaling(read_scaling(make_scaling(tmp_path / "study", points)), "study"))
    [row] = rows(card(page, "The same work on more nodes"))
    assert row[-4:] == ["50 %", "1,000", "73 %", "2,000"]


def test_the_difference_of_simulated_and_measured_is_shown(tmp_path: Path) -> None:
    page = parse(render_scaling(read_scaling(make_scaling(tmp_path / "study")), "study"))
    assert rows(card(page, "Simulated and measured")) == [
        ["Preparation, strong, 20,000 reviews of a node", "2", "2.0 s", "1.9 s", "-5 %"]]


def test_the_command_writes_the_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_scaling(tmp_path / "study")
    assert main([str(folder)]) == 0
    assert capsys.readouterr().out.strip() == str(folder / "report.html")
    assert "Speed-up of the same work" in (folder / "report.html").read_text()


def test_another_format_is_refused(tmp_path: Path) -> None:
    folder = make_scaling(tmp_path / "study", format="reviewmill-scaling/9")
    with pytest.raises(UserError, match="has not the format reviewmill-scaling/1"):
        read_scaling(folder)
