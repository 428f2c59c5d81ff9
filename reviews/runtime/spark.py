"""Settings of Spark, and its address, as commands are given them."""

import argparse
import contextlib
import logging
import socket
import warnings
from collections.abc import Sequence
from typing import Any

from reviews.errors import EngineError, UserError

# For a Java that does little: a quick start is what it needs.
QUICK_JAVA = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
# As published for the reviews of the recipe of this name, on four nodes.
PRESETS = {
    "electronics": {
        "spark.executor.memory": "12g",
        "spark.executor.memoryOverhead": "2g",
        "spark.default.parallelism": "48",
        "spark.sql.shuffle.partitions": "200",
        "spark.sql.adaptive.enabled": "true",
    },
}

SPARK_CONF = ("spark: setting of Spark's, such as spark.executor.memory=4g, or the name of a "
              f"preset ({', '.join(PRESETS)}); may be given several times")


def add_spark_conf(parser: argparse.ArgumentParser) -> None:
    """Add --spark-conf, which may be given several times; a value may have commas."""
    parser.add_argument("--spark-conf", action="append", metavar="K=V", default=argparse.SUPPRESS,
                        help=SPARK_CONF)


def spark_settings(given: Sequence[str]) -> dict[str, str]:
    """Settings by key, of which the last one counts.

    given: spark.KEY=VALUE each, or the name of a preset. Raises UserError for anything else.
    """
    found: dict[str, str] = {}
    for setting in given:
        key, equals, value = setting.partition("=")
        if not equals and key in PRESETS:
            found |= PRESETS[key]
        elif equals and key.startswith("spark."):
            found[key] = value
        else:
            raise UserError(f"--spark-conf {setting}: give spark.KEY=VALUE, or the name of a "
                            f"preset ({', '.join(PRESETS)})")
    return found


def silence(context: Any) -> None:
    """Keep py4j and a SparkContext's own threads from printing that Java has ended: calls to it
    raise that, too."""
    logging.getLogger("py4j").setLevel(logging.CRITICAL)
    logging.getLogger().addFilter(_is_not_of_py4j)  # to which py4j writes as well
    context._accumulatorServer.handle_error = lambda request, address: None


def stop(context: Any) -> None:
    """Stop a SparkContext, whose Java may have ended already."""
    from py4j.protocol import Py4JError

    with warnings.catch_warnings(), contextlib.suppress(Py4JError, ConnectionError):
        warnings.filterwarnings("ignore", "Unable to cleanly shutdown Spark")
        context.stop()


def _is_not_of_py4j(record: logging.LogRecord) -> bool:
    return "py4j" not in record.pathname


def check_master(master: str) -> None:
    """Raise where nobody listens at the address of a cluster."""
    if not master.startswith("spark://"):
        return
    for address in master.removeprefix("spark://").split(","):
        host, _, port = address.rpartition(":")
        try:
            socket.create_connection((host, int(port)), timeout=10).close()
            return
        except ValueError:
            raise UserError(f"--spark-master is {master}: give spark://HOST:PORT") from None
        except OSError as error:
            said = error.strerror or str(error)
    raise EngineError(f"Spark cannot be reached at {master}: {said}")
