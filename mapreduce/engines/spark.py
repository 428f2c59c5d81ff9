"""What mrjob is told about Spark: a standalone cluster, or any other that spark-submit knows."""

import importlib.util
import shutil
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from cluster.spark import QUICK_JAVA
from mapreduce.run_folders import is_plain
from reviews.errors import EngineError, UserError
from reviews.storage.files import is_remote

if TYPE_CHECKING:
    from mapreduce.engines.options import EngineOptions
    from mapreduce.run_folders import RunFolders


def find_spark_submit() -> str:
    """The spark-submit of the installed pyspark, else the one on the PATH."""
    beside = Path(sys.executable).with_name("spark-submit")
    if importlib.util.find_spec("pyspark") and beside.is_file():
        return str(beside)
    if found := shutil.which("spark-submit"):
        return found
    raise UserError("no Spark: pip install 'reviewmill[spark]', or put spark-submit on the PATH")


def check(options: "EngineOptions") -> None:
    """Raise where there is no Spark, or nobody listens at its address."""
    find_spark_submit()
    master = options.spark_master
    if not master:
        raise UserError("--runner spark needs --spark-master spark://HOST:PORT; "
                        "`reviewmill cluster spark start` starts a cluster on this machine")
    if not shutil.which("java"):
        raise UserError("Spark needs Java 17 or 11, and there is no `java` on the PATH")
    if master.startswith("spark://"):
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


def arguments(options: "EngineOptions", places: "RunFolders", reducers: int) -> list[str]:
    """mrjob's arguments for one job."""
    # A folder that every worker sees; as a plain path mrjob makes its own folders there.
    temporary = places.work
    if not is_remote(places.work):
        temporary = str(Path(places.work if is_plain(places.work) else places.local, "spark"))
    return [
        "--spark-submit-bin", find_spark_submit(),
        "--spark-master", options.spark_master or "",
        "--spark-tmp-dir", temporary,
        "--python-bin", options.python_bin or sys.executable,
        "--no-bootstrap-mrjob",
        "-D", f"mapreduce.job.reduces={reducers}",
        # Only short lines go through the JVMs: what they need is a quick start.
        "-D", f"spark.driver.defaultJavaOptions={QUICK_JAVA}",
        "-D", f"spark.executor.defaultJavaOptions={QUICK_JAVA}",
        *(["-D", f"spark.cores.max={options.workers}"] if options.workers else []),
    ]
