"""The page: headline, corpus, training, test results, configuration, environment."""

import shlex
from collections.abc import Mapping
from importlib import resources
from string import Template
from typing import Any

from reports import charts
from reports.drawing import Chart
from reports.html import Html, count, duration, el, join, percent, score, table
from reports.results import results
from reports.run import Run
from reports.verdict import evaluate_command, tiles, validation_majority, verdict

# What the rules of the manifest mean; a rule without words here is shown by its name.
DROPPED = {
    "duplicate": "duplicates of a stored review",
    "neutral": "neutral: neither positive nor negative",
    "no_words": "no word left after cleaning",
    "not_sampled": "not in the sample",
    "overlap": "also in a given test or validation set",
    "unused": "more than the wanted rows",
}


def render(run: Run) -> str:
    """The whole page. The same run gives the same bytes."""
    template = resources.files("reports").joinpath("report.html").read_text("utf-8")
    body = join(
        headline(run),
        notices(run),
        section("corpus", "Corpus", *corpus(run)),
        section("training", "Training", *training(run)),
        section("test", "Test results", *results(run)),
        section("configuration", "Configuration", *configuration(run)),
        section("environment", "Environment", *environment(run)),
    )
    name = join(f"{run.path.resolve().name} · reviewmill")
    return Template(template).substitute(title=name, body=body)


def section(name: str, title: str, *parts: Html | None) -> Html:
    """A part of the page with its heading and a link target."""
    return el("section", el("h2", title), *parts, id=name)


def headline(run: Run) -> Html:
    """What a reader in a hurry takes away."""
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
    links = [
        el("a", name, href=f"#{name.lower().split()[0]}")
        for name in ("Corpus", "Training", "Test results", "Configuration", "Environment")
    ]
    figures = [
        el("div", el("dt", name), el("dd", figure), el("dd", remark, cls="remark"))
        for name, figure, remark in tiles(run)
    ]
    return el(
        "header",
        el("p", el("b", "reviewmill"), " · run ", el("code", str(run.path)), " ",
           el("span", state, cls=f"state {state}"), cls="run"),
        el("h1", first, el("span", f"; {second}." if second else ".")),
        el("p", " · ".join(fact for fact in facts if fact), cls="facts"),
        el("dl", *figures, cls="tiles") if figures else None,
        el("nav", *links),
    )


def notices(run: Run) -> Html:
    """What a reader must know before believing the rest."""
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


def notice(kind: str, first: str, *rest: Any) -> Html:
    """A box that stands out: kind is bad, warn or note."""
    return el("p", el("b", first), *rest, cls=f"notice {kind}")


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


def grid(*cards: Html | Chart | None) -> Html:
    """Cards side by side; the last chart of an odd number takes both columns."""
    shown = [card for card in cards if card is not None]
    odd = len(shown) % 2
    return el("div", *(
        card if isinstance(card, Html) else card.html(wide=bool(odd and card is shown[-1]))
        for card in shown
    ), cls="grid")


def corpus(run: Run) -> list[Html | None]:
    """Where the reviews of the store come from, and what they are like."""
    if not run.manifest:
        return [el("p", "The manifest of the store is not in this run, and the store is not at ",
                   el("code", run.store or "any known path"), ".", cls="empty")]
    splits = run.manifest["splits"]
    classes = [str(name) for name in run.manifest["classes"]]
    rows = []
    for name in charts.SPLITS:
        entry = splits.get(name)
        if entry:
            words = max(1, entry.get("words", 0))
            rows.append([
                name, count(entry["rows"]),
                *(count(entry["labels"].get(label, 0)) for label in classes),
                count(entry.get("words", 0) / max(1, entry["rows"])),
                percent(entry.get("unknown_words", 0) / words),
                percent(entry.get("truncated", 0) / max(1, entry["rows"])),
            ])
    head = ["split", "reviews", *classes, "words each", "unknown words", "cut"]
    kept = f"{count(run.manifest['vocabulary_size'])} ids"
    if run.manifest.get("distinct_words"):
        kept += f" for {count(run.manifest['distinct_words'])} distinct words"
    return [
        grid(records(run.manifest), charts.ratings(run.manifest), charts.lengths(run.manifest),
             charts.labels(run.manifest)),
        el("figure", el("figcaption", el("h3", "Splits"),
                        el("p", f"Vocabulary: {kept}, counted in the training split.")),
           table(head, rows), cls="card wide"),
    ]


def records(manifest: Mapping[str, Any]) -> Html:
    """What became of every record: read = stored + dropped + bad."""
    entry = manifest["records"]
    read = entry["read"]
    rows: list[list[Any]] = []

    def line(name: Any, n: int, sign: str = "") -> None:
        rows.append([name, f"{sign if n else ''}{count(n)}", percent(n / read if read else None)])

    line("records read", read)
    for rule, n in entry["dropped"].items():
        if n or rule == "duplicate":
            line(DROPPED.get(rule, rule.replace("_", " ")), n, "− ")
    for reason, n in entry["bad"].items():
        if n:
            line(f"bad: {reason.replace('_', ' ')}", n, "− ")
    if not sum(entry["bad"].values()):
        line("bad", 0, "− ")
    line("stored", entry["stored"])
    settled = entry["stored"] + sum(entry["dropped"].values()) + sum(entry["bad"].values())
    wrong = None
    if settled != read:
        wrong = notice("bad", "These do not add up:",
                       f" {count(read)} records were read, {count(settled)} are accounted for.")
    return el("figure", el("figcaption", el("h3", "Records"),
                           el("p", "Every record read is stored, dropped by a rule, or bad.")),
              table(["", "records", "of all"], rows, cls="sum"), wrong, cls="card")


def training(run: Run) -> list[Html | None]:
    """How the training went, by update, by epoch and by rank."""
    first = charts.loss(run)
    if first is None:
        return [el("p", "No update is recorded yet.", cls="empty")]
    return [
        el("div", first.html(wide=True), cls="grid"),
        grid(charts.validation(run, validation_majority(run)), charts.learning_rate(run),
             charts.throughput(run), charts.shares(run), charts.waiting(run)),
        epochs(run),
    ]


def epochs(run: Run) -> Html | None:
    """A table of the epochs: the last twenty, and the best in any case."""
    if not run.epochs:
        return None
    numbers = sorted(run.epochs)
    shown = sorted({*numbers[-20:], *([run.best_epoch] if run.best_epoch is not None else [])})
    rows = []
    for number in shown:
        epoch = run.epochs[number]
        checked = epoch.get("validation") or {}
        best = el("span", "best", cls="tag") if number == run.best_epoch else None
        rows.append([
            join(number + 1, " ", best), score(epoch.get("loss"), 4), score(checked.get("loss"), 4),
            percent(checked.get("accuracy"), 2), score(checked.get("f1_macro")),
            score(checked.get("roc_auc")), count(epoch.get("reviews_per_s")),
            duration(epoch.get("seconds")),
        ])
    head = ["epoch", "training loss", "validation loss", "accuracy", "macro F1", "ROC AUC",
            "reviews/s", "time"]
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


def settings(title: str, source: str, values: Mapping[str, Any]) -> Html:
    """A card of names and values."""
    pairs = [
        el("div", el("dt", name), el("dd", plain(value))) for name, value in flat(values)
    ]
    body = el("dl", *pairs, cls="settings") if pairs else el("p", "Nothing recorded.", cls="empty")
    return el("figure", el("figcaption", el("h3", title), el("p", source)), body, cls="card wide")


def flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Nested mappings as dotted names."""
    pairs: list[tuple[str, Any]] = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            pairs += flat(value, f"{prefix}{name}.")
        else:
            pairs.append((f"{prefix}{name}", value))
    return pairs


def plain(value: Any) -> str:
    """A value as a person writes it."""
    if value is None or value == "" or value == []:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        some = ", ".join(plain(part) for part in value[:24])
        return some if len(value) <= 24 else f"{some}, … ({count(len(value))} in all)"
    return f"{value:g}" if isinstance(value, float) else str(value)


def environment(run: Run) -> list[Html | None]:
    """Where it ran, and on what data exactly."""
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
