"""`reviewmill cluster gpu plan | up | run | list | down | setup`."""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from cluster import roles as aws_roles
from cluster.aws import aws_errors, bucket_region, check_buckets, client, say, split_uri
from cluster.costs import parse_prices
from cluster.gpu import host_keys, roles
from cluster.gpu.catalog import Catalog, load_catalog
from cluster.gpu.cloud import ENDING, TERMINATED, Cloud, Instance
from cluster.gpu.config import Budget, GpuConfig, budget
from cluster.gpu.down import end_cluster
from cluster.gpu.health import check_health, introduce
from cluster.gpu.node_files import ship
from cluster.gpu.plan import EFFICIENCY, make_plan
from cluster.gpu.rates import parse_rates
from cluster.gpu.remote import Remote
from cluster.gpu.resources import clusters_with_resources
from cluster.gpu.run import NotFetched, Training, train
from cluster.gpu.state import Record, load_record, records
from cluster.gpu.up import Node, new_record, start, to_nodes, wait_for_nodes
from cluster.interrupts import Interrupts
from reviews.errors import EngineError, UserError
from reviews.options import add_options, config_from, flag, given, make_parser
from reviews.storage.files import is_remote

# The command of a training, which alone knows its options.
CHECK = "import sys; from mpi_train.launch import check_options as c; sys.exit(c(sys.argv[1:]))"
LEAST_HOURS = 0.5  # that a budget must last: a start takes a third of it


def main(argv: Sequence[str]) -> int:
    """Run one of them; return the exit status."""
    words = list(argv)
    cut = words.index("--") if "--" in words else len(words)
    options = make_gpu_parser().parse_args(words[:cut])
    options.training = tuple(words[cut + 1:])
    if options.training and options.command != "run":
        raise UserError("options of a training, behind --, are for `run`")
    return {"plan": _plan, "up": _up, "run": _run, "list": _list, "down": _down, "setup": _setup}[
        options.command](options)


def make_gpu_parser() -> argparse.ArgumentParser:
    """Parser of all six."""
    parser = make_parser("reviewmill cluster gpu", "GPU clusters on EC2. What follows -- of `run` "
                         "are options of `reviewmill train`.")
    commands = parser.add_subparsers(dest="command", required=True)
    plan = commands.add_parser("plan", help="price of a cluster, and expected time and money")
    plan.add_argument("--store", metavar="STORE", help="store to train on, for the expected time")
    plan.add_argument("--epochs", type=float, default=1.0, metavar="N",
                      help="number of epochs (1)")
    plan.add_argument("--rate", action="append", default=[], metavar="TYPE=REVIEWS_PER_S",
                      help="training rate of one instance of a type")
    plan.add_argument("--measured", action="append", default=[], metavar="TYPE=RUN",
                      help="folder of a run on one instance of a type, for its rate")
    plan.add_argument("--efficiency", type=float, default=EFFICIENCY, metavar="X",
                      help="throughput of a group as a fraction of the sum of its members' "
                      f"({EFFICIENCY})")
    up = commands.add_parser("up", help="start a cluster and check its health")
    run = commands.add_parser(
        "run", help="train on a cluster, fetch the run folder, and end the cluster")
    run.add_argument("store", metavar="STORE", help="store to train on, here or at an address")
    run.add_argument("--out", required=True, metavar="RUN",
                     help="run folder, here or at an address")
    run.add_argument("--resume", action="store_true", help="go on with a run that was ended")
    run.add_argument("--cluster", metavar="ID", help="cluster that `up` started (default: one is "
                     "started for this run)")
    run.add_argument("--keep", action="store_true", help="leave the cluster running afterwards")
    listed = commands.add_parser("list", help="clusters that this machine started, or all")
    listed.add_argument("--all", action="store_true",
                        help="find clusters by their tag, in all regions, without local records")
    down = commands.add_parser("down", help="end a cluster")
    down.add_argument("cluster", nargs="?", metavar="ID", help="cluster to end")
    down.add_argument("--all", action="store_true", help="end all that `list --all` finds")
    setup = commands.add_parser("setup", help="create or check the role of the nodes")
    aws_roles.add_setup_options(setup, "stores", "where run folders and the nodes' packages lie")
    for one in (up, run):
        one.add_argument("--work", metavar="S3-FOLDER", help="for the packages of the nodes")
    for one in (plan, up, run):
        one.add_argument("--price", action="append", default=[], metavar="TYPE=DOLLARS",
                         help="price of an instance an hour on demand")
    for one in (listed, down):
        one.add_argument("--region", help="region (default: that of the record, or of AWS's own "
                         "configuration; with --all: all)")
    add_options(plan, GpuConfig, command="plan")
    add_options(up, GpuConfig, command="up")
    add_options(run, GpuConfig, command="up")
    add_options(setup, GpuConfig, command="setup")
    return parser


def _plan(options: argparse.Namespace) -> int:
    config = config_from(options, GpuConfig)
    catalog = _catalog(options, config.region)
    rates = parse_rates(options.rate, options.measured)
    if not options.epochs > 0:
        raise UserError(f"--epochs is {options.epochs:g}: give more than 0")
    reviews = 0.0
    if options.store:
        from reviews.store import Store

        reviews = options.epochs * Store(options.store).rows("train")
    print("\n".join(make_plan(config, catalog, rates, reviews, options.efficiency).lines()))
    return 0


def _catalog(options: argparse.Namespace, region: str | None) -> Catalog:
    """All types at the prices that are given, or at the most that the region may ask."""
    return load_catalog().in_region(region).with_prices(parse_prices(options.price))


def _up(options: argparse.Namespace) -> int:
    with Interrupts() as interrupts:
        record, _, _ = _bring_up(options, interrupts)
    # The last line is the id, for scripts.
    print(record.id, flush=True)
    return 0


def _bring_up(
    options: argparse.Namespace, interrupts: Interrupts
) -> tuple[Record, Remote, list[Node]]:
    """A healthy cluster; whatever was started is ended where it does not become one."""
    config = config_from(options, GpuConfig)
    if not options.work:
        raise UserError("give --work s3://bucket/folder, for the packages of the nodes")
    _check_limits(budget(config, _catalog(options, config.region)))
    region = check_buckets([options.work], config.region)
    catalog = _catalog(options, region)
    limits = budget(config, catalog)
    _check_limits(limits)
    cloud = Cloud(region)
    files = ship(options.work)
    record = new_record(config, catalog, region)
    say(f"{record.id}: at most ${limits.hourly:.2f}/h for {limits.hours:.1f} h, "
        f"${limits.dollars:.2f}; `reviewmill cluster gpu down {record.id}` ends it")
    with _ended_on_failure(cloud, record, interrupts):
        start(cloud, record, config, catalog, files)
        until = time.time() + 60 * config.ready_minutes
        nodes = wait_for_nodes(cloud, record, catalog, until - time.time())
        remote = _remote(cloud, record, nodes, until - time.time())
        check_health(remote, nodes, until - time.time(), cloud.pace.poll_s)
    return record, remote, nodes


def _check_limits(limits: Budget) -> None:
    if limits.hours < LEAST_HOURS:
        raise UserError(
            f"the budget lasts {60 * limits.hours:.0f} minutes at ${limits.hourly:.2f} an hour, "
            f"and a start takes up to 20: give at least --max-hours {LEAST_HOURS} and "
            f"--max-dollars {limits.hourly * LEAST_HOURS:.2f}")


@contextmanager
def _ended_on_failure(cloud: Cloud, record: Record, interrupts: Interrupts) -> Iterator[None]:
    """The cluster is ended where the block fails, or is stopped; not where its nodes still have
    what it was for."""
    try:
        yield
    except NotFetched:
        raise
    except BaseException:
        interrupts.ending = True
        end_cluster(cloud, record.id)
        raise


def _remote(cloud: Cloud, record: Record, nodes: Sequence[Node], limit_s: float) -> Remote:
    """Access to the nodes, once their host keys are known."""
    known = host_keys.known_hosts(cloud, nodes, limit_s)
    (record.folder / "known_hosts").write_text(known, "ascii")
    return Remote(record.folder, record.user)


def _run(options: argparse.Namespace) -> int:
    if not is_remote(options.store) and not Path(options.store, "manifest.json").is_file():
        raise UserError(f"{options.store} is no store: it has no manifest.json")
    if not options.resume and not is_remote(options.out) and Path(options.out).exists():
        raise UserError(f"{options.out} is there already: give --resume, or another --out")
    named = sorted(given(options, GpuConfig)) + ["work"] * bool(options.work)
    if options.cluster and named:
        raise UserError(f"{flag(named[0])} is for a cluster that is started; --cluster names one "
                        "that is there")
    _check_training(options)
    training = Training(options.store, options.out, options.training, options.resume)
    with Interrupts() as interrupts:
        if options.cluster:
            record, remote, nodes = _nodes_left(options)
        else:
            record, remote, nodes = _bring_up(options, interrupts)
        cloud = Cloud(record.region)
        with _ended_on_failure(cloud, record, interrupts):
            if options.cluster:
                introduce(remote, nodes)
            again = f"reviewmill cluster gpu run {options.store} --out {options.out} --resume"
            try:
                outcome = train(remote, nodes, record, training, interrupts,
                                is_gone=lambda node: _is_gone(cloud, node))
            except NotFetched as error:
                raise NotFetched(f"{error}; the cluster stays until its lease ends: {again} "
                                 f"--cluster {record.id} fetches it") from None
            left = len(nodes) - len(outcome.noticed)
            stays = options.keep or (outcome.noticed and left > 0)
            if not stays:
                interrupts.ending = True
                end_cluster(cloud, record.id)
    if outcome.reason and outcome.status:
        where = f" --cluster {record.id}, on the {left} nodes that are left" if stays else ""
        raise EngineError(f"{outcome.reason}: the run ended with a checkpoint; {again}{where} goes "
                          "on")
    return outcome.status


def _is_gone(cloud: Cloud, node: Node) -> bool:
    """True where EC2 says that a node has ended; False also where EC2 is not reached."""
    try:
        return any(one.state in ENDING for one in cloud.named([node.instance.id]))
    except UserError:
        return False


def _check_training(options: argparse.Namespace) -> None:
    """UserError for options that a training would refuse, before anything costs money."""
    resume = ["--resume"] * options.resume
    done = subprocess.run(
        [sys.executable, "-P", "-c", CHECK, options.store, "--out", options.out, *resume,
         *options.training], capture_output=True, text=True)
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["it ended"])[-1]
        raise UserError(f"options behind --: {said}")


def _nodes_left(options: argparse.Namespace) -> tuple[Record, Remote, list[Node]]:
    """The nodes of a cluster that still run, without those that AWS is taking away."""
    record = load_record(options.cluster)
    if record is None:
        raise UserError(f"no cluster {options.cluster} was started from here: its key is on the "
                        "machine that did; `list` shows those of this one")
    cloud = Cloud(record.region)
    running = [one for one in cloud.named(record.known)
               if one.state == "running" and one.id not in record.noticed]
    if not running:
        raise UserError(f"no node of {record.id} runs any more: `down {record.id}`, and run "
                        "without --cluster")
    nodes = to_nodes(running, load_catalog(), record.known)
    return record, Remote(record.folder, record.user), nodes


def _list(options: argparse.Namespace) -> int:
    found = 0
    for cloud, cluster, instances in _clusters(options):
        found += 1
        record = load_record(cluster)
        print(describe(cluster, cloud.region, instances, record, time.time()))
    if not found:
        print("no cluster of reviewmill is there")
    return 0


def _clusters(options: argparse.Namespace) -> Iterator[tuple[Cloud, str, list[Instance]]]:
    """Clusters of which anything is left, in AWS or, without --all, in the records here."""
    if not options.all:
        for record in records():
            if options.region in (None, record.region):
                cloud = Cloud(record.region)
                yield cloud, record.id, cloud.tagged(record.id)
        return
    for region in [options.region] if options.region else _regions():
        cloud = Cloud(region)
        every = cloud.tagged()
        alive = {one.cluster for one in every if one.state != TERMINATED}
        here = {record.id for record in records() if record.region == cloud.region}
        for cluster in sorted(alive | here | clusters_with_resources(cloud)):
            yield cloud, cluster, [one for one in every if one.cluster == cluster]


def _regions() -> list[str]:
    with aws_errors("regions"):
        found = client("ec2").describe_regions()["Regions"]
    return sorted(one["RegionName"] for one in found)


def describe(
    cluster: str, region: str, instances: Sequence[Instance], record: Record | None, now: float
) -> str:
    """A cluster in one line: nodes by type and state, the most it costs, and its end."""
    alive = [one for one in instances if one.state not in ENDING]
    kinds = {(one.type, one.state) for one in instances if one.state != TERMINATED}
    nodes = ", ".join(
        f"{sum((one.type, one.state) == kind for one in instances)} {kind[0]} {kind[1]}"
        for kind in sorted(kinds)) or "no node"
    parts = [f"{cluster} {region}: {nodes}"]
    if alive:
        parts.append(f"started {(now - min(one.launched for one in alive)) / 3600:.1f} h ago")
    if record is not None:
        parts.append(f"at most ${record.hourly:.2f}/h")
        parts.append(f"ends in {max(0.0, record.deadline - now) / 3600:.1f} h")
    return ", ".join(parts)


def _down(options: argparse.Namespace) -> int:
    if bool(options.cluster) == options.all:
        raise UserError("give the id of a cluster, or --all")
    with Interrupts() as interrupts:
        interrupts.ending = True
        if options.all:
            for cloud, cluster, _ in list(_clusters(options)):
                end_cluster(cloud, cluster)
        else:
            _down_one(options.cluster, options.region)
    return 0


def _down_one(cluster: str, region: str | None) -> None:
    record = load_record(cluster)
    cloud = Cloud(region or (record.region if record else None))
    if record is None and cloud.look(lambda: _trace(cloud, cluster)) is None:
        raise UserError(f"no cluster {cluster} is in {cloud.region}; `list --all` finds all")
    end_cluster(cloud, cluster)


def _trace(cloud: Cloud, cluster: str) -> bool | None:
    """True where anything carries the id of the cluster."""
    return bool(cloud.tagged(cluster)) or cluster in clusters_with_resources(cloud) or None


def _setup(options: argparse.Namespace) -> int:
    config = config_from(options, GpuConfig)
    if not options.write:
        raise UserError("setup needs --write s3://bucket/folder, where runs and packages will lie")
    region = config.region or bucket_region(split_uri(options.write[0])[0])
    policies = roles.documents(
        config.node_role, aws_roles.account_id(), region, options.read, options.write)
    if options.print_user_policy:
        print(json.dumps(policies["gpu-user"], indent=2))
        return 0
    if not options.check:
        roles.set_up(config.node_role, policies)
    if found := roles.differences(config.node_role, policies):
        raise UserError(f"{'; '.join(found)} (cluster gpu setup without --check mends roles)")
    print(f"role {config.node_role} is as it should be")
    return 0
