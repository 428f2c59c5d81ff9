"""Notes that tasks leave in the work folder, whatever the engine does with its own logs."""

import contextlib
import re
from collections.abc import Iterable, Iterator

from mapreduce.job import FAILURES, ended_folder
from reviews.errors import UserError
from reviews.runtime.progress import PROGRESS
from reviews.storage.folders import join, names_below, read_whole
from reviews.storage.repeated import repeated

LAST_LINES = 12  # of a failed task, that are shown
WATCH_S = 2.0  # between two looks at the number of tasks that have ended
_COMPLAINT = re.compile(r"Error|Exception|FAILED|[Ff]ailed|No such file|not found|denied")
_JAVA_FRAME = "at "


@contextlib.contextmanager
def watching(work: str, job: str, tasks: int) -> Iterator[None]:
    """Show meanwhile the share of the tasks of a job that have ended."""
    folder = join(work, ended_folder(job))

    def look() -> None:
        with contextlib.suppress(UserError):  # the next look may reach it
            PROGRESS.tell(len(names_below(folder)), tasks)

    with repeated(look, WATCH_S):
        yield


def complaints(heard: Iterable[str]) -> str:
    """The last lines of these messages that are about an error."""
    lines = [line.strip() for message in heard for line in message.splitlines()]
    telling = [line for line in lines
               if _COMPLAINT.search(line) and not line.startswith(_JAVA_FRAME)]
    return "\n".join(list(dict.fromkeys(telling))[-LAST_LINES:])


def last_words(work: str) -> str:
    """The last lines of the task that failed last, empty where none could write any."""
    names = names_below(join(work, FAILURES))
    if not names:
        return ""
    text = read_whole(join(join(work, FAILURES), min(names))).decode(errors="replace")
    return "\n".join(text.rstrip().splitlines()[-LAST_LINES:])
