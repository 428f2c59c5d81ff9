"""Costs of clusters, before they are started."""


import pytest

import reviewmill
from cluster.costs import INSTANCES, estimate, hours_for
from cluster.emr_config import EmrConfig
from reviews.errors import UserError


def call(*arguments: str) -> int:
    return reviewmill.main(["cluster", *arguments])


class TestCosts:
    def test_an_estimate_adds_up_machines_emr_and_disks(self) -> None:
        config = EmrConfig(master_type="m5.xlarge", core_type="m5.2xlarge", core_count=2,
                           disk_gb=100)
        found = estimate(config, hours=2.0)
        disk = 100 * 0.08 / 730
        assert found.hourly == {"master": pytest.approx(0.24 + disk),
                                "core": pytest.approx(2 * (0.48 + disk))}
        assert found.total == pytest.approx(2 * sum(found.hourly.values()))

    def test_a_bid_takes_the_place_of_the_price_and_not_of_what_emr_adds(self) -> None:
        config = EmrConfig(task_count=4, task_type="m5.2xlarge", task_bid=0.1, disk_gb=10)
        disk = 10 * 0.08 / 730
        assert estimate(config, 1.0).hourly["task (at most)"] == pytest.approx(
            4 * (0.1 + 0.096 + disk))

    def test_a_price_that_is_given_replaces_that_of_the_table(self) -> None:
        config = EmrConfig(core_type="m9z.2xlarge", core_count=1, disk_gb=10)
        with pytest.raises(UserError, match=r"give --price m9z.2xlarge=DOLLARS"):
            estimate(config, 1.0)
        found = estimate(config, 1.0, {"m9z.2xlarge": 1.0})
        assert found.hourly["core"] == pytest.approx(1.25 + 10 * 0.08 / 730)
        assert hours_for(config, 1e9, {"m9z.2xlarge": 1.0}) == hours_for(
            EmrConfig(core_count=1), 1e9)

    def test_twice_the_nodes_take_half_the_time_after_the_start(self) -> None:
        start = hours_for(EmrConfig(), 0.0)
        some, more = (hours_for(EmrConfig(core_count=n), 92e9) - start for n in (2, 4))
        assert some == pytest.approx(2 * more)
        with_tasks = hours_for(EmrConfig(core_count=2, task_count=2), 92e9) - start
        assert with_tasks == pytest.approx(more)

    @pytest.mark.parametrize("kind", INSTANCES)
    def test_prices_follow_sizes(self, kind: str) -> None:
        family, size = kind.split(".")
        vcpus, machine, adds = INSTANCES[kind]
        assert vcpus == 4 * int(size.removesuffix("xlarge") or 1)
        smallest = min((entry for name, entry in INSTANCES.items()
                        if name.startswith(family + ".")), key=lambda entry: entry[0])
        assert machine / vcpus == pytest.approx(smallest[1] / smallest[0], rel=0.01)
        assert adds <= 0.26 * machine

    def test_the_command_prints_one_line(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert call("cost", "--hours", "1", "--core-count", "1") == 0
        assert capsys.readouterr().out.startswith("about $0.")
        assert call("cost", "--input", "92.45G", "--core-count", "8") == 0
        plain = capsys.readouterr().out
        assert call("cost", "--input", "30.8G", "--packed", "--core-count", "8") == 0
        assert capsys.readouterr().out == plain

    @pytest.mark.parametrize(("arguments", "message"), [
        ([], "either --hours X or --input SIZE"), (["--input", "many"], "give bytes, such as"),
        (["--hours", "0"], "a number above 0"),
        (["--hours", "1", "--packed"], "--packed is about --input"),
        (["--hours", "1", "--price", "m5"], "give TYPE=DOLLARS"),
    ])
    def test_a_mistake_is_one_line(
        self, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert call("cost", *arguments) == 2
        assert message in capsys.readouterr().err

    @pytest.mark.parametrize("name", [
        "name", "region", "release", "idle_minutes", "subnet", "service_role", "node_role",
        "log_uri", "tags"])
    def test_a_choice_that_changes_no_price_is_no_option(
        self, name: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        flag = "--" + name.replace("_", "-")
        with pytest.raises(SystemExit) as stop:
            call("cost", "--hours", "1", flag, "1")
        assert stop.value.code == 2
        assert f"unknown argument {flag}" in capsys.readouterr().err
