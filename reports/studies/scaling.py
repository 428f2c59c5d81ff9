"""The page about a scaling study: speed-up and efficiency of each stage over nodes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from reports.drawing import GRID, MUTED, SERIES, SURFACE, Chart
from reports.html import Html, count, duration, el, percent, table
from reports.parts import grid, header, page, section, settings
from reports.studies.summary_file import read_summary

FILE, FORMAT = "scaling.json", "reviewmill-scaling/1"
TITLES = {"prepare": "Preparation", "train": "Training", "score": "Scoring"}
LATENCY = {"prepare": "until the store is there", "train": "of an update",
           "score": "of the answer for one text, while all nodes are busy"}
Study = Mapping[str, Any]
Point = Mapping[str, Any]


def read_scaling(folder: Path) -> Study:
    """scaling.json of a folder; UserError where it is none."""
    return read_summary(folder / FILE, FORMAT)


def render_scaling(study: Study, name: str) -> str:
    """The whole page. The same study gives the same bytes."""
    stages = list(dict.fromkeys(point["stage"] for point in study["points"]))
    about = {"machine": study["machine"], "measured nodes": study["measured_nodes"],
             "training": f"--config {study['config']}", "batch size": study["batch_size"]}
    titles = [TITLES[stage] for stage in stages]
    return page(
        f"{name} · reviewmill", "the study",
        _header(study, name, stages, [*titles, "Simulation", "Configuration"]),
        *(section(TITLES[stage].lower(), TITLES[stage], *_stage(study, stage))
          for stage in stages),
        section("simulation", "Simulation", *_simulation(study)),
        section("configuration", "Configuration",
                settings("How it was measured", "reviewmill bench scaling", about)))


def _header(study: Study, name: str, stages: Sequence[str], sections: Sequence[str]) -> Html:
    most = max(point["nodes"] for point in study["points"] if point["measured"])
    end = max(point["nodes"] for point in study["points"])
    first = (f"{_nodes(most)}, measured, reach {_speed_ups(study, stages, most)} times the speed "
             "of one")
    if most == 1:
        first = "One node is measured"
    second = (f"{_nodes(end)}, simulated, reach {_speed_ups(study, stages, end)}"
              if end > most else "")
    facts = [study["machine"], f"a node is one core; {count(_largest(study))} reviews of a node"]
    tiles = []
    for stage in stages:
        point = _strong(study, stage, most)
        tiles.append((TITLES[stage], f"{count(point['reviews_per_s'])}/s",
                      f"{_nodes(most)}, efficiency {percent(point['efficiency'], 0)}"))
    return header(("scaling", name, None), (first, second), facts, tiles, sections)


def _nodes(number: int) -> str:
    return "One node" if number == 1 else f"{number} nodes"


def _largest(study: Study) -> int:
    return max(point["size"] for point in study["points"])


def _strong(study: Study, stage: str, nodes: int) -> Point:
    """Point of the largest size under strong scaling."""
    [found] = [point for point in study["points"]
               if (point["stage"], point["law"], point["nodes"], point["size"])
               == (stage, "strong", nodes, _largest(study))]
    return found


def _speed_ups(study: Study, stages: Sequence[str], nodes: int) -> str:
    return ", ".join(f"{_strong(study, stage, nodes)['speed_up']:.2f} ({TITLES[stage].lower()})"
                     for stage in stages)


def _stage(study: Study, stage: str) -> list[Html | None]:
    points = [point for point in study["points"] if point["stage"] == stage]
    return [grid(_speed_up(stage, points), _efficiency(stage, points)),
            *(_law(study, stage, law, points) for law in ("strong", "weak"))]


def _series(points: Sequence[Point], law: str) -> list[tuple[int, list[Point]]]:
    """Points of a law by size, each ascending by nodes."""
    sizes = sorted({point["size"] for point in points})
    return [(size, sorted((point for point in points
                           if (point["law"], point["size"]) == (law, size)),
                          key=lambda point: int(point["nodes"]))) for size in sizes]


def _lines(axes: Axes, points: Sequence[Point], figure: str, colour: str) -> None:
    """A line through measured points, dotted to the simulated ones, whose marks are hollow."""
    nodes = [point["nodes"] for point in points]
    values = [point[figure] for point in points]
    known = sum(point["measured"] for point in points)
    axes.plot(nodes[:known], values[:known], "o-", color=colour, markersize=7)
    axes.plot(nodes[max(known - 1, 0):], values[max(known - 1, 0):], ":", color=colour)
    axes.plot(nodes[known:], values[known:], "o", color=colour, markersize=7,
              markerfacecolor=SURFACE, markeredgewidth=1.8)


def _node_axis(axes: Axes, points: Sequence[Point]) -> None:
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_locator(FixedLocator(sorted({point["nodes"] for point in points})))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axes.set_xlabel("nodes")
    axes.grid(axis="y", color=GRID)


def _speed_up(stage: str, points: Sequence[Point]) -> Chart:
    series = _series(points, "strong")[: len(SERIES)]

    def draw(axes: Axes) -> None:
        nodes = sorted({point["nodes"] for point in points})
        axes.plot(nodes, nodes, "--", color=MUTED, linewidth=1)
        for (_, some), colour in zip(series, SERIES, strict=False):
            _lines(axes, some, "speed_up", colour)
        axes.set_yscale("log", base=2)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
        axes.yaxis.set_minor_locator(NullLocator())
        _node_axis(axes, points)

    return Chart(f"{stage}-speed-up", "Speed-up of the same work", draw,
                 "Dashed: as many times as nodes. Hollow marks are simulated.",
                 [(f"{count(size)} reviews", colour)
                  for (size, _), colour in zip(series, SERIES, strict=False)], 260)


def _efficiency(stage: str, points: Sequence[Point]) -> Chart:
    """Efficiency of the largest size under both laws."""
    both = [_series(points, law)[-1][1] for law in ("strong", "weak")]

    def draw(axes: Axes) -> None:
        for some, colour in zip(both, SERIES, strict=False):
            _lines(axes, some, "efficiency", colour)
        axes.set_ylim(0, max(1.05, *(1.05 * point["efficiency"] for some in both
                                     for point in some)))
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{100 * y:g} %"))
        _node_axis(axes, points)

    size = both[0][0]["size"]
    return Chart(f"{stage}-efficiency", "Efficiency", draw,
                 f"Speed-up by the nodes, {count(size)} reviews of a node. Hollow marks are "
                 "simulated.",
                 [("the same work (strong)", SERIES[0]),
                  ("work that grows with the nodes (weak)", SERIES[1])], 260)


def _law(study: Study, stage: str, law: str, points: Sequence[Point]) -> Html:
    """Numbers of the drawings, size by size."""
    some = [point for _, part in _series(points, law) for point in part]
    title = {"strong": "The same work on more nodes", "weak": "As much work for each node"}[law]
    says = f"Latency: {LATENCY[stage]}. CPU, memory and GPU: means over the nodes."
    fits = [fit for fit in study["amdahl"] if fit["stage"] == stage and law == "strong"]
    for fit in fits:
        limit = (f"; the speed-up ends at {fit['limit']:.1f}" if fit["limit"]
                 else "; the speed-up has no end")
        says += (f" Amdahl's law through the measured counts of {count(fit['size'])} reviews: "
                 f"{percent(fit['serial'])} is serial{limit}.")
    shown = [column for column in _COLUMNS if any(column[1](point) != "–" for point in some)]
    rows = [[figure(point) for _, figure in shown] for point in some]
    return el("figure", el("figcaption", el("h3", title), el("p", says)),
              table([name for name, _ in shown], rows), cls="card wide")


def _mean(name: str, scale: float, unit: str) -> Any:
    def figure(point: Point) -> str:
        values = [value for value in point[name] if value is not None]
        return f"{sum(values) / len(values) / scale:,.0f}{unit}" if values else "–"

    return figure


_COLUMNS: list[tuple[str, Any]] = [
    ("nodes", lambda point: f"{point['nodes']}"),
    ("", lambda point: "measured" if point["measured"] else "simulated"),
    ("reviews", lambda point: count(point["reviews"])),
    ("time", lambda point: duration(point["seconds"])),
    ("reviews/s", lambda point: count(point["reviews_per_s"])),
    ("speed-up", lambda point: f"{point['speed_up']:.2f}"),
    ("efficiency", lambda point: percent(point["efficiency"], 0)),
    ("latency, ms", lambda point: f"{1000 * point['latency_s']:,.1f}"),
    ("CPU", _mean("cpu_percent", 1, " %")),
    ("memory, MB", _mean("memory_bytes", 1e6, "")),
    ("GPU", _mean("gpu_percent", 1, " %")),
    ("GPU memory, MB", _mean("gpu_memory_bytes", 1e6, "")),
]


def _simulation(study: Study) -> list[Html | None]:
    says = ("Simulated nodes are further cores of this kind, each with memory of its own, at the "
            "rates that were measured with all cores busy. Preparation: tasks take turns on the "
            "workers. Training: an update is each rank's line of fixed work and work by the token, "
            "under the measured noise, with the balancer that trains and a ring for the exchange. "
            "Scoring: a start and equal shares of the rest.")
    rows = [[f"{TITLES[check['stage']]}, {check['law']}, {count(check['size'])} reviews of a node",
             f"{check['nodes']}", duration(check["measured_s"]), duration(check["simulated_s"]),
             f"{100 * (check['simulated_s'] / check['measured_s'] - 1):+.0f} %"]
            for check in study["checks"]]
    return [el("figure", el("figcaption", el("h3", "Simulated and measured"), el("p", says)),
               table(["", "nodes", "measured", "simulated", "difference"], rows),
               cls="card wide")]
