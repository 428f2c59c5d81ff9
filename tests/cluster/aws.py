"""A pretended AWS on this machine, by moto: S3, EMR, EC2, IAM and STS."""

import os
import sys
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from cluster.aws import client
from tests.requirements import need

REGION, BUCKET = "eu-central-1", "reviews"
# Keys that must turn up nowhere.
KEYS = {"AWS_ACCESS_KEY_ID": "AKIAPLANTEDPLANTED00", "AWS_SECRET_ACCESS_KEY": "planted-secret-key",
        "AWS_SESSION_TOKEN": "planted-session-token"}


def pretended_aws() -> Iterator[str]:
    """Start the servers and point boto3 at them; yields their address."""
    try:
        from moto.server import ThreadedMotoServer
    except ImportError:
        need(False, "moto is not installed")
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        for name, value in KEYS.items():
            patch.setenv(name, value)
        patch.setenv("AWS_DEFAULT_REGION", REGION)
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        patch.setenv("AWS_CONFIG_FILE", "/dev/null")
        patch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
        server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        server.start()
        host, port = server.get_host_and_port()
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        client.cache_clear()
        if s3fs := sys.modules.get("s3fs"):  # it remembers the last server
            s3fs.S3FileSystem.clear_instance_cache()
        # All servers of a process have one state; another file of tests may have left its own.
        reset = urllib.request.Request(f"http://{host}:{port}/moto-api/reset", method="POST")
        urllib.request.urlopen(reset).close()
        try:
            make_bucket(BUCKET, REGION)
            yield f"http://{host}:{port}"
        finally:
            client.cache_clear()
            server.stop()


def boto(service: str, region: str = REGION) -> Any:
    import boto3

    return boto3.client(service, region_name=region)


def make_bucket(name: str, region: str) -> None:
    boto("s3", region).create_bucket(
        Bucket=name, CreateBucketConfiguration={"LocationConstraint": region})


def clusters() -> dict[str, Any]:
    """All clusters that there ever were, by id, as moto has them."""
    from moto.emr.models import emr_backends

    found: dict[str, Any] = {}
    # A server without a name of AWS takes every call of EMR for one of its first region.
    for backend in emr_backends["123456789012"].values():
        found |= backend.clusters
    return found


def states() -> set[str]:
    """The states of all clusters."""
    return {cluster.state for cluster in clusters().values()}


def objects(prefix: str = "") -> dict[str, bytes]:
    """Content of the bucket, by key."""
    s3 = boto("s3")
    found = {}
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix):
        for entry in page.get("Contents", []):
            body = s3.get_object(Bucket=BUCKET, Key=entry["Key"])["Body"]
            found[entry["Key"]] = body.read()
    return found
