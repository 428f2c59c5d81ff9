"""Records of clusters on this machine: what was asked of AWS, written before it is asked.

A cluster is found by its tag without them; they say besides which calls had no answer yet.
"""

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from reviews.errors import UserError
from reviews.storage.folders import atomic_path

RECORD = "cluster.json"


@dataclass
class Call:
    """A request for instances.

    Attributes:
        token: client token; the same token never starts instances twice.
        instances: ids of the answer; None while there is none.
    """

    token: str
    type: str
    market: str
    count: int
    instances: list[str] | None = None


@dataclass
class Record:
    """A cluster as it was asked for."""

    id: str
    region: str
    user: str
    hourly: float
    deadline: float
    calls: list[Call] = field(default_factory=list)
    noticed: list[str] = field(default_factory=list)  # instances that AWS is taking away

    @property
    def folder(self) -> Path:
        """Folder of the record, the keys and the known hosts."""
        return state_folder() / self.id

    @property
    def known(self) -> list[str]:
        """Ids of all instances that AWS named in an answer."""
        return [one for call in self.calls for one in call.instances or ()]

    @property
    def unanswered(self) -> bool:
        """True where a request may have started instances whose ids are not known."""
        return any(call.instances is None for call in self.calls)

    def save(self) -> None:
        """Write the record so that it is there after a crash."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with atomic_path(self.folder / RECORD) as temporary:
            temporary.write_text(json.dumps(asdict(self), indent=1), "utf-8")

    def remove(self) -> None:
        """Forget the cluster."""
        shutil.rmtree(self.folder, ignore_errors=True)


def state_folder() -> Path:
    """$REVIEWMILL_STATE, else ~/.local/state/reviewmill, and in it the folder of GPU clusters."""
    top = os.environ.get("REVIEWMILL_STATE")
    return Path(top or Path.home() / ".local" / "state" / "reviewmill") / "gpu"


def records() -> Iterator[Record]:
    """All records, oldest first."""
    for file in sorted(state_folder().glob(f"*/{RECORD}")):
        yield _read(file)


def load_record(cluster: str) -> Record | None:
    """The record of a cluster, None where there is none."""
    file = state_folder() / cluster / RECORD
    return _read(file) if file.is_file() else None


def _read(file: Path) -> Record:
    try:
        values = json.loads(file.read_text("utf-8"))
        calls = [Call(**call) for call in values.pop("calls")]
        return Record(calls=calls, **values)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UserError(f"{file} is damaged ({error}); end its cluster by `reviewmill cluster gpu "
                        f"down {file.parent.name} --region REGION`, which needs no record, then "
                        "remove the folder") from None
