"""Options of mrjob for Hadoop: its programs, and the settings of its tasks."""

import getpass
import http.client
import json
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.request import urlopen

from reviews.errors import EngineError, UserError
from reviews.storage.files import hadoop_setting, name_node_of
from reviews.storage.folders import join, names_below

if TYPE_CHECKING:
    from mapreduce.engines.options import EngineOptions, Tasks
    from mapreduce.run_folders import RunFolders

# A task of ours takes up to 0.7 GB beside the JVM that started it.
TASK_MB = 2048
WEB_PORT = 8088  # of the resource manager, where its configuration names none
ANSWER_S = 10


def find_hadoop(environment: Mapping[str, str]) -> str:
    """The `hadoop` program: $HADOOP_BIN, else that of $HADOOP_HOME, else the one on the PATH."""
    if named := environment.get("HADOOP_BIN"):
        if found := shutil.which(named):
            return found
        raise UserError(f"HADOOP_BIN names {named}, which is not a program")
    home = environment.get("HADOOP_HOME")
    if home and (found := shutil.which(f"{home}/bin/hadoop")):
        return found
    if found := shutil.which("hadoop", path=environment.get("PATH")):
        return found
    raise UserError("no Hadoop: set HADOOP_HOME or HADOOP_BIN, or put `hadoop` on the PATH")


def find_streaming_jar(environment: Mapping[str, str]) -> str:
    """$HADOOP_STREAMING_JAR, else the one that lies where releases of Hadoop have it."""
    if named := environment.get("HADOOP_STREAMING_JAR"):
        if Path(named).is_file():
            return named
        raise UserError(f"HADOOP_STREAMING_JAR names {named}, which is not there")
    homes = [environment.get("HADOOP_HOME"), Path(find_hadoop(environment)).resolve().parents[1],
             "/usr/lib/hadoop-mapreduce"]
    for home in filter(None, homes):
        for folder in ("share/hadoop/tools/lib", "."):
            if found := sorted(Path(home, folder).glob("hadoop-streaming*.jar")):
                return str(found[0])
    raise UserError("no jar of Hadoop streaming: set HADOOP_STREAMING_JAR")


def work_dir() -> str:
    """Work folder of a run whose store is local: in the user's folder in HDFS."""
    return f"hdfs:///user/{getpass.getuser()}/reviewmill"


def check(options: "EngineOptions") -> None:
    """Raise where there is no Hadoop, or its name node does not answer."""
    find_hadoop(os.environ)
    find_streaming_jar(os.environ)
    if name_node_of(os.environ) is None:
        raise UserError("no Hadoop configuration: set HADOOP_CONF_DIR to the folder of "
                        "hdfs-site.xml, with dfs.namenode.http-address in it")
    try:
        names_below("hdfs:///reviewmill-is-not-here")
    except UserError as error:
        raise EngineError(f"HDFS cannot be reached: {error}") from None


def slots(options: "EngineOptions") -> int | None:
    """Tasks that the cluster runs at once: those of --workers, else all that its memory and cores
    take, as the resource manager says; None where it does not answer."""
    if options.workers:
        return options.workers
    address = hadoop_setting(os.environ, "yarn-site.xml", "yarn.resourcemanager.webapp.address")
    if address is None:
        host = hadoop_setting(os.environ, "yarn-site.xml", "yarn.resourcemanager.hostname")
        address = f"{host}:{WEB_PORT}"
    try:
        with urlopen(f"http://{address}/ws/v1/cluster/metrics", timeout=ANSWER_S) as answer:
            cluster = json.load(answer)["clusterMetrics"]
            return max(1, min(cluster["totalMB"] // TASK_MB, cluster["totalVirtualCores"]))
    except (OSError, ValueError, KeyError, TypeError, http.client.HTTPException):
        return None


def arguments(options: "EngineOptions", places: "RunFolders", tasks: "Tasks") -> list[str]:
    """mrjob's arguments for one job."""
    return [
        "--hadoop-bin", find_hadoop(os.environ),
        "--hadoop-streaming-jar", find_streaming_jar(os.environ),
        "--python-bin", options.python_bin or sys.executable,
        "--no-bootstrap-mrjob",
        # The folder is ours, and goes with the run: no program has to be called for it.
        "--hadoop-tmp-dir", join(places.shared, "mrjob"), "--cleanup", "LOCAL_TMP",
        *how_tasks_run(options, tasks),
    ]


def how_tasks_run(options: "EngineOptions", tasks: "Tasks") -> list[str]:
    """mrjob's arguments about tasks, on any Hadoop."""
    conf: dict[str, object] = {
        "mapreduce.job.reduces": tasks.reducers,
        "mapreduce.input.lineinputformat.linespermap": tasks.lines_per_mapper,
        "mapreduce.map.memory.mb": TASK_MB,
        "mapreduce.reduce.memory.mb": TASK_MB,
        # Only short lines are shuffled, but a large corpus has many.
        "mapreduce.map.output.compress": "true",
        # Attempts write files of their own, so a second one does no harm.
        "mapreduce.map.speculative": "true",
        "mapreduce.reduce.speculative": "true",
    }
    if tasks.mappers == 1 and tasks.reducers <= 1:
        # One task of each kind: the application master runs both, and starts no container.
        conf |= {"mapreduce.job.ubertask.enable": "true",
                 "yarn.app.mapreduce.am.resource.mb": TASK_MB}
    if options.workers:
        conf |= {"mapreduce.job.running.map.limit": options.workers,
                 "mapreduce.job.running.reduce.limit": options.workers}
    return [part for name, value in conf.items() for part in ("-D", f"{name}={value}")]
