"""Real clusters of this machine for the tests of a file: a Hadoop node and a Spark."""

import contextlib
import importlib.util
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.spark import LocalSpark
from tests.requirements import need

ROOT = Path(__file__).resolve().parents[3]
# A Hadoop that may lie beside the checkout.
SINGLE_NODE = ROOT.parent / "shared" / "hadoop"
# A task that fails is tried once more, not three times, each of which takes ten seconds.
_TWO_ATTEMPTS = "".join(f"<property><name>mapreduce.{kind}.maxattempts</name><value>2</value>"
                        "</property>\n" for kind in ("map", "reduce"))


@contextlib.contextmanager
def environment(**values: str) -> Iterator[None]:
    """Variables of this process and all that it starts."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in values.items():
            patch.setenv(name, value)
        yield


@contextlib.contextmanager
def running_hadoop(folder: Path) -> Iterator[None]:
    """The Hadoop that the environment names, else the one beside the checkout, started here."""
    need(shutil.which("java") is not None, "Hadoop needs java")
    if os.environ.get("HADOOP_CONF_DIR") and os.environ.get("HADOOP_BIN"):
        yield
        return
    need(SINGLE_NODE.is_dir(), f"no Hadoop: HADOOP_BIN is not set, and {SINGLE_NODE} is not there")
    sys.path.append(str(SINGLE_NODE))
    try:
        from single_node import SingleNode  # type: ignore[import-not-found]
    finally:
        sys.path.remove(str(SINGLE_NODE))
    with SingleNode(folder) as node:
        site = Path(node.env()["HADOOP_CONF_DIR"], "mapred-site.xml")
        site.write_text(site.read_text().replace("</configuration>",
                                                 f"{_TWO_ATTEMPTS}</configuration>"))
        names = ("JAVA_HOME", "HADOOP_BIN", "HADOOP_CONF_DIR", "HADOOP_STREAMING_JAR")
        with environment(**{name: node.env()[name] for name in names}):
            yield


@contextlib.contextmanager
def running_spark(folder: Path) -> Iterator[str]:
    """A Master and two Workers of the installed pyspark; the address of the cluster."""
    need(shutil.which("java") is not None, "Spark needs java")
    need(importlib.util.find_spec("pyspark") is not None, "needs pyspark")
    with LocalSpark(folder) as address:
        yield address
