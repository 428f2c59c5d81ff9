"""The simulated workers, and what the balancer makes of 256 of them."""

import numpy as np
import pytest

from benchmarks.simulation import (
    EPOCH,
    Weather,
    group,
    main,
    parse_speeds,
    simulate,
    simulate_fixed,
    slowed,
    unequal,
    wandering,
    weather,
)
from mpi_train.balance.balancer import Balancer
from reviews.errors import UserError


def calm(updates: int, ranks: int) -> Weather:
    """No noise, and updates of one size."""
    return weather(updates, ranks, noise=0, seed=0, batches=0)


def test_without_noise_the_optimum_is_the_ceiling() -> None:
    workers = group("two", [3, 1], 0.1, 0.05, 10)
    run = simulate_fixed(workers, calm(5, 2), "optimum")
    # 7.5 and 2.5 tokens take 2.5 s on both, beside 0.15 s that an update costs at all.
    assert run.step_s == pytest.approx(np.full(5, 2.65))
    assert workers.ceiling == pytest.approx(2.6 / 2.65)
    assert (run.step_s == run.best_s).all()


def test_an_equal_split_waits_for_the_slowest() -> None:
    workers = group("two", [3, 1], 0, 0, 10)
    assert simulate_fixed(workers, calm(3, 2), "equal").step_s.tolist() == [5, 5, 5]


def test_the_2019_rule_learns_after_an_epoch_and_not_before() -> None:
    workers = group("two", [3, 1], 0, 0, 8)
    run = simulate_fixed(workers, calm(EPOCH + 2, 2), "2019")
    assert set(run.step_s[:EPOCH]) == {4.0}
    assert run.step_s[EPOCH:] == pytest.approx([2, 2])


def test_a_slowed_worker_is_slow_for_as_long_as_said() -> None:
    drift = slowed(6, 2, rank=1, factor=4, first=2, last=5)
    assert drift[:, 1].tolist() == [1, 1, 4, 4, 4, 1]
    assert (drift[:, 0] == 1).all()


def test_the_same_seed_gives_the_same_weather_and_another_seed_another() -> None:
    first, again, other = (weather(50, 3, 0.1, seed) for seed in (1, 1, 2))
    assert (first.noise == again.noise).all() and (first.tokens == again.tokens).all()
    assert not (first.noise == other.noise).any()


def test_noise_has_the_deviation_asked_for_and_the_mean_1() -> None:
    noise = weather(20_000, 4, 0.1, seed=0).noise
    assert noise.mean() == pytest.approx(1, abs=0.002)
    assert noise.std() == pytest.approx(0.1, rel=0.02)


@pytest.mark.parametrize("depth", [0.0, 0.2])
def test_256_workers_reach_97_percent_of_what_the_true_lines_reach(depth: float) -> None:
    updates = 900
    sky = weather(updates, 256, 0.05, seed=3, drift=wandering(updates, 256, depth, seed=3))
    run = simulate(unequal(256, seed=3), sky)
    assert run.share_of_best(100) >= 0.97


def test_256_workers_under_10_percent_noise_keep_their_lines() -> None:
    run = simulate(unequal(256), weather(1200, 256, 0.1, seed=0))
    assert run.renewed[200:].sum() <= 2


def test_a_worker_that_turns_slow_is_parked_and_is_back_within_ten_updates_of_recovering() -> None:
    workers = group("four", [4, 4, 4, 1], 0.05, [0.01, 0.01, 0.01, 0.5], 13)
    sky = weather(300, 4, 0.03, 0, slowed(300, 4, rank=3, factor=4, first=100, last=200))
    run = simulate(workers, sky, Balancer(4))
    assert run.active[:100].all()
    assert not run.active[110:200, 3].any()
    assert run.active[210:].all()


def test_a_run_that_never_settles_says_so_by_its_length() -> None:
    workers = group("two", [9, 1], 0, 0, 10)
    run = simulate_fixed(workers, calm(20, 2), "equal")
    assert run.updates_to_settle() == 20


def test_the_command_prints_a_line_for_every_group(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--simulate", "--speeds", "4,1", "--updates", "520"]) == 0
    header, line, *_ = capsys.readouterr().out.splitlines()
    assert header.split()[:5] == ["workers", "ceiling", "equal", "2019", "dynamic"]
    assert line.split()[0] == "4,1"
    equal, dynamic = (float(line.split()[i].rstrip("%")) for i in (2, 4))
    assert dynamic > 1.5 * equal


def test_speeds_may_be_counted() -> None:
    assert parse_speeds("4,2x1.5") == [4, 1.5, 1.5]


@pytest.mark.parametrize("argv, said", [
    (["--speeds", "4,-1"], "--speeds are positive numbers like 4,2,1,1, not '4,-1'"),
    (["--speeds", "fast"], "not 'fast'"),
    (["--speeds", "nan"], "not 'nan'"), (["--speeds", "2x"], "not '2x'"),
    (["--speeds", "0x4"], "not '0x4'"), (["--speeds", "200x4,57x1"], "give 1 to 256 workers"),
    (["--workers", "257"], "--workers is 1 to 256, not 257"),
    (["--updates", "500"], "--updates must be above 500"),
    (["--noise", "-1"], "are numbers from 0 to 10"),
])
def test_options_that_make_no_sense_are_one_line(argv: list[str], said: str) -> None:
    with pytest.raises(UserError, match=said):
        main(argv)
