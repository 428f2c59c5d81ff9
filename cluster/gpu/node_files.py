"""Files of a node: this very reviewmill as a wheel, the requirements, and the user data."""

import base64
import hashlib
import io
import shlex
import zipfile
from dataclasses import dataclass
from importlib import import_module, metadata, resources
from pathlib import Path

from cluster.aws import aws_errors, client, split_uri

PROJECT = "reviewmill"
REQUIREMENTS, SCRIPT = "gpu-requirements.txt", "gpu_node.sh"
_DATE = (2000, 1, 1, 0, 0, 0)  # the same package has the same bytes
_DATA = (".py", ".yaml", ".json", ".html", ".sh", ".txt")
# Files of a wheel's information, and their names in a checkout where they differ.
_COPIED = {"METADATA": "PKG-INFO", "entry_points.txt": "", "top_level.txt": ""}
_TYPE = "Wheel-Version: 1.0\nGenerator: reviewmill\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


@dataclass(frozen=True)
class NodeFiles:
    """Addresses and sha256 of what a node fetches."""

    source: str
    wheel: str
    wheel_sha256: str
    requirements_sha256: str


def build_wheel() -> tuple[str, bytes]:
    """Name and bytes of a wheel of the reviewmill that runs, installed or in a checkout."""
    package = metadata.distribution(PROJECT)
    information = f"{PROJECT}-{package.version}.dist-info"
    files: dict[str, bytes] = {}
    for top in (package.read_text("top_level.txt") or "").split():
        module = import_module(top)
        assert module.__file__ is not None
        if not hasattr(module, "__path__"):
            files[f"{top}.py"] = Path(module.__file__).read_bytes()
            continue
        folder = Path(module.__file__).parent
        for path in sorted(folder.rglob("*")):
            if path.suffix in _DATA and "__pycache__" not in path.parts:
                files[f"{top}/{path.relative_to(folder).as_posix()}"] = path.read_bytes()
    for name, elsewhere in _COPIED.items():
        text = package.read_text(name) or (elsewhere and package.read_text(elsewhere)) or ""
        files[f"{information}/{name}"] = text.encode()
    files[f"{information}/WHEEL"] = _TYPE.encode()
    record = "".join(f"{name},sha256={_digest(data)},{len(data)}\n" for name, data in files.items())
    files[f"{information}/RECORD"] = f"{record}{information}/RECORD,,\n".encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name, _DATE), data, zipfile.ZIP_DEFLATED)
    return f"{PROJECT}-{package.version}-py3-none-any.whl", buffer.getvalue()


def _digest(data: bytes) -> str:
    """As RECORD has it."""
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def ship(work: str) -> NodeFiles:
    """Put wheel and requirements below an S3 folder; there are no keys in either."""
    name, wheel = build_wheel()
    requirements = (resources.files("bootstrap") / REQUIREMENTS).read_bytes()
    digest = hashlib.sha256(wheel).hexdigest()
    # By content, so that another version never takes the place of what a node is to fetch.
    target = f"{work.rstrip('/')}/bootstrap/{digest[:16]}"
    bucket, prefix = split_uri(target)
    for file, data in ((name, wheel), (REQUIREMENTS, requirements)):
        with aws_errors(f"{target}/{file}"):
            client("s3").put_object(Bucket=bucket, Key=f"{prefix}/{file}", Body=data)
    return NodeFiles(target, name, digest, hashlib.sha256(requirements).hexdigest())


def user_data(files: NodeFiles, gpus: int, deadline: float, lease_minutes: int, user: str) -> str:
    """Script that a node runs at its first start.

    Args:
        gpus: number that the node must have.
        deadline: seconds since 1970 at which it ends.
    """
    settings = {
        "SOURCE": files.source, "WHEEL": files.wheel, "WHEEL_SHA256": files.wheel_sha256,
        "REQUIREMENTS_SHA256": files.requirements_sha256, "GPUS": gpus, "DEADLINE": int(deadline),
        "LEASE_MINUTES": lease_minutes, "NODE_USER": user,
    }
    script = (resources.files("bootstrap") / SCRIPT).read_text("utf-8")
    first, rest = script.split("\n", 1)
    line = " ".join(f"{name}={shlex.quote(str(value))}" for name, value in settings.items())
    return f"{first}\n{line}\n{rest}"
