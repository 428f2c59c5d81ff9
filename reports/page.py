"""The page: headline, corpus, training, test results, configuration, environment."""

import shlex
from collections.abc import Mapping
from typing import Any

from reports import charts
from reports.corpus import corpus
from reports.html import Html, count, duration, el, join, percent, score, table
from reports.parts import grid, header, notice, page, section, settings
from reports.results import calibration, results
from reports.run import Run
from reports.studies.noise_scale import noise_scale
from reports.studies.resources import resources
from reports.verdict import evaluate_command, tiles, validation_majority, verdict
from reviews.run_folder import loss_scale_line


def render(run: Run) -> str:
    """The whole page. The same run gives the same bytes."""
    body = join(
        headline(run),
        notices(run),
        section("corpus", "Corpus", *corpus_of(run)),
        section("training", "Training", *training(run)),
        section("test", "Test results", *results(run)),
        *([section("calibration", "Calibration", calibration(run.calibration))]
          if run.calibration else []),
        section("configuration", "Configuration", *configuration(run)),
        section("environment", "Environment", *environment(run)),
    )
    return page(f"{run.path.resolve().name} · reviewmill", "the run", body)


def headline(run: Run) -> Html:
    """Headline: the result for a reader in a hurry."""
    first, second = verdict(run)
    state = "failed" if run.failures else "finished" if run.finished else "unfinished"
    facts = [
        str(run.config["model"]) if run.config.get("model") else None,
        f"{count(run.summary['parameters'])} parameters" if run.summary.get("parameters") else None,
        f"{count(len(run.epochs))} of {count(run.config['epochs'])} epochs"
        if run.config.get("epochs") else None,
        f"{count(run.curve.last_step)} updates" if run.curve.points else None,
        duration(run.summary["seconds"]) if run.summary.get("seconds") else None,
    ]
    return header(
        ("run", str(run.path), el("span", state, cls=f"state {state}")), (first, second), facts,
        tiles(run), ("Corpus", "Training", "Test results",
                     *(["Calibration"] if run.calibration else []), "Configuration",
                     "Environment"),
    )


def notices(run: Run) -> Html:
    """Notices that a reader needs before the figures."""
    shown = [failure(record, True) for record in run.failures]
    path = shlex.quote(str(run.path))
    if not run.finished:
        where = f"update {count(run.curve.last_step)}" if run.curve.points else "the start"
        resume = f"reviewmill train --resume --out {path}"
        if run.store:
            resume = f"reviewmill train {shlex.quote(run.store)} --out {path} --resume"
        shown.append(notice(
            "warn", "This run is not finished.", f" Everything below is as of {where}. "
            "If it is not running any more, go on with ", el("code", resume),
        ))
    if run.test is None:
        shown.append(notice(
            "warn", "Not evaluated on test reviews yet.", " This does it: ",
            el("code", evaluate_command(run)),
        ))
    shown += [failure(record, False) for record in run.recovered]
    if run.unreadable:
        lines = "one line" if run.unreadable == 1 else f"{run.unreadable} lines"
        shown.append(notice(
            "note", f"Left out {lines} of metrics.jsonl that could not be read,",
            " as a run leaves behind that was cut off while it wrote.",
        ))
    return join(*shown)


def failure(record: Mapping[str, Any], last: bool) -> Html:
    """One failure record; not the last if the run went on after it."""
    said = record.get("reason") or record.get("message") or record.get("error") or "no reason given"
    where = [
        f"{name} {count(record[name] + (name == 'epoch'))}"
        for name in ("rank", "epoch", "step")
        if isinstance(record.get(name), int)
    ]
    place = f" ({', '.join(where)})" if where else ""
    if last:
        return notice("bad", f"The run failed: {said}", f"{place}.")
    return notice("note", "It was resumed after a failure:", f" {said}{place}.")


def corpus_of(run: Run) -> list[Html | None]:
    """The reviews of the store that it trained on."""
    if run.manifest:
        return corpus(run.manifest)
    return [el("p", "The manifest of the store is not in this run, and the store is not at ",
               el("code", run.store or "any known path"), ".", cls="empty")]


def training(run: Run) -> list[Html | None]:
    """Course of the training, by update, by epoch and by rank."""
    first = charts.loss(run)
    if first is None:
        return [el("p", "No update is recorded yet.", cls="empty")]
    return [
        el("div", first.html(wide=True), cls="grid"),
        grid(charts.validation(run, validation_majority(run)), charts.learning_rate(run),
             charts.throughput(run), charts.shares(run), charts.waiting(run)),
        resources(run),
        noise_scale(run),
        loss_scale(run),
        epochs(run),
    ]


def rate_at(run: Run, step: int | None) -> str:
    """Learning rate of an update, or of the last of those that the curve has joined with it."""
    for point in run.curve.points:
        if step is not None and point.first <= step <= point.last:
            return f"{point.learning_rate:.3g}"
    return "–"


def loss_scale(run: Run) -> Html | None:
    """The loss scale of the latest epoch that has one."""
    known = [number for number in sorted(run.epochs) if run.epochs[number].get("loss_scale")]
    if not known:
        return None
    return el("p", f"Epoch {known[-1] + 1}: "
                   f"{loss_scale_line(run.epochs[known[-1]]['loss_scale'])}.", cls="facts")


def epochs(run: Run) -> Html | None:
    """A table of the epochs: the last twenty, and that of the model in any case."""
    if not run.epochs:
        return None
    numbers = sorted(run.epochs)
    shown = sorted({*numbers[-20:], *([run.kept_epoch] if run.kept_epoch is not None else [])})
    rows = []
    for number in shown:
        epoch = run.epochs[number]
        checked = epoch.get("validation") or {}
        kept = el("span", "kept", cls="tag") if number == run.kept_epoch else None
        rows.append([
            join(number + 1, " ", kept), score(epoch.get("loss"), 4), score(checked.get("loss"), 4),
            percent(checked.get("accuracy"), 2), score(checked.get("f1_macro")),
            score(checked.get("roc_auc")), count(epoch.get("reviews_per_s")),
            rate_at(run, epoch.get("step")), duration(epoch.get("seconds")),
        ])
    head = ["epoch", "training loss", "validation loss", "accuracy", "macro F1", "ROC AUC",
            "reviews/s", "last learning rate", "time"]
    left = len(numbers) - len(shown)
    note = el("p", f"{left} earlier epochs are left out.") if left else None
    return el("figure", el("figcaption", el("h3", "Epochs"), note), table(head, rows),
              cls="card wide")


def configuration(run: Run) -> list[Html | None]:
    """Every choice of the training and of the preparation, as resolved."""
    recipe = run.manifest.get("recipe") or {}
    return [
        settings("Training", "config.yaml", run.config),
        settings("Preparation", "the recipe in the store's manifest", recipe) if recipe else None,
    ]


def environment(run: Run) -> list[Html | None]:
    """Hosts, versions and exact data of a run."""
    store = run.summary.get("store") or {}
    hosts = dict.fromkeys(run.summary.get("hosts") or [])
    values = {
        **(run.summary.get("environment") or {}),
        **({"backend": run.summary["backend"]} if run.summary.get("backend") else {}),
        **({"hosts": list(hosts)} if hosts else {}),
        **({"store": run.store} if run.store else {}),
        **({"store sha256": store["fingerprint"]} if store.get("fingerprint") else {}),
    }
    return [settings("Machine and software", "summary.json", values)]
