"""`reviewmill cluster check`: the hosts of a host file, and the links between them."""

import os
from collections.abc import Mapping, Sequence

from cluster.hosts.hostfile import read_hostfile
from cluster.hosts.probes import HostReport, Probe, examine, in_parallel, probes
from reviews.errors import UserError
from reviews.options import make_parser

MEASURED_S = 0.2  # of sending, for the bandwidth of a link

Links = Mapping[tuple[str, str], Mapping[str, float]]


def main(argv: Sequence[str]) -> int:
    """Run the command; return the exit status, 1 where a host has a problem."""
    parser = make_parser("reviewmill cluster check", "hosts of a run, checked before it starts")
    parser.add_argument("--hostfile", required=True, metavar="FILE", help="hosts, a line for each")
    parser.add_argument("--out", default=".", metavar="DIR",
                        help="folder whose disk is looked at on each host")
    options = parser.parse_args(argv)
    hosts = read_hostfile(options.hostfile)
    with probes(hosts) as started:
        reports, problems = examine(started, os.path.abspath(options.out))
        print("\n".join(_host_table(reports)))
        if not problems and len(reports) > 1:
            print("\n" + "\n".join(_link_table(reports, measure_links(started, reports))))
    for problem in problems:
        print(problem)
    return 1 if problems else 0


def measure_links(probes: Sequence[Probe], reports: Sequence[HostReport]) -> Links:
    """Latency (s) and bandwidth (bytes/s) from each host to each other one.

    At any time a host sends to one host, and receives from one.
    """
    names = [report.host.name for report in reports]
    found: dict[tuple[str, str], dict[str, float]] = {}
    for distance in range(1, len(names)):
        targets = [names[(n + distance) % len(names)] for n in range(len(names))]
        at = [report.addresses[target] for report, target in zip(reports, targets, strict=True)]
        # Each target serves at the address at which it is reached.
        serving = [at[targets.index(name)] for name in names]
        ports = dict(zip(names, in_parallel(probes, "serve", serving), strict=True))
        answers = in_parallel(probes, "measure", at, [ports[name]["port"] for name in targets],
                              [MEASURED_S] * len(names))
        for source, target, answer in zip(names, targets, answers, strict=True):
            if isinstance(answer, UserError):
                raise answer
            found[source, target] = answer
    return found


def _host_table(reports: Sequence[HostReport]) -> list[str]:
    rows = [("host", "cores", "GPUs", "memory free", "disk free", "/dev/shm free", "clock")]
    for report in reports:
        facts, shared = report.facts, report.facts["shared_memory"]
        rows.append((
            report.host.name, str(facts["cores"]), _gpus(facts["gpus"]), _gb(facts["memory"]),
            _gb(facts["disk"]), "-" if shared is None else _gb(shared),
            f"{report.clock_s:+.1f} s"))
    return _aligned(rows)


def _gpus(names: Sequence[str]) -> str:
    kinds = {name: list(names).count(name) for name in names}
    return ", ".join(f"{count} x {name}" for name, count in kinds.items()) or "0"


def _gb(number: float) -> str:
    return f"{number / 1e9:.1f} GB"


def _link_table(reports: Sequence[HostReport], links: Links) -> list[str]:
    names = [report.host.name for report in reports]
    rows = [("from \\ to", *names)]
    for source in names:
        rows.append((source, *(_link(links.get((source, target))) for target in names)))
    return ["latency and bandwidth (round trip, one stream):", *_aligned(rows)]


def _link(link: Mapping[str, float] | None) -> str:
    if link is None:
        return "-"
    return f"{1e3 * link['latency_s']:.2f} ms {link['bytes_per_s'] / 1e6:,.0f} MB/s"


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows]
