"""Decisions of the balancer from given numbers."""

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.simulation import Group, Weather, group, simulate, slowed, weather
from mpi_train.balance.balancer import Balancer, check_times
from mpi_train.balance.epoch_profile import EpochProfile
from mpi_train.balance.water_filling import Array, water_fill

ROOT = Path(__file__).resolve().parents[3]
CORE = 94_000.0  # tokens/s of a core, LSTM 100 -> 64
REDUCTION, OPTIMIZER = 0.0145, 0.0062  # seconds of a core for 3.04 M parameters
REVIEW = 98.6  # tokens


def throttled(mix: list[float], batch: int) -> Group:
    """Ranks on fractions of a core, the fastest on 80 % of one: the test bed's measured costs."""
    quota = 0.8 * np.array(mix) / max(mix)
    return group(":".join(map(str, mix)), CORE * quota, OPTIMIZER / quota, REDUCTION / quota,
                 batch * REVIEW)


def drive(balancer: Balancer, a: Array, b: Array, updates: int, cost: float = 1000.0) -> Array:
    """Updates without noise; returns the last ratios. Parked ranks report nothing."""
    for _ in range(updates):
        decision = balancer.decide(cost)
        x = decision.ratios * cost
        balancer.observe(x, np.where(decision.active, a + b * x, np.nan))
    return balancer.decide(cost).ratios


MIXES = [[1, 1], [2, 1], [4, 1], [4, 3, 2, 1], [8, 1, 1]]


def test_importing_it_loads_neither_torch_nor_mpi_nor_the_rest() -> None:
    program = "import sys, mpi_train.balance.balancer\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True,
                          text=True, timeout=60, check=True)
    loaded = set(done.stdout.split())
    own = {name for name in loaded if name.split(".")[0] in ("mpi_train", "reviews")}
    assert own == {"mpi_train", "mpi_train.balance", "mpi_train.balance.balancer",
                   "mpi_train.balance.rank_timing", "mpi_train.balance.water_filling"}
    assert loaded & {"torch", "mpi4py", "h5py"} == set()


class TestShares:
    def test_the_first_shares_are_equal(self) -> None:
        assert Balancer(4).decide(100).ratios.tolist() == [0.25] * 4

    def test_the_first_shares_follow_speeds_known_in_advance(self) -> None:
        assert Balancer(2, speeds=[3, 1]).decide(100).ratios == pytest.approx([0.75, 0.25])

    def test_one_rank_gets_everything(self) -> None:
        assert drive(Balancer(1), np.array([0.1]), np.array([0.01]), 50).tolist() == [1.0]

    @settings(max_examples=30)
    @given(st.integers(1, 12), st.integers(0, 2**32 - 1))
    def test_they_add_up_to_1_and_are_never_negative_whatever_the_times(
        self, ranks: int, seed: int
    ) -> None:
        draw = np.random.default_rng(seed)
        balancer = Balancer(ranks)
        for _ in range(60):
            cost = float(draw.uniform(10, 1000))
            decision = balancer.decide(cost)
            assert decision.ratios.sum() == pytest.approx(1, abs=1e-12)
            assert (decision.ratios >= 0).all()
            assert (decision.ratios[~decision.active] == 0).all()
            assert decision.active.any()
            x = np.where(decision.trials > 0, decision.trials, decision.ratios * cost)
            times = np.exp(draw.normal(0, 2, ranks))
            balancer.observe(x, np.where(decision.active | (x > 0), times, np.nan))

    @settings(max_examples=30)
    @given(st.lists(st.floats(0.05, 1), min_size=2, max_size=6))
    def test_without_noise_they_become_the_best_there_are(self, speeds: list[float]) -> None:
        b = 1 / np.array(speeds) / 1000
        a = np.full(len(b), 0.02)
        ratios = drive(Balancer(len(b)), a, b, 12)
        _, best = water_fill(a, b, 1000.0)
        assert (a + b * ratios * 1000).max() <= 1.02 * best

    def test_a_faster_rank_gets_more(self) -> None:
        speeds = np.array([1.0, 2, 3, 5, 8])
        ratios = drive(Balancer(5), np.full(5, 0.01), 0.001 / speeds, 14)
        assert (np.diff(ratios) > 0).all()

    def test_caps_are_kept_dither_included(self) -> None:
        balancer = Balancer(3, caps=[0.3, 1, 0.4])
        for _ in range(200):
            decision = balancer.decide(100)
            assert (decision.ratios <= np.array([0.3, 1, 0.4]) + 1e-12).all()
            balancer.observe(decision.ratios * 100, decision.ratios * np.array([0.1, 1, 0.2]) + .01)

    def test_the_same_numbers_give_the_same_decisions(self) -> None:
        workers, sky = throttled([4, 3, 2, 1], 1024), weather(150, 4, 0.1, seed=5)
        first, second = simulate(workers, sky), simulate(workers, sky)
        assert (first.step_s == second.step_s).all()
        assert (first.renewed == second.renewed).all()

    def test_a_rank_that_was_given_nothing_at_first_still_gets_a_share_later(self) -> None:
        balancer = Balancer(3)
        balancer.observe([500, 500, 0], [1.0, 1.0, 0.01])
        assert balancer.decide(1000).ratios == pytest.approx([1 / 3] * 3)

    def test_every_n_updates_means_no_new_decision_between(self) -> None:
        run = simulate(throttled([4, 1], 512), weather(100, 2, 0.1, seed=0),
                       Balancer(2, every=10))
        assert run.renewed.any()
        assert set(np.flatnonzero(run.renewed) % 10) == {0}


class TestLearning:
    def test_dither_and_batches_tell_a_and_b_apart(self) -> None:
        workers = throttled([4, 3, 2, 1], 1024)
        balancer = Balancer(4)
        simulate(workers, weather(1000, 4, 0.03, seed=1), balancer)
        a, b = workers.lines
        assert balancer.fits.noise == pytest.approx(np.full(4, 0.03), rel=0.35)
        # At shares never tried: what the step would take, by the fit and in truth.
        draw = np.random.default_rng(0)
        errors = []
        for ratios in draw.dirichlet(np.ones(4), 200):
            x = ratios * workers.tokens
            errors.append(abs(balancer.fits.predict(x).max() / (a + b * x).max() - 1))
        assert np.median(errors) <= 0.05

    @pytest.mark.parametrize("seed", range(5))
    def test_what_an_update_costs_at_all_is_known_soon_where_it_is_measured(
        self, seed: int
    ) -> None:
        draw = np.random.default_rng(seed)
        a, b, cost = np.array([0.1, 0.3, 0.2]), np.array([1e-3, 4e-3, 2e-3]), 2000.0
        balancer = Balancer(3)
        for _ in range(6):
            x = balancer.decide(cost).ratios * cost
            fixed = a * np.exp(0.1 * draw.standard_normal(3))
            seconds = fixed + b * x * np.exp(0.03 * draw.standard_normal(3))
            balancer.observe(x, seconds, fixed=np.where([True, True, False], fixed, np.nan))
        # Rank 2, whose part is not known, has its line from the times alone.
        assert balancer.fits.a[:2] == pytest.approx(a[:2], rel=0.2)
        x = balancer.decide(cost / 2).ratios * cost / 2
        assert (a + b * x)[x > 0].max() < 1.1 * water_fill(a, b, cost / 2)[1]

    def test_a_state_goes_through_json_and_goes_on_as_if_nothing_had_been(self) -> None:
        workers = throttled([8, 1, 1], 512)
        balancer = Balancer(3)
        simulate(workers, weather(80, 3, 0.05, seed=2), balancer)
        restored = Balancer(3)
        restored.restore(json.loads(json.dumps(balancer.state())))
        rest = weather(80, 3, 0.05, seed=3)
        assert (simulate(workers, rest, balancer).step_s
                == simulate(workers, rest, restored).step_s).all()

    def test_a_state_of_another_number_of_ranks_is_not_used(self) -> None:
        balancer = Balancer(2)
        drive(balancer, np.zeros(2) + 0.01, np.array([0.001, 0.004]), 5)
        other = Balancer(3)
        other.restore(balancer.state())
        assert other.decide(10).ratios == pytest.approx([1 / 3] * 3)

    def test_nor_is_that_of_another_rule(self) -> None:
        before = EpochProfile(2)
        before.observe([10, 10], [1.0, 4.0])
        balancer = Balancer(2)
        balancer.restore(before.state())
        assert balancer.decide(10).ratios == pytest.approx([0.5, 0.5])
        profile = EpochProfile(2)
        profile.restore(Balancer(2).state())
        assert profile.decide(first=True).ratios == pytest.approx([0.5, 0.5])

    def test_new_caps_take_back_a_rank_that_they_need(self) -> None:
        slow = np.array([1.0, 1, 20])
        balancer = Balancer(3)
        drive(balancer, 0.06 * slow, 0.001 * slow, 60)
        assert balancer.active.tolist() == [True, True, False]
        capped = Balancer(3, caps=[0.4, 0.4, 0.4])
        capped.restore(balancer.state())
        ratios = capped.decide(1000).ratios
        assert ratios.max() <= 0.4 + 1e-9 and ratios.sum() == pytest.approx(1)


class TestParking:
    SLOW = np.array([1.0, 1, 1, 20])
    A, B = 0.06 * SLOW, 0.001 * SLOW  # the slow one needs 1.2 s before its first token

    def test_a_rank_that_would_slow_the_rest_even_with_nothing_to_do_is_parked(self) -> None:
        balancer = Balancer(4)
        drive(balancer, self.A, self.B, 12)
        assert balancer.active.tolist() == [True, True, True, False]

    def test_it_is_asked_for_trials_and_a_failed_one_changes_nothing(self) -> None:
        balancer, asked = Balancer(4), 0
        for update in range(100):
            decision = balancer.decide(1000)
            x = np.where(decision.trials > 0, decision.trials, decision.ratios * 1000)
            times = np.where(decision.active | (x > 0), self.A + self.B * x, np.nan)
            asked += int(decision.trials[3] > 0)
            balancer.observe(x, times)
            assert update < 12 or not balancer.active[3]
        assert asked > 5

    def test_a_rank_that_never_answers_a_trial_stays_parked_and_is_not_asked_again(self) -> None:
        balancer = Balancer(4)
        trials = []
        for _ in range(100):
            decision = balancer.decide(1000)
            trials.append(decision.trials[3] > 0)
            x = decision.ratios * 1000
            balancer.observe(x, np.where(decision.active, self.A + self.B * x, np.nan))
        assert sum(trials) == 1
        assert not balancer.active[3]

    def test_when_it_is_fast_again_one_trial_brings_it_back(self) -> None:
        balancer = Balancer(4)
        slow, answered = self.SLOW, 0
        for update in range(60):
            slow = np.ones(4) if update > 20 else self.SLOW
            decision = balancer.decide(1000)
            x = np.where(decision.trials > 0, decision.trials, decision.ratios * 1000)
            t = np.where(decision.active | (x > 0), (0.06 + 0.001 * x) * slow, np.nan)
            answered += int(update > 20 and decision.trials[3] > 0)
            balancer.observe(x, t)
        assert balancer.active.all()
        assert answered == 1
        assert balancer.decide(1000).ratios == pytest.approx([0.25] * 4, rel=0.1)

    def test_nobody_is_parked_where_that_is_not_wanted(self) -> None:
        balancer = Balancer(4, parking=False)
        ratios = drive(balancer, self.A, self.B, 50)
        assert balancer.active.all()
        assert ratios[3] == 0

    def test_nobody_is_parked_whom_the_caps_of_the_others_need(self) -> None:
        balancer = Balancer(4, caps=[0.3, 0.3, 0.3, 1])
        ratios = drive(balancer, self.A, self.B, 50)
        assert balancer.active.all()
        assert ratios == pytest.approx([0.3, 0.3, 0.3, 0.1])


class TestFigures:
    @pytest.mark.parametrize("mix", MIXES, ids=lambda mix: ":".join(map(str, mix)))
    @pytest.mark.parametrize("batch", [pytest.param(512, marks=pytest.mark.soak), 4096])
    def test_ten_updates_are_enough_from_cold_and_after_jumps(
        self, mix: list[float], batch: int
    ) -> None:
        workers, ranks = throttled(mix, batch), len(mix)
        took = []
        for rank in (0, ranks - 1):
            for seed in range(2):
                sky = weather(520, ranks, 0.05, seed,
                              slowed(520, ranks, rank, 4, first=200, last=400))
                run = simulate(workers, sky)
                took += [run.updates_to_settle(), run.updates_to_settle(200),
                         run.updates_to_settle(400)]
        assert max(took) <= 10

    @pytest.mark.parametrize("mix", MIXES, ids=lambda mix: ":".join(map(str, mix)))
    def test_ten_percent_noise_moves_the_lines_at_most_twice_in_1000_updates(
        self, mix: list[float]
    ) -> None:
        run = simulate(throttled(mix, 1024), weather(2200, len(mix), 0.1, seed=0))
        assert run.renewed[200:].sum() <= 4
        assert run.share_of_best(200) >= 0.97
        # Its own forecast of each step, next to noise that no forecast knows.
        assert np.median(np.abs(run.predicted_s / run.step_s - 1)[200:]) <= 0.075

    @pytest.mark.parametrize("others", [1, 3, 7])
    @pytest.mark.parametrize("batch", [
        512, *(pytest.param(batch, marks=pytest.mark.soak) for batch in (1024, 4096))])
    def test_a_worker_20_times_slower_costs_at_most_2_percent(
        self, others: int, batch: int
    ) -> None:
        updates = 1000
        sky = weather(updates, others + 1, 0.05, seed=4)
        with_it = simulate(throttled([20.0] * others + [1], batch), sky)
        same = Weather(sky.noise[:, :-1], sky.drift[:, :-1], sky.tokens)
        without = simulate(throttled([20.0] * others, batch), same)
        assert with_it.step_s[20:].sum() <= 1.02 * without.step_s[20:].sum()


class TestBadInput:
    @pytest.mark.parametrize("seconds, said", [
        ([1, math.nan], "rank 1 reports nan s for 10 tokens"),
        ([-1, 1], "rank 0 reports -1.0 s"),
        ([1, 0], "rank 1 reports 0.0 s"),
        ([1, math.inf], "rank 1 reports inf s"),
        ([1], "2 tokens and 1 times for 2 ranks"),
    ])
    def test_a_time_that_makes_no_sense_names_its_rank(
        self, seconds: list[float], said: str
    ) -> None:
        balancer = Balancer(2)
        with pytest.raises(ValueError, match=said):
            balancer.observe([10, 10], seconds)
        assert balancer.updates == 0

    def test_tokens_are_not_negative(self) -> None:
        with pytest.raises(ValueError, match=r"rank 0 reports -1\.0 tokens"):
            Balancer(1).observe([-1], [1])

    def test_a_rank_without_tokens_may_take_no_time(self) -> None:
        x, t = check_times([5, 0], [1, 0], np.ones(2, bool))
        assert x.tolist() == [5, 0] and t.tolist() == [1, 0]

    @pytest.mark.parametrize("cost", [0, -5, math.nan, math.inf])
    def test_an_update_needs_tokens(self, cost: float) -> None:
        with pytest.raises(ValueError, match="cannot be shared"):
            Balancer(2).decide(cost)

    @pytest.mark.parametrize("speeds", [[1, -1], [1, 0], [1, math.nan]])
    def test_speeds_are_positive(self, speeds: list[float]) -> None:
        with pytest.raises(ValueError, match="speeds are positive numbers"):
            Balancer(2, speeds=speeds)

    def test_there_is_a_speed_for_every_rank(self) -> None:
        with pytest.raises(ValueError, match="3 speeds for 2 ranks"):
            Balancer(2, speeds=[1, 2, 3])

    def test_there_is_at_least_one_rank(self) -> None:
        with pytest.raises(ValueError, match="both start at 1"):
            Balancer(0)
