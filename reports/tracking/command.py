"""`reviewmill track RUN`: a run folder put to TensorBoard or MLflow."""

import importlib.util
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import yaml

from reports.tracking.scalars import ScalarReader
from reports.tracking.trackers import MLflow, TensorBoard
from reviews.errors import UserError
from reviews.options import make_parser
from reviews.run_folder import CONFIG, SUMMARY
from reviews.storage.kinds import instead

EXPERIMENT, DATABASE = "reviewmill", "sqlite:///mlflow.db"


def main(
    argv: Sequence[str] | None = None, sleep: Callable[[float], None] = time.sleep
) -> int:
    """Export what there is; with --follow, go on until the run ends."""
    parser = make_parser(
        "reviewmill track", "Put a run folder to TensorBoard or MLflow, while it is written or "
        "afterwards. Training needs none of it.")
    parser.add_argument("run", metavar="RUN", help="run folder")
    parser.add_argument("--tensorboard", metavar="DIR",
                        help="folder of TensorBoard's, which gets a folder for this run")
    parser.add_argument("--mlflow", nargs="?", const=DATABASE, metavar="URI",
                        help=f"tracking URI of MLflow ({DATABASE})")
    parser.add_argument("--name", help="name of the run (that of its folder)")
    parser.add_argument("--experiment", default=EXPERIMENT, metavar="NAME",
                        help=f"experiment of MLflow ({EXPERIMENT})")
    parser.add_argument("--follow", action="store_true",
                        help="go on until the run has ended, or Ctrl-C")
    parser.add_argument("--interval", type=float, default=5.0, metavar="SECONDS",
                        help="seconds between two looks of --follow (5)")
    options = parser.parse_args(argv)
    run = Path(options.run)
    if not (run / CONFIG).is_file():
        raise UserError(f"{run} is no run folder: it has no {CONFIG}{instead(run)}")
    if bool(options.tensorboard) == bool(options.mlflow):
        raise UserError("give either --tensorboard DIR or --mlflow [URI]")
    if not options.interval > 0:
        raise UserError(f"--interval is {options.interval:g}: give more than 0 seconds")
    module = "tensorboard" if options.tensorboard else "mlflow"
    if importlib.util.find_spec(module) is None:
        raise UserError(f"{module} is not installed: pip install 'reviewmill[track]'")
    values, started = yaml.safe_load((run / CONFIG).read_text("utf-8")), (run / CONFIG).stat()
    name = options.name or run.resolve().name
    tracker = (TensorBoard(options.tensorboard, name, values, started.st_mtime)
               if options.tensorboard else
               MLflow(options.mlflow, options.experiment, name, values, started.st_mtime))
    reader, figures, finished = ScalarReader(run), 0, False
    try:
        while True:
            finished = (run / SUMMARY).is_file()  # before what it may have written last
            for scalars in reader.new():
                tracker.put(scalars)
                figures += len(scalars.values)
            tracker.flush()
            if finished or not options.follow:
                break
            sleep(options.interval)
    finally:
        tracker.close(finished)
    print(f"{name}: {figures:,} figures")
    return 0
