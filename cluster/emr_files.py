"""Files of the bootstrap action of EMR, put on S3 before a cluster starts."""

import hashlib
from importlib import resources
from pathlib import Path

from cluster.aws import aws_errors, client, split_uri
from cluster.emr import Bootstrap
from reviews.errors import UserError

SCRIPT, REQUIREMENTS, PACKAGES = "emr.sh", "emr-requirements.txt", "packages.txt"


def ship(folder: str, packages: str | None = None) -> Bootstrap:
    """Put script and requirements below an S3 folder; there are no keys in either.

    packages: a requirements file of more packages, or none.
    """
    target = f"{folder.rstrip('/')}/bootstrap"
    files = {name: (resources.files("bootstrap") / name).read_bytes()
             for name in (SCRIPT, REQUIREMENTS)}
    if packages is not None:
        try:
            files[PACKAGES] = Path(packages).read_bytes()
        except OSError as error:
            raise UserError(f"packages {packages}: {error.strerror}") from None
    bucket, prefix = split_uri(target)
    for name, data in files.items():
        with aws_errors(f"{target}/{name}"):
            client("s3").put_object(Bucket=bucket, Key=f"{prefix}/{name}", Body=data)
    digests = [hashlib.sha256(data).hexdigest() for name, data in files.items() if name != SCRIPT]
    return Bootstrap(f"{target}/{SCRIPT}", (target, *digests))
