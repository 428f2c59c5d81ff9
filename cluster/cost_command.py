"""`reviewmill cluster cost`: an estimate; nothing is asked of AWS."""

import argparse
import re
from collections.abc import Sequence

from cluster.costs import INFLATED, estimate, hours_for, parse_prices
from cluster.emr_config import EmrConfig, load_config
from cluster.frontier import frontier_lines, read_rates
from reviews.errors import UserError
from reviews.options import add_options, flag, given, make_parser

MOST = 8
UNITS = {"": 1.0, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}


def main(argv: Sequence[str]) -> int:
    """Print the estimate; return the exit status."""
    parser = make_parser("reviewmill cluster cost", "What a cluster of EMR costs.")
    parser.add_argument("--config", metavar="FILE", help="configuration, as --print-config has it")
    parser.add_argument("--hours", type=float, metavar="X", help="hours that it runs")
    parser.add_argument("--input", metavar="SIZE",
                        help="bytes to prepare, such as 92G, to estimate the hours from")
    parser.add_argument("--packed", action="store_true",
                        help=f"the input is compressed, to about a {INFLATED:g}th")
    parser.add_argument("--price", action="append", default=[], metavar="TYPE=DOLLARS",
                        help="price of an instance an hour on demand")
    parser.add_argument("--frontier", metavar="RATES",
                        help="in place of that: mixes of instances to train on that are the "
                        "cheapest for their time, by a file of rates and prices, or lstm-2019")
    parser.add_argument("--most", type=int, metavar="N",
                        help=f"number of instances of a mix, at most, with --frontier ({MOST})")
    parser.add_argument("--efficiency", type=float, metavar="X",
                        help="part of the sum of their speeds that several instances reach, with "
                        "--frontier (1)")
    add_options(parser, EmrConfig, command="cost")
    options = parser.parse_args(argv)
    if options.frontier is not None:
        return show_frontier(options)
    if options.most is not None or options.efficiency is not None:
        raise UserError("--most and --efficiency are about --frontier, which is not given")
    config, prices = load_config(options.config, given(options, EmrConfig)), parse_prices(
        options.price)
    if (options.hours is None) == (options.input is None):
        raise UserError("give either --hours X or --input SIZE")
    if options.packed and options.input is None:
        raise UserError("--packed is about --input, which is not given")
    if options.input is None:
        hours = options.hours
    else:
        size = parse_size(options.input) * (INFLATED if options.packed else 1)
        hours = hours_for(config, size, prices)
    if not hours > 0:
        raise UserError(f"--hours {hours}: give a number above 0")
    print(estimate(config, hours, prices).line())
    return 0


def show_frontier(options: argparse.Namespace) -> int:
    """Print the table of mixes; return the exit status."""
    most = MOST if options.most is None else options.most
    efficiency = 1.0 if options.efficiency is None else options.efficiency
    own = {name: getattr(options, name) for name in ("hours", "input", "price", "packed", "config")}
    named = [*given(options, EmrConfig), *(name for name, value in own.items()
                                           if value not in (None, [], False))]
    if named:
        raise UserError(f"--frontier goes without {flag(named[0])}: its file has the prices")
    if not 1 <= most <= 32:
        raise UserError(f"--most is {most}: give 1 to 32")
    if not 0 < efficiency <= 1:
        raise UserError(f"--efficiency is {efficiency:g}: give more than 0, at most 1")
    print("\n".join(frontier_lines(read_rates(options.frontier), most, efficiency)))
    return 0


def parse_size(text: str) -> float:
    """Bytes: a number, or one with K, M, G or T."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([KMGT]?)B?", text.upper())
    if not found:
        raise UserError(f"--input {text}: give bytes, such as 500M or 92G")
    return float(found[1]) * UNITS[found[2]]
