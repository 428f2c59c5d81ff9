"""Plans: price, limits, and expected time and money from measured rates."""

import json
from pathlib import Path

import pytest

import reviewmill
from cluster.gpu.catalog import load_catalog
from cluster.gpu.config import DISK_GB_HOUR, GpuConfig, NodeGroup, budget, parse_groups
from cluster.gpu.plan import START_MINUTES, make_plan
from cluster.gpu.rates import WARM_UP, measured_rate, parse_rates
from reviews.errors import UserError
from tests.stores import make_store


def call(*arguments: str) -> int:
    return reviewmill.main(["cluster", "gpu", "plan", *arguments])


def test_groups_have_types_to_fall_back_to_and_counts() -> None:
    assert parse_groups(["g5.xlarge/g6.xlarge:4", "p4d.24xlarge"]) == (
        NodeGroup(("g5.xlarge", "g6.xlarge"), 4), NodeGroup(("p4d.24xlarge",), 1))


def test_a_budget_takes_the_dearest_type_and_the_first_limit_that_is_reached() -> None:
    wanted = GpuConfig(nodes=("g6.xlarge/g5.xlarge:2",), disk_gb=50, max_dollars=4.0)
    limits = budget(wanted, load_catalog())
    assert limits.hourly == pytest.approx(2 * (1.006 + 50 * DISK_GB_HOUR))
    assert limits.hours == pytest.approx(4.0 / limits.hourly) and limits.dollars == 4.0
    short = budget(GpuConfig(nodes=wanted.nodes, max_hours=1), load_catalog())
    assert short.hours == 1


def test_a_region_whose_prices_are_not_known_is_taken_at_the_most_it_may_ask() -> None:
    catalog = load_catalog()
    assert catalog.in_region("us-west-2") is catalog
    dearer = catalog.in_region("eu-central-1")
    assert dearer["g5.xlarge"].price == pytest.approx(1.509)
    assert dearer.prices_of == f"{catalog.prices_of}, times 1.5 for eu-central-1"
    assert dearer.with_prices({"g5.xlarge": 2.0})["g5.xlarge"].price == 2.0


def test_time_and_money_follow_from_the_rates_of_all_nodes() -> None:
    wanted = GpuConfig(nodes=("g5.xlarge:2", "g4dn.xlarge:1"), max_hours=3)
    plan = make_plan(wanted, load_catalog(), {"g5.xlarge": 1000.0, "g4dn.xlarge": 400.0},
                     reviews=2400 * 3600, efficiency=0.5)
    assert plan.rate == pytest.approx(1200)
    assert plan.hours == pytest.approx(2 + START_MINUTES / 60)
    text = "\n".join(plan.lines())
    assert f"expected: 2.17 h, ${2.1667 * plan.limits.hourly:.2f}" in text
    assert "does not fit" not in text
    short = make_plan(GpuConfig(nodes=wanted.nodes, max_hours=2), load_catalog(),
                      {"g5.xlarge": 1000.0, "g4dn.xlarge": 400.0}, 2400 * 3600, 0.5)
    assert "the run does not fit" in short.lines()[-1]


def test_a_rate_that_nobody_measured_is_said_and_not_guessed() -> None:
    plan = make_plan(GpuConfig(nodes=("g5.xlarge", "g6.xlarge")), load_catalog(),
                     {"g5.xlarge": 1.0}, 100)
    assert plan.rate is None and plan.hours is None
    assert plan.lines()[-1].startswith("expected time: unknown, nobody measured g6.xlarge")


def test_the_rate_of_a_run_is_the_median_of_its_later_updates(tmp_path: Path) -> None:
    rates = [1.0] * WARM_UP + [5.0, 100.0, 7.0]
    lines = [json.dumps({"kind": "step", "reviews_per_s": rate}) for rate in rates]
    (tmp_path / "metrics.jsonl").write_text("\n".join([*lines, '{"kind": "epoch"}', "torn"]))
    assert measured_rate(str(tmp_path)) == 7.0
    assert parse_rates(["a.b=2"], [f"g5.xlarge={tmp_path}"]) == {"a.b": 2.0, "g5.xlarge": 7.0}
    (tmp_path / "metrics.jsonl").write_text(lines[0])
    with pytest.raises(UserError, match="has 1 updates: more than 10"):
        measured_rate(str(tmp_path))


def test_the_command_reads_the_reviews_of_a_store(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = make_store(tmp_path / "store", {"train": 300}, length=8)
    assert call("--store", str(store.path), "--epochs", "2", "--rate", "g5.xlarge=1000",
                "--price", "g5.xlarge=2", "--efficiency", "1") == 0
    shown = capsys.readouterr().out
    assert "600 reviews at 1,000/s" in shown and "at most $2.01/h" in shown
    assert "ends after 12.0 h" in shown


@pytest.mark.parametrize(("arguments", "message"), [
    (["--nodes", "g5.xlarge:0"], "give TYPE:COUNT"), (["--nodes", "g5.xlrge"], "did you mean"),
    (["--max-dollars", "0"], "--max-dollars is 0"), (["--rate", "g5.xlarge"], "give TYPE=REVIEWS"),
    (["--measured", "g5.xlarge=/nowhere"], "is no run folder"), (["--epochs", "0"], "more than 0"),
    (["--efficiency", "2"], "a fraction above 0"), (["--price", "g9.xlarge=1"], "no instance type"),
    (["--", "--epochs", "3"], "are for `run`"),
])
def test_a_mistake_is_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(*arguments) == 2
    assert message in capsys.readouterr().err


def test_everybody_may_not_use_ssh() -> None:
    with pytest.raises(UserError, match="is nearly everybody"):
        GpuConfig(ssh_from="0.0.0.0/0")
    with pytest.raises(UserError, match="give a network such as"):
        GpuConfig(ssh_from="here")


def test_prices_of_larger_types_of_a_family_are_not_below_those_of_smaller_ones() -> None:
    types = load_catalog().types.values()
    for one in types:
        assert one.price > 0 and one.gpus >= 0 and bool(one.gpu) == bool(one.gpus)
        smaller = [other for other in types if other.name.split(".")[0] == one.name.split(".")[0]
                   and other.vcpus < one.vcpus]
        assert all(other.price < one.price for other in smaller)
