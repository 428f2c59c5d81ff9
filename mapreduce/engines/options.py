"""Options of the runner of `prepare` and `clean`."""

from dataclasses import dataclass
from typing import Any, NamedTuple

from mapreduce.cut_files import CUT_ABOVE
from reviews.errors import UserError
from reviews.options import check_bounds, check_conditions, flag, flatten, option
from reviews.runtime.spark import SPARK_CONF, spark_settings


def _own(runners: tuple[str, ...], help: str, **declared: Any) -> Any:
    """An option of some runners alone, None unless it is named."""
    return option(None, help, only_if={"runner": runners}, **declared)


class Tasks(NamedTuple):
    """Numbers of the tasks of a job, and of the lines of input that a mapper gets at most."""

    mappers: int
    reducers: int
    lines_per_mapper: int = 1


@dataclass(frozen=True)
class EngineOptions:
    """Runner of the jobs, and its work folder."""

    runner: str | None = option(
        None, "runner of the jobs (default: local where the input is large, else inline)",
        ("inline", "local", "hadoop", "spark", "dask", "emr"))
    workers: int | None = option(
        None, "number of cores (default: all, if the input is large)",
        at_least=1)
    work_dir: str | None = option(
        None, "folder of intermediate files, which every node can see: a path, hdfs:// or s3:// "
        "(default: beside the store)")
    resume: bool = option(
        False, "keep what tasks have finished if the run fails or is killed, and go on with what "
        "an earlier run with this option has kept", commands=("prepare",))
    cut_above: int | None = _own(
        ("hadoop", "spark", "dask", "emr"), "size in MB from which a file that can only be read "
        "from front to back (compressed, JSON objects, CSV with quoted newlines) is first cut into "
        "pieces for many tasks "
        f"(default: {CUT_ABOVE})", at_least=0, wanted="0 or more MB", commands=("prepare",))
    python_bin: str | None = _own(
        ("hadoop", "spark", "emr"), "path of the nodes' Python, which has what reviewmill "
        "requires (default: the one that runs this; emr: the one its bootstrap action makes)")
    spark_master: str | None = _own(
        ("spark",), "address of the Spark cluster, spark://HOST:PORT")
    spark_conf: tuple[str, ...] | None = _own(("spark",), SPARK_CONF)
    scheduler: str | None = _own(
        ("dask",), "address of Dask's scheduler, tcp://HOST:PORT (default: a Dask of this "
        "machine)")
    emr_config: str | None = _own(
        ("emr",), "path of the cluster's configuration, as `cluster emr create --print-config` "
        "writes it (default: a small one)")
    cluster_id: str | None = _own(
        ("emr",), "id of a running cluster, j-... (default: one is started, and ended)")

    def check(self) -> None:
        """Raise UserError for a value that is none, and for what the runner has no use for."""
        check_bounds(self, flag)
        if self.runner == "inline" and (self.workers or 1) > 1:
            raise UserError(f"--workers is {self.workers}, and --runner inline has one: give "
                            "--runner local")
        named = [name for name, value in flatten(self).items() if value is not None]
        check_conditions(self, named, lambda other, value: (
            f"{flag(other)} {value}" if value else "the default one"))
        spark_settings(self.spark_conf or ())
        if self.scheduler and self.workers:
            raise UserError("--workers is for a Dask of this machine, and --scheduler names one "
                            "that has its own")
