"""AWS as the commands here use it: clients, buckets, and errors in one line.

Keys are never asked for, stored or passed on: boto3 finds them where every AWS tool does.
"""

import contextlib
import sys
from collections.abc import Iterator
from functools import cache
from typing import Any

from reviews.errors import UserError

_REFUSED = {
    "AccessDenied", "AccessDeniedException", "AuthFailure", "ExpiredToken",
    "ExpiredTokenException", "InvalidAccessKeyId", "InvalidClientTokenId", "SignatureDoesNotMatch",
    "UnauthorizedOperation", "UnrecognizedClientException", "403",
}  # fmt: skip
_LONGEST_REASON = 300  # characters of a message of AWS


@cache
def client(service: str, region: str | None = None) -> Any:
    """A boto3 client; the region is that of AWS's own configuration unless it is given."""
    try:
        import boto3
    except ImportError:
        raise UserError("boto3 is not installed; pip install 'reviewmill[aws]'") from None
    with aws_errors(service):
        return boto3.session.Session().client(service, region_name=region)


@contextlib.contextmanager
def aws_errors(what: str) -> Iterator[None]:
    """Turns the errors of AWS into one line; `what` says what was tried."""
    try:
        import botocore.exceptions as boto
    except ImportError:
        yield
        return
    try:
        yield
    except boto.ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        says = " ".join(str(error.response.get("Error", {}).get("Message", error)).split())
        kind = "AWS refused the credentials" if code in _REFUSED else "AWS refused"
        raise UserError(f"{what}: {kind} ({code}): {says[:_LONGEST_REASON]}") from None
    except (boto.NoCredentialsError, boto.PartialCredentialsError):
        raise UserError(
            f"{what}: no AWS credentials; set AWS_PROFILE, or run `aws configure`") from None
    except boto.NoRegionError:
        raise UserError(f"{what}: no region; give --region, or set AWS_DEFAULT_REGION") from None
    except boto.BotoCoreError as error:
        says = " ".join(str(error).split())
        raise UserError(f"{what}: {says[:_LONGEST_REASON]}") from None


def split_uri(uri: str) -> tuple[str, str]:
    """Bucket and prefix of s3://bucket/prefix; the prefix has no slash at its end."""
    scheme, _, rest = uri.partition("://")
    bucket, _, prefix = rest.partition("/")
    if scheme not in ("s3", "s3a", "s3n") or not bucket:
        raise UserError(f"{uri} is not an address such as s3://bucket/folder")
    return bucket, prefix.strip("/")


def bucket_region(bucket: str) -> str:
    """The region of a bucket; UserError where it is not there, or not ours to see."""
    with aws_errors(f"s3://{bucket}"):
        found = client("s3", "us-east-1").head_bucket(Bucket=bucket)
    return str(found["ResponseMetadata"]["HTTPHeaders"].get("x-amz-bucket-region", "us-east-1"))


def check_buckets(uris: list[str], region: str | None) -> str:
    """The one region of all buckets; UserError where one lies elsewhere.

    Reading across regions is slow and costs money by the gigabyte.
    """
    for bucket in sorted({split_uri(uri)[0] for uri in uris}):
        there = bucket_region(bucket)
        if region is not None and there != region:
            raise UserError(f"s3://{bucket} is in {there}, the others in {region}; data and "
                            "cluster belong into one region")
        region = there
    assert region is not None, "no address was given"
    return region


def read_tail(uri: str, lines: int = 12) -> list[str]:
    """The last lines of a log on S3, .gz or not."""
    import gzip

    bucket, key = split_uri(uri)
    with aws_errors(uri):
        data = client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    text = gzip.decompress(data) if key.endswith(".gz") else data
    return [line for line in text.decode(errors="replace").splitlines() if line.strip()][-lines:]


def list_keys(uri: str) -> list[dict[str, Any]]:
    """Key, Size and LastModified of all objects below an address."""
    bucket, prefix = split_uri(uri)
    found: list[dict[str, Any]] = []
    with aws_errors(uri):
        pages = client("s3").get_paginator("list_objects_v2")
        for page in pages.paginate(Bucket=bucket, Prefix=prefix and f"{prefix}/"):
            found += page.get("Contents", [])
    return found


def say(text: str) -> None:
    """One plain line about what happens."""
    print(f"cluster: {text}", file=sys.stderr, flush=True)
