"""`reviewmill watch`: what a person sees of a run that goes on, and of one that has ended."""

import io
import os
from pathlib import Path

import pytest

from reports.live.run_follower import RECENT, RunFollower
from reports.live.watch import CLEAR, main, view
from reviewmill import main as reviewmill
from reviews.errors import UserError
from reviews.run_folder import append_record
from tests.reports.runs import make_run, step_records


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run of 5 epochs of 39 updates, half of them done."""
    made = make_run(tmp_path / "run", finished=False, evaluated=False)
    (made / "log.txt").write_text("2026-11-27T20:15:53Z 39,936 reviews, 39 updates an epoch\n")
    return made


def seen(run: Path) -> list[str]:
    follower = RunFollower(run)
    follower.read()
    return view(follower)


def test_the_view_has_progress_loss_speed_and_a_line_for_each_rank(run: Path) -> None:
    steps = list(step_records(97))[-RECENT:]
    lines = seen(run)
    seconds = sum(step["step_s"] for step in steps)
    minutes, rest = divmod(round(seconds / RECENT * (195 - 97)), 60)
    time = f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
    assert lines[0] == f"epoch 3/5, update 97 of 195 (50%), {time} left"
    loss = sum(step["loss"] for step in steps) / RECENT
    assert lines[1].startswith(f"loss {loss:.4f}; epoch 2: ")
    assert "validation accuracy" in lines[1]
    assert lines[2].startswith(f"{1024 * RECENT / seconds:,.0f} reviews/s, efficiency ")
    ranks = [line.split() for line in lines[-2:]]
    waits = [sum(step["wait_s"][rank] for step in steps) / seconds for rank in range(2)]
    assert ranks == [[str(rank), "50.0%", f"{waits[rank]:.1%}"] for rank in range(2)]


def test_a_run_says_how_it_ended_or_that_it_is_silent(run: Path) -> None:
    os.utime(run / "metrics.jsonl", (1e9, 1e9))
    assert ", no line for " in seen(run)[0]
    append_record(run, "failure", {"step": 98, "epoch": 2, "update": 20, "reason": "loss is NaN"})
    assert seen(run)[0].endswith(", loss is NaN")
    append_record(run, "step", {k: v for k, v in next(step_records(1, first=98)).items()
                                if k != "kind"})
    (run / "summary.json").write_text("{}")
    assert seen(run)[0].endswith(", finished")


def test_a_run_that_has_just_begun_has_no_update(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("epochs: 3\n")
    assert seen(tmp_path) == ["no update yet"]


def test_elsewhere_than_on_a_terminal_it_is_written_once(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert reviewmill(["watch", str(run)]) == 0
    said = capsys.readouterr().out
    assert said.startswith("epoch 3/5") and CLEAR not in said


def test_on_a_terminal_it_is_renewed_until_the_run_has_ended(run: Path) -> None:
    out, pauses = Terminal(), []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 2:
            (run / "summary.json").write_text("{}")

    assert main([str(run), "--interval", "0.5"], out, sleep) == 0
    assert pauses == [0.5, 0.5]
    assert out.getvalue().count(CLEAR) == 3


def test_what_is_no_run_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"is no run folder: it has no config\.yaml"):
        main([str(tmp_path)])
    (tmp_path / "config.yaml").touch()
    with pytest.raises(UserError, match="--interval is 0"):
        main([str(tmp_path), "--interval", "0"])


def test_a_measured_noise_scale_is_shown(run: Path) -> None:
    figures = {"scale": 812.3, "error": 40.2, "updates": 9, "batch_size": 1024}
    for scale, said in ((figures, "gradient noise scale 812 ± 40 reviews, which suggests batches "
                                  "of 1,024"),
                        ({**figures, "scale": None}, "gradient noise scale unknown")):
        append_record(run, "epoch", {"epoch": 0, "loss": 0.5, "validation": None,
                                     "noise_scale": scale})
        assert any(line.startswith(said) for line in "\n".join(seen(run)).splitlines())


def test_a_loss_scale_is_shown(run: Path) -> None:
    append_record(run, "epoch", {"epoch": 0, "loss": 0.5, "validation": None, "loss_scale": {
        "value": 32768.0, "finite": 7, "overflows": 3}})
    assert "loss scale 32,768, 3 overflows so far" in "\n".join(seen(run)).splitlines()
