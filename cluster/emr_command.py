"""`reviewmill cluster emr create|status|terminate|setup`."""

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace

from cluster import emr, emr_setup, roles
from cluster.aws import aws_errors, bucket_region, check_buckets, client, say, split_uri
from cluster.costs import estimate, parse_prices
from cluster.emr_config import TAG, EmrConfig, load_config
from cluster.emr_files import ship
from reviews.errors import UserError
from reviews.options import add_options, given, make_parser


def main(argv: Sequence[str]) -> int:
    """Run one of the four; return the exit status."""
    parser = make_parser("reviewmill cluster emr", "Clusters of AWS EMR.")
    commands = parser.add_subparsers(dest="command", required=True)
    create = commands.add_parser("create", help="start a cluster for several runs")
    create.add_argument("--work", metavar="S3-FOLDER", help="for the bootstrap files and the logs")
    create.add_argument("--price", action="append", default=[], metavar="TYPE=DOLLARS",
                        help="price of an instance an hour on demand")
    create.add_argument("--no-wait", action="store_true", help="end before it is ready")
    setup = commands.add_parser("setup", help="create or check the roles")
    roles.add_setup_options(setup, "input", "where stores, work folders and logs lie")
    for one in (create, setup):
        one.add_argument("--config", metavar="FILE", help="configuration, as --print-config has it")
        one.add_argument("--print-config", action="store_true", help="show it and end")
    add_options(create, EmrConfig, command="create")
    add_options(setup, EmrConfig, command="setup")
    for name, text in (("status", "what a cluster does, or all of reviewmill's"),
                       ("terminate", "end a cluster")):
        one = commands.add_parser(name, help=text)
        one.add_argument("cluster", nargs="?" if name == "status" else None, metavar="ID")
        one.add_argument("--region", help="region of the cluster")
    options = parser.parse_args(argv)
    return {"create": _create, "setup": _setup, "status": _status, "terminate": _terminate}[
        options.command](options)


def _config(options: argparse.Namespace) -> EmrConfig:
    return load_config(options.config, given(options, EmrConfig))


def _create(options: argparse.Namespace) -> int:
    config = _config(options)
    if options.print_config:
        print(config.to_yaml(), end="")
        return 0
    if not options.work:
        raise UserError("create needs --work s3://bucket/folder, for bootstrap files and logs")
    region = check_buckets([options.work], config.region)
    config = replace(config, region=region)
    say(f"this costs {estimate(config, 1.0, parse_prices(options.price)).line()}")
    cluster = emr.create(config, ship(options.work, config.packages),
                         config.log_uri or f"{options.work}/logs")
    # The id comes first, so that it can be ended whatever happens next.
    print(cluster, flush=True)
    if not options.no_wait:
        try:
            emr.wait_until_ready(cluster, region)
        except BaseException:
            emr.terminate(cluster, region)
            raise
    return 0


def _setup(options: argparse.Namespace) -> int:
    config = _config(options)
    if options.print_config:
        print(config.to_yaml(), end="")
        return 0
    if not options.write:
        raise UserError("setup needs --write s3://bucket/folder, where stores and logs will lie")
    region = config.region or bucket_region(split_uri(options.write[0])[0])
    policies = emr_setup.documents(
        config, roles.account_id(), region, options.read, options.write)
    if options.print_user_policy:
        print(json.dumps(policies["emr-user"], indent=2))
        return 0
    if not options.check:
        emr_setup.set_up(config, policies)
    found = emr_setup.differences(config, policies)
    if found:
        raise UserError(f"{'; '.join(found)} (cluster emr setup without --check mends roles)")
    print(f"roles {config.service_role} and {config.node_role} are as they should be")
    return 0


def _status(options: argparse.Namespace) -> int:
    if options.cluster:
        print(emr.status_line(emr.describe(options.cluster, options.region)))
        return 0
    aws = client("emr", options.region)
    states = ["STARTING", "BOOTSTRAPPING", "RUNNING", "WAITING", "TERMINATING"]
    ours = 0
    with aws_errors("clusters"):
        for page in aws.get_paginator("list_clusters").paginate(ClusterStates=states):
            for entry in page["Clusters"]:
                found = aws.describe_cluster(ClusterId=entry["Id"])["Cluster"]
                if {"Key": TAG[0], "Value": TAG[1]} in found.get("Tags", []):
                    ours += 1
                    print(emr.status_line(found))
    if not ours:
        print("no cluster of reviewmill runs")
    return 0


def _terminate(options: argparse.Namespace) -> int:
    emr.describe(options.cluster, options.region)
    emr.terminate(options.cluster, options.region, wait=True)
    print(emr.status_line(emr.describe(options.cluster, options.region)))
    return 0
