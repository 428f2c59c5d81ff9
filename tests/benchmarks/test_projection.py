"""The full corpus on larger machines: a model of measured rates and named assumptions."""

import re
from dataclasses import replace

import pytest

import reviewmill
from benchmarks.projection import Assumptions, Machine, Rates, project, projection_table

RATES = Rates({"gather": 5.5, "count": 1.0, "encode": 2.0}, spread_us=0.5, review_bytes=640.0,
              task_s=1.0, shared=1.0, stored=0.1, worked=0.5)
# 1,000 splits of 64 MiB, half as many shards, a hundred million reviews of 640 bytes and a bit.
CORPUS = Assumptions(reviews=104_857_600, bytes=1000 << 26, vcpu=0.5, network=100.0,
                     job_start=30.0)


def test_one_core_does_all_the_work_and_nothing_else() -> None:
    seconds = project(RATES, CORPUS, Machine("one", 1))
    assert sum(seconds.values()) == pytest.approx(9e-6 * 104_857_600)
    assert seconds["gather"] == pytest.approx(6 * seconds["count"])
    assert seconds["network"] == seconds["starts"] == 0


def test_workers_share_the_work_as_far_as_there_are_tasks_for_all() -> None:
    one, ten, most = (sum(project(RATES, CORPUS, Machine("", n)).values()) for n in (1, 10, 999))
    assert ten == pytest.approx(one / 10)
    assert most == pytest.approx(2 * one / 1000)  # 1,000 tasks in two rounds


def test_busy_cores_hinder_each_other_as_measured() -> None:
    alone, both = (sum(project(replace(RATES, shared=shared), CORPUS, Machine("", 2)).values())
                   for shared in (1.0, 0.6))
    assert both == pytest.approx(alone / 0.6)


def test_nodes_start_jobs_and_tasks_and_move_the_data() -> None:
    seconds = project(RATES, CORPUS, Machine("", 32, nodes=8))
    assert seconds["starts"] == 90
    gigabytes = CORPUS.bytes / 1e9 * (1 / 3 + 2 * 0.5 + 0.1)
    assert seconds["network"] == pytest.approx(gigabytes * 1000 / 100 / 8)
    # 250 splits of 256 MiB in 8 rounds, of 4 times the work of 64 MiB, on half a core each.
    a_split = 6e-6 * 104_857_600 / 250
    assert seconds["gather"] == pytest.approx(8 * (a_split + 1) / 0.5)


def test_the_table_says_how_well_the_cores_are_used() -> None:
    machines = [Machine("a", 1), Machine("b", 999), Machine("c", 256, 64)]
    shown = projection_table(RATES, CORPUS, machines).splitlines()
    used = [int(line.split()[-1].rstrip("%")) for line in shown[1:]]
    assert used[:2] == [100, 50] and 0 < used[2] < 50


@pytest.mark.soak
def test_the_command_measures_prints_its_assumptions_and_takes_others(
    capsys: pytest.CaptureFixture[str]
) -> None:
    assert reviewmill.main(["bench", "projection", "--measured", "1000", "--network", "250"]) == 0
    shown = capsys.readouterr().out
    assert re.search(r"a split goes to 689 partitions: \d+\.\d\d more", shown)
    assert "a node's network: 250 MB/s" in shown and "142,800,000 reviews" in shown
    row = r"^64 EMR nodes of 4 vCPUs +256( +[\d.]+){6} +[\d,]+ +\d+%$"
    assert re.search(row, shown, re.MULTILINE)
    assert reviewmill.main(["bench", "projection", "--vcpu", "0"]) == 2
