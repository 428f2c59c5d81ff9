"""Engine on AWS EMR: a cluster for one run, or one that is there already."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from cluster import emr
from cluster.aws import bucket_region, check_buckets, say, split_uri
from cluster.costs import estimate, hours_for
from cluster.emr_config import load_config
from cluster.emr_files import ship
from mapreduce.engines.hadoop import how_tasks_run
from reviews.corpora import InputSplit, raw_bytes
from reviews.errors import EngineError, UserError
from reviews.storage.folders import join

if TYPE_CHECKING:
    from mapreduce.engines.options import EngineOptions, Tasks
    from mapreduce.run_folders import RunFolders

CHECK_S = 10.0  # between two questions after a step


def check(options: "EngineOptions") -> None:
    """Raise where the configuration is wrong, or what speaks to AWS is not installed."""
    if options.cluster_id and options.emr_config:
        raise UserError("give --cluster-id or --emr-config, not both")
    load_config(options.emr_config, {})
    try:
        import boto3  # noqa: F401
    except ImportError:
        raise UserError("boto3 is not installed; pip install 'reviewmill[aws]'") from None


@contextlib.contextmanager
def session(
    options: "EngineOptions", places: "RunFolders", splits: Mapping[str, Sequence[InputSplit]]
) -> Iterator["EngineOptions"]:
    """A cluster that is ready; one that was started for this run is ended with the block.

    All is checked that can be before anything costs money.
    """
    every = [split for some in splits.values() for split in some]
    addresses = sorted({split.path for split in every} | {places.work, places.store})
    elsewhere = [address for address in addresses if not address.startswith("s3://")]
    if elsewhere:
        raise UserError(f"--runner emr reads and writes s3://, not {elsewhere[0]}; give --out "
                        "s3://BUCKET/FOLDER, or --work-dir s3://BUCKET/FOLDER")
    config = load_config(options.emr_config, {})
    config = replace(config, region=check_buckets(addresses, config.region))
    if options.cluster_id:
        emr.wait_until_ready(options.cluster_id, config.region)
        yield options
        return
    say(estimate(config, hours_for(config, raw_bytes(every))).line())
    logs = config.log_uri or f"{places.store.rstrip('/')}-logs"
    with emr.transient(config, ship(places.work, config.packages), logs) as cluster:
        started = replace(options, cluster_id=cluster)
        try:
            yield started
        except EngineError as error:
            raise EngineError(f"{error} (logs of {cluster}: {logs})") from None


def arguments(options: "EngineOptions", places: "RunFolders", tasks: "Tasks") -> list[str]:
    """mrjob's arguments for one job."""
    return [
        "--cluster-id", options.cluster_id or "",
        "--region", bucket_region(split_uri(places.work)[0]),
        "--cloud-tmp-dir", join(places.shared, "mrjob"),
        "--cloud-fs-sync-secs", "0",  # S3 shows at once what was put
        "--check-cluster-every", str(CHECK_S),
        # mrjob would wait ten minutes for logs that the work folder has sooner.
        "--no-read-logs",
        "--python-bin", options.python_bin or emr.NODE_PYTHON,
        "--no-bootstrap-mrjob",
        *how_tasks_run(options, tasks),
    ]


def last_words(options: "EngineOptions", places: "RunFolders") -> str:
    """Last lines of a step that failed before the job's own code could say anything."""
    region = bucket_region(split_uri(places.work)[0])
    return emr.step_failure(options.cluster_id or "", region)
