"""`reviewmill watch RUN`: live view of a run in the terminal; one page of text elsewhere."""

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TextIO

from reports.live.run_follower import Record, RunFollower
from reviews.errors import UserError
from reviews.options import make_parser
from reviews.run_folder import CONFIG, loss_scale_line, noise_line
from reviews.runtime.progress import left
from reviews.storage.kinds import instead

CLEAR = "\033[H\033[J"
SILENT_S = 60.0  # without a line, after which the view says so


def main(
    argv: Sequence[str] | None = None, out: TextIO | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """Run the command: on a terminal until the run has ended, else once."""
    parser = make_parser(
        "reviewmill watch", "Progress of a training, from its run folder alone: on a terminal "
        "until the run ends or Ctrl-C, elsewhere once.")
    parser.add_argument("run", metavar="RUN", help="run folder")
    parser.add_argument("--interval", type=float, default=2.0, metavar="SECONDS",
                        help="seconds between two views (2)")
    options = parser.parse_args(argv)
    run, out = Path(options.run), out or sys.stdout
    if not (run / CONFIG).is_file():
        raise UserError(f"{run} is no run folder: it has no {CONFIG}{instead(run)}")
    if not options.interval > 0:
        raise UserError(f"--interval is {options.interval:g}: give more than 0 seconds")
    follower = RunFollower(run)
    while True:
        follower.read()
        text = "\n".join(view(follower)) + "\n"
        live = out.isatty()
        out.write(CLEAR + text if live else text)
        out.flush()
        if not live or follower.finished:
            return 0
        sleep(options.interval)


def view(run: RunFollower) -> list[str]:
    """The lines of a view."""
    if not run.recent:
        return ["no update yet"]
    steps = list(run.recent)
    lines = [_progress(run, steps), _learned(run, steps)]
    seconds = sum(step["step_s"] for step in steps)
    lines.append(
        f"{sum(step['reviews'] for step in steps) / seconds:,.0f} reviews/s, efficiency "
        f"{_mean(steps, 'efficiency')}, ceiling {_mean(steps, 'ceiling')} "
        f"({len(steps)} updates)")
    lines += ["", f"{'rank':>4}  {'share':>6}  {'waiting':>7}"]
    reviews = sum(map(sum, (step["shares"] for step in steps))) or 1
    for rank in range(len(steps[-1]["shares"])):
        shares = [step["shares"][rank] for step in steps if rank < len(step["shares"])]
        waits = [step["wait_s"][rank] for step in steps if rank < len(step["wait_s"])]
        lines.append(f"{rank:>4}  {sum(shares) / reviews:>6.1%}  {sum(waits) / seconds:>7.1%}")
    return lines


def _progress(run: RunFollower, steps: Sequence[Record]) -> str:
    total, epochs = run.total(), run.config().get("epochs", "?")
    text = f"epoch {steps[-1]['epoch'] + 1}/{epochs}, update {run.step:,}"
    if total:
        text += f" of {total:,} ({run.step / total:.0%})"
    if run.failure is not None:
        return f"{text}, {run.failure['reason']}"
    if run.finished:
        return f"{text}, finished"
    if (run.silent_s or 0) > SILENT_S:
        return f"{text}, no line for {run.silent_s:.0f} s"
    if total:
        seconds = sum(step["step_s"] for step in steps) / len(steps)
        text += f", {left(0.0, seconds * run.step, run.step / total)} left"
    return text


def _learned(run: RunFollower, steps: Sequence[Record]) -> str:
    text = f"loss {sum(step['loss'] for step in steps) / len(steps):.4f}"
    if run.epoch is not None:
        text += f"; epoch {run.epoch['epoch'] + 1}: {run.epoch['loss']:.4f}"
        if run.epoch.get("validation"):
            text += f", validation accuracy {run.epoch['validation']['accuracy']:.2%}"
        if run.epoch.get("noise_scale"):
            text += f"\n{noise_line(run.epoch['noise_scale'])}"
        if run.epoch.get("loss_scale"):
            text += f"\n{loss_scale_line(run.epoch['loss_scale'])}"
    return text


def _mean(steps: Sequence[Record], name: str) -> str:
    """Mean of a figure that a step may lack."""
    found = [step[name] for step in steps if step.get(name) is not None]
    return f"{sum(found) / len(found):.0%}" if found else "unknown"
