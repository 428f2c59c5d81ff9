"""`reviewmill cluster cost`: an estimate; nothing is asked of AWS."""

import re
from collections.abc import Sequence

from cluster.costs import INFLATED, estimate, hours_for, parse_prices
from cluster.emr_config import EmrConfig, load_config
from reviews.errors import UserError
from reviews.options import add_options, given, make_parser

UNITS = {"": 1.0, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}


def main(argv: Sequence[str]) -> int:
    """Print the estimate; return the exit status."""
    parser = make_parser("reviewmill cluster cost", "What a cluster of EMR costs.")
    parser.add_argument("--config", metavar="FILE", help="configuration, as --print-config has it")
    parser.add_argument("--hours", type=float, metavar="X", help="how long it runs")
    parser.add_argument("--input", metavar="SIZE",
                        help="bytes to prepare, such as 92G, to estimate the hours from")
    parser.add_argument("--packed", action="store_true",
                        help=f"the input is compressed, to about a {INFLATED:g}th")
    parser.add_argument("--price", action="append", default=[], metavar="TYPE=DOLLARS",
                        help="price of an instance an hour on demand")
    add_options(parser, EmrConfig, command="cost")
    options = parser.parse_args(argv)
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


def parse_size(text: str) -> float:
    """Bytes: a number, or one with K, M, G or T."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([KMGT]?)B?", text.upper())
    if not found:
        raise UserError(f"--input {text}: give bytes, such as 500M or 92G")
    return float(found[1]) * UNITS[found[2]]
