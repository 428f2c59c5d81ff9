"""What the bootstrap action of EMR needs, put on S3 before a cluster starts."""

import hashlib
from importlib import resources

from cluster.aws import client, split_uri, told
from cluster.emr import Bootstrap

SCRIPT, REQUIREMENTS = "emr.sh", "emr-requirements.txt"


def ship(folder: str) -> Bootstrap:
    """Put script and requirements below an S3 folder; there are no keys in either."""
    target = f"{folder.rstrip('/')}/bootstrap"
    bucket, prefix = split_uri(target)
    sha256 = ""
    for name in (REQUIREMENTS, SCRIPT):
        data = (resources.files("bootstrap") / name).read_bytes()
        with told(f"{target}/{name}"):
            client("s3").put_object(Bucket=bucket, Key=f"{prefix}/{name}", Body=data)
        if name == REQUIREMENTS:
            sha256 = hashlib.sha256(data).hexdigest()
    return Bootstrap(f"{target}/{SCRIPT}", (target, sha256))
