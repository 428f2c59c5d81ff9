"""The page about a search of options: the best trial, all trials, what each option did."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from reports.drawing import GRID, SERIES, Chart
from reports.html import Html, count, duration, el, percent, score, short, table
from reports.parts import grid, header, notice, page, plain, section, settings
from reports.studies.summary_file import read_summary

FILE, FORMAT = "tune.json", "reviewmill-tuning/1"
DRAWN, LISTED = 6, 30  # options with a drawing, and trials in the table
Tuning = Mapping[str, Any]
Trial = Mapping[str, Any]


def read_tuning(folder: Path) -> Tuning:
    """tune.json of a folder; UserError where it is none."""
    return read_summary(folder / FILE, FORMAT)


def render_tuning(tuning: Tuning, name: str) -> str:
    """The whole page. The same search gives the same bytes."""
    return page(
        f"{name} · reviewmill", "the search",
        _header(tuning, name),
        _failures(tuning),
        section("best", "Best options", *_best(tuning)),
        section("trials", "Trials", *_trials(tuning)),
        section("options", "Options", _options(tuning)),
        section("protocol", "Protocol", _protocol(tuning)),
    )


def _header(tuning: Tuning, name: str) -> Html:
    trials, best = tuning["trials"], _best_trial(tuning)
    states = [trial["state"] for trial in trials]
    state = "finished" if best else "failed"
    if best is None:
        sentence = ("No trial is complete", "there are no best options")
    else:
        sentence = (f"{_metric(tuning)} {_shown(tuning, best['value'])} is the best of "
                    f"{count(states.count('complete'))} complete trials", _against(tuning, best))
    facts = [tuning["model"], f"{count(len(trials))} trials", f"{states.count('pruned')} pruned",
             f"{count(tuning['sample'])} reviews drawn",
             duration(sum(trial["seconds"] for trial in trials))]
    return header(("search", name, el("span", state, cls=f"state {state}")), sentence, facts, [],
                  ("Best options", "Trials", "Options", "Protocol"))


def _against(tuning: Tuning, best: Trial) -> str:
    """The best value beside that of the defaults, which the first trial has."""
    first = tuning["trials"][0]
    if first["number"] == best["number"]:
        return "it has the defaults"
    if first["state"] != "complete":
        return "the trial of the defaults is not complete"
    return f"the defaults have {_shown(tuning, first['value'])}"


def _failures(tuning: Tuning) -> Html:
    return Html("".join(
        notice("bad", f"Trial {trial['number']} failed:", f" {trial['reason']}.")
        for trial in tuning["trials"] if trial["state"] == "failed"))


def _best(tuning: Tuning) -> list[Html | None]:
    best = _best_trial(tuning)
    if best is None:
        return [el("p", "No trial is complete.", cls="empty")]
    rows = [[name, plain(value), plain(tuning["defaults"][name])]
            for name, value in best["params"].items()]
    text = yaml.safe_dump({**tuning["base"], **best["params"]}, sort_keys=False)
    lucky = ("The best of many trials is in part the luckiest: expect less of it on other "
             "reviews, and evaluate it on the test split, which no trial has read.")
    error = _error(tuning, best)
    if error is not None:
        lucky = (f"The draw of the {count(tuning['validated'])} validation reviews alone leaves "
                 f"a standard error of {100 * error:.2f} points. ") + lucky
    return [el("figure", el("figcaption", el("h3", f"Trial {best['number']}"), el("p", lucky)),
               table(["option", "best", "default"], rows), cls="card wide"),
            el("figure", el("figcaption", el("h3", "best.yaml"),
                            el("p", "reviewmill train STORE --config best.yaml --out RUN")),
               el("pre", el("code", text)), cls="card wide")]


def _error(tuning: Tuning, trial: Trial) -> float | None:
    """Standard error of an accuracy from the draw of the reviews; None of another metric."""
    if tuning["metric"] != "accuracy":
        return None
    return math.sqrt(trial["value"] * (1 - trial["value"]) / tuning["validated"])


def _trials(tuning: Tuning) -> list[Html | None]:
    trials = tuning["trials"]
    sign = 1 if tuning["direction"] == "maximize" else -1
    order = sorted((trial for trial in trials if trial["value"] is not None),
                   key=lambda trial: (trial["state"] != "complete", -sign * trial["value"]))
    names = list(tuning["space"])
    rows = [[f"{trial['number']}", _shown(tuning, trial["value"]), trial["state"],
             duration(trial["seconds"]), *(plain(trial["params"][name]) for name in names)]
            for trial in order[:LISTED]]
    left = len(order) - len(rows)
    says = "Complete trials first, the best at the top; the first trial of all has the defaults."
    if left > 0:
        says += f" {count(left)} more are in {FILE}."
    return [el("div", _history(tuning).html(wide=True), cls="grid"),
            el("figure", el("figcaption", el("h3", "All trials"), el("p", says)),
               table(["trial", tuning["metric"], "state", "time", *names], rows),
               cls="card wide")]


def _history(tuning: Tuning) -> Chart:
    """Values in the order of the trials, and the best so far."""
    done, cut = (_of_state(tuning, state) for state in ("complete", "pruned"))
    better = max if tuning["direction"] == "maximize" else min
    best: list[float] = []
    for trial in done:
        best.append(better([*best[-1:], trial["value"]]))

    def draw(axes: Axes) -> None:
        last = [len(tuning["trials"]) - 1] if done else []
        axes.step([*(trial["number"] for trial in done), *last], [*best, *best[-1:]],
                  where="post", color=SERIES[0])
        _points(axes, [trial["number"] for trial in done], done, [t["number"] for t in cut], cut)
        axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
        axes.set_xlabel("trial")
        _value_axis(axes, tuning)

    return Chart("trials", f"{_metric(tuning)} of the trials", draw,
                 "Pruned trials ended early, at the value that is drawn. Trials much worse than "
                 "most are outside of the drawings.",
                 [("best so far", SERIES[0]), ("complete", SERIES[2]), ("pruned", SERIES[7])])


def _options(tuning: Tuning) -> Html:
    done = _of_state(tuning, "complete")
    if len(done) < 2:
        return el("p", "Two complete trials are needed to compare values.", cls="empty")
    parts: Mapping[str, float] = tuning["importance"]
    names = [*parts, *(name for name in tuning["space"] if name not in parts)][:DRAWN]
    return grid(*(_option(tuning, number, name, parts.get(name))
                  for number, name in enumerate(names)))


def _option(tuning: Tuning, number: int, name: str, part: float | None) -> Chart:
    """The metric of trials over the values of one option."""
    done, cut = (_of_state(tuning, state) for state in ("complete", "pruned"))
    values, log = tuning["space"][name]["values"], tuning["space"][name]["log"]

    def places(trials: Sequence[Trial]) -> list[float]:
        shown = [trial["params"][name] for trial in trials]
        return [values.index(value) for value in shown] if values else shown

    def draw(axes: Axes) -> None:
        if log:
            axes.set_xscale("log")
            axes.xaxis.set_minor_locator(NullLocator())
            ticks = np.geomspace(tuning["space"][name]["low"], tuning["space"][name]["high"], 4)
            axes.xaxis.set_major_locator(FixedLocator([float(f"{x:.2g}") for x in ticks]))
        else:
            whole = isinstance(tuning["defaults"][name], int)
            axes.xaxis.set_major_locator(MaxNLocator(5, integer=whole))
        _points(axes, places(done), done, places(cut), cut)
        if values:
            axes.set_xticks(range(len(values)), [plain(value) for value in values],
                            parse_math=False)
            axes.set_xlim(-0.5, len(values) - 0.5)
        else:
            axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: short(x)))
        _value_axis(axes, tuning)

    says = "" if part is None else f"{percent(part, 0)} of the importance."
    return Chart(f"option-{number}", name, draw, says)


def _points(
    axes: Axes, x: Sequence[float], done: Sequence[Trial], x_cut: Sequence[float],
    cut: Sequence[Trial],
) -> None:
    axes.plot(x_cut, [trial["value"] for trial in cut], "x", color=SERIES[7], markersize=6)
    axes.plot(x, [trial["value"] for trial in done], "o", color=SERIES[2], markersize=6)


def _limits(tuning: Tuning) -> tuple[float, float]:
    """Ends of the axis of values: without trials that are much worse than most, beside which the
    others could not be told apart."""
    values = sorted((trial["value"] for trial in tuning["trials"] if trial["value"] is not None),
                    reverse=tuning["direction"] == "maximize")
    if not values:
        return 0.0, 1.0
    best, worst, middle = values[0], values[-1], values[len(values) // 2]
    worst = (max if tuning["direction"] == "maximize" else min)(
        worst, best + 3 * (middle - best)) if middle != best else worst
    room = abs(best - worst) / 12 or 0.01
    return min(best, worst) - room, max(best, worst) + room


def _value_axis(axes: Axes, tuning: Tuning) -> None:
    axes.set_ylim(*_limits(tuning))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    if tuning["metric"] == "accuracy":
        axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{100 * y:g} %"))
    axes.grid(axis="y", color=GRID)


def _protocol(tuning: Tuning) -> Html:
    space = {name: (plain(one["values"]) if one["values"]
                    else f"{one['low']:g} to {one['high']:g}" + ", log" * one["log"])
             for name, one in tuning["space"].items()}
    folds = tuning["folds"]
    by = (f"each of {folds} folds of the sample" if folds else "a fifth of the sample")
    return settings("Shared by all trials", FILE, {
        "store": tuning["store"], "store sha256": tuning["fingerprint"],
        "sample": tuning["sample"], "validated on": by, "seed": tuning["seed"],
        "not searched": tuning["base"], "searched": space})


def _best_trial(tuning: Tuning) -> Trial | None:
    best = tuning["best"]
    return None if best is None else next(t for t in tuning["trials"] if t["number"] == best)


def _of_state(tuning: Tuning, state: str) -> list[Trial]:
    return [trial for trial in tuning["trials"] if trial["state"] == state]


def _metric(tuning: Tuning) -> str:
    names = {"accuracy": "Accuracy", "f1_macro": "Macro F1", "roc_auc": "ROC AUC", "loss": "Loss"}
    return names[tuning["metric"]]


def _shown(tuning: Tuning, value: float) -> str:
    return percent(value, 2) if tuning["metric"] == "accuracy" else score(value, 4)
