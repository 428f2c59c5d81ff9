"""The page about a comparison of models: figures, differences from the reference, runs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from reports.drawing import GRID, INK, SERIES, Chart
from reports.html import Html, count, duration, el, join, percent, score, table
from reports.parts import header, notice, page, section, settings
from reports.studies.learning_curve import learning_curve
from reports.studies.precision_recall import of_comparison
from reports.studies.summary_file import read_summary
from reports.studies.wrong_labels import wrong_labels
from reviews.metrics import NORMAL

FILE, FORMAT = "compare.json", "reviewmill-comparison/1"
TESTS = {
    "seeds_and_reviews": "seeds and reviews",
    "folds": "t-test over folds, corrected",
    "t": "t-test over seeds",
    "mcnemar": "McNemar, reviews",
    "bootstrap": "bootstrap over reviews",
    "product_bootstrap": "bootstrap over products",
    "reviewer_bootstrap": "bootstrap over reviewers",
}
Comparison = Mapping[str, Any]


def read_comparison(folder: Path) -> Comparison:
    """compare.json of a folder; UserError where it is none."""
    return read_summary(folder / FILE, FORMAT)


def render_comparison(comparison: Comparison, name: str) -> str:
    """The whole page. The same comparison gives the same bytes."""
    return page(
        f"{name} · reviewmill", "the comparison",
        _header(comparison, name),
        _notices(comparison),
        section("results", "Results", *_results(comparison)),
        section("differences", "Differences", *_differences(comparison)),
        of_comparison(comparison),
        section("slices", "Slices", _slices(comparison)),
        learning_curve(comparison),
        section("mistakes", "Mistakes", _mistakes(comparison), wrong_labels(comparison)),
        section("runs", "Runs", _runs(comparison)),
        section("protocol", "Protocol", _protocol(comparison)),
    )


def _header(comparison: Comparison, name: str) -> Html:
    models = comparison["models"]
    best = max(models, key=lambda summary: summary["accuracy"], default=None)
    state = "failed" if comparison["failures"] else "finished"
    if best is None:
        sentence = ("No run finished", "there is nothing to compare")
    else:
        sentence = (f"{best['model']} has the highest accuracy: {percent(best['accuracy'], 2)}",
                    _verdict(comparison, best["model"]))
    facts = [f"{count(len(models))} models", f"{count(len(comparison['runs']))} runs",
             f"{count(comparison['training_rows'])} training reviews",
             f"{count(comparison['test_rows'])} test reviews"]
    return header(("comparison", name, el("span", state, cls=f"state {state}")), sentence, facts,
                  [], ("Results", "Differences",
                       *(["Precision and recall"] if comparison.get("precision_recall") else []),
                       "Slices",
                       *(["Learning curve"] if comparison.get("learning_curve") else []),
                       "Mistakes", "Runs", "Protocol"))


def _verdict(comparison: Comparison, best: str) -> str:
    """Certainty that the best is better than the reference."""
    reference = comparison["reference"]
    if best == reference:
        return "it is the reference"
    for row in comparison["differences"]:
        if row["model"] == best:
            p = row["p"][comparison["quoted"]]["holm"]
            found = "significant" if p < 0.05 else "not significant"
            return f"its difference from {reference} is {found} (p = {p:.2g} by Holm)"
    return f"{reference}, the reference, has no finished run"


def _notices(comparison: Comparison) -> Html:
    return join(*(
        notice("bad", f"{_name(comparison, failure)}, failed:",
               f" {failure['reason']}.")
        for failure in comparison["failures"]))


def _results(comparison: Comparison) -> list[Html | None]:
    if not comparison["models"]:
        return [el("p", "No run finished.", cls="empty")]
    rows = []
    rated = any("rating_rmse" in summary for summary in comparison["models"])
    for summary in comparison["models"]:
        tag = (el("span", "reference", cls="tag")
               if summary["model"] == comparison["reference"] else None)
        rows.append([
            join(summary["model"], " ", tag), count(len(summary["seeds"])),
            percent(summary["accuracy"], 2), _points(summary["accuracy_seed_deviation"]),
            _points(summary["accuracy_test_error"]), _score(summary, "f1_macro"),
            _score(summary, "roc_auc"), *([_rating(summary)] if rated else []),
            duration(summary["train_s"]), count(summary["reviews_per_s"]),
            _megabytes(summary["bytes"]), _megabytes(summary["peak_bytes"])])
    unit = _unit(comparison)
    head = ["model", "runs", "accuracy", f"± {unit}s", "± test reviews", "macro F1", "ROC AUC",
            *(["RMSE of the rating"] if rated else []), "training", "reviews/s scored", "size",
            "peak memory"]
    says = (f"± {unit}s: standard deviation over {unit}s, of scores behind their mean; "
            "± test reviews: standard error from the draw of the test reviews. Means over runs; "
            "memory is the most of any process. Times are without the start of the program.")
    if rated:
        says += (" RMSE of the rating: of a model of its own, which learns ratings by their "
                 "squared error; the majority's is that of the mean; ± test reviews.")
    return [el("div", _accuracy_chart(comparison).html(wide=True), cls="grid"),
            el("figure", el("figcaption", el("h3", "Scores and costs"), el("p", says)),
               table(head, rows), cls="card wide")]


def _accuracy_chart(comparison: Comparison) -> Chart:
    """Mean accuracies with what the draw of the test reviews leaves open, and single runs."""
    models = comparison["models"]
    height = max(140, 70 + 30 * len(models))

    def draw(axes: Axes) -> None:
        for row, summary in enumerate(models):
            own = [run["accuracy"] for run in comparison["runs"]
                   if run["model"] == summary["model"]]
            axes.plot(own, [row + 0.28] * len(own), "o", color=SERIES[1], markersize=4)
            axes.errorbar(summary["accuracy"], row, xerr=NORMAL * summary["accuracy_test_error"],
                          color=SERIES[0], marker="s", markersize=7, capsize=4, linewidth=2)
        axes.set_yticks(np.arange(len(models)), [_label(summary["model"]) for summary in models],
                        parse_math=False)
        axes.tick_params(axis="y", labelcolor=INK)
        axes.set_ylim(len(models) - 0.5, -0.5)
        axes.xaxis.set_major_locator(MaxNLocator(6))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{100 * x:g} %"))
        axes.grid(axis="x", color=GRID)

    return Chart("accuracy", "Accuracy on the test reviews", draw,
                 "Bars: 95 % intervals over the draw of the test reviews.",
                 [(f"mean over {_unit(comparison)}s", SERIES[0]), ("one run", SERIES[1])], height)


def _differences(comparison: Comparison) -> list[Html | None]:
    reference = comparison["reference"]
    if not comparison["differences"]:
        return [el("p", f"There is nothing to set against {reference}.", cls="empty")]
    head = ["model", "points", "95 %", "95 %, reviews alone", "better by 0.2",
            "equal within 0.2", "worse by 0.2", "power at 0.5"]
    rows, tests = [], []
    for row in comparison["differences"]:
        found = row["difference"]
        rows.append([
            row["model"], _signed(found["mean"]), _interval(found["low"], found["high"]),
            _interval(row["bootstrap_low"], row["bootstrap_high"]),
            *(percent(found[name], 0) for name in ("better", "equal", "worse", "power"))])
        for test in (test for test in TESTS if test in row["p"]):
            title, values = TESTS[test], row["p"][test]
            shown = (["–"] * 3 if values is None
                     else [f"{values[kind]:.2g}" for kind in ("p", "holm", "bonferroni")])
            tests.append([f"{row['model']}: {title}", *shown])
    says = (f"Accuracy less that of {reference}, in points. Chances of a true difference above, "
            "within and below 0.2 points; power: chance that a true difference of 0.5 points "
            "would be found.")
    tested = f"p of no difference from {reference}, and corrected for the number of models. "
    tested += (
        "Folds share most of their training rows, so the variance of their t-test is that of "
        "Nadeau and Bengio; tests of reviews see all folds together." if comparison["folds"] else
        "McNemar compares the first run of each. There is no t where accuracies do not vary "
        "with the seed: a deterministic model is tested by reviews alone.")
    return [el("figure", el("figcaption", el("h3", f"Difference from {reference}"), el("p", says)),
               table(head, rows), cls="card wide"),
            el("figure", el("figcaption", el("h3", "Tests"), el("p", tested)),
               table(["test", "p", "by Holm", "by Bonferroni"], tests), cls="card wide")]


def _runs(comparison: Comparison) -> Html:
    if not comparison["runs"]:
        return el("p", "No run finished.", cls="empty")
    rows = [[_name(comparison, run), percent(run["accuracy"], 2),
             score(run["f1_macro"], 4), score(run["roc_auc"], 4), duration(run["train_s"]),
             count(run["reviews_per_s"]), _megabytes(run["peak_bytes"])]
            for run in comparison["runs"]]
    head = ["run", "accuracy", "macro F1", "ROC AUC", "training", "reviews/s scored",
            "peak memory"]
    return el("figure", el("figcaption", el("h3", "Single runs")), table(head, rows),
              cls="card wide")


def _slices(comparison: Comparison) -> Html:
    if not comparison["slices"]:
        return el("p", "No slice has enough reviews.", cls="empty")
    models = [summary["model"] for summary in comparison["models"]]
    rows = [[f"{one['by']} {one['slice']}", count(one["n"]),
             *(f"{percent(one['accuracy'][model], 2)} ± {_points(one['error'][model])}"
               for model in models)] for one in comparison["slices"]]
    says = ("Accuracy, means over runs, ± standard error from the draw of the reviews. Lengths "
            "count the token ids that the store keeps of a review.")
    return el("figure", el("figcaption", el("h3", "Accuracy by kind of review"), el("p", says)),
              table(["slice", "reviews", *models], rows), cls="card wide")


def _mistakes(comparison: Comparison) -> Html:
    found = comparison["mistakes"]
    if found is None:
        return el("p", "Mistakes are shown as text where --input names the files that the store "
                  "was prepared from.", cls="empty")
    rows = [[one["label"], f"{one['said']}, {percent(one['probability'], 1)}", one["text"]]
            for one in found["reviews"]]
    says = "Wrong predictions of the highest probability. Some of the labels are wrong, too."
    return el("figure", el("figcaption", el("h3", f"What {found['model']} was surest of"),
                           el("p", says)),
              table(["label", "said", "review"], rows, cls="prose texts"), cls="card wide")


def _unit(comparison: Comparison) -> str:
    return "fold" if comparison["folds"] else "seed"


def _name(comparison: Comparison, run: Mapping[str, Any]) -> str:
    return f"{run['model']}, {_unit(comparison)} {run['seed']}"


def _protocol(comparison: Comparison) -> Html:
    values = {name: comparison[name] for name in (
        "store", "reference", "sample", "folds", "training_rows", "test_rows")}
    if comparison["folds"]:
        values["vocabulary"] = "the store's, of the whole training split: folds share it"
    return settings("Shared by all runs", "compare.json",
                    {**values, "store sha256": comparison["fingerprint"]})


def _label(name: str) -> str:
    """A name with room for it on an axis."""
    return name if len(name) <= 20 else f"{name[:19]}…"


def _rating(summary: Mapping[str, Any]) -> str:
    """Error of the predicted ratings with its standard error, if it predicts some."""
    if "rating_rmse" not in summary:
        return "–"
    return f"{summary['rating_rmse']:.3f} ± {summary['rating_rmse_test_error']:.3f}"


def _score(summary: Mapping[str, Any], name: str) -> str:
    """A mean over seeds with its deviation, if it has one."""
    deviation = summary[f"{name}_seed_deviation"]
    shown = score(summary[name], 4)
    return shown if deviation is None else f"{shown} ± {deviation:.4f}"


def _points(fraction: float | None) -> str:
    return "–" if fraction is None else f"{100 * fraction:.2f}"


def _signed(fraction: float) -> str:
    return f"{100 * fraction:+.2f}"


def _interval(low: float, high: float) -> str:
    return f"{_signed(low)} to {_signed(high)}"


def _megabytes(size: float) -> str:
    return f"{size / 1e6:,.1f} MB"
