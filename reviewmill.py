"""The command line: a table of subcommands, each imported from its stage when it is called."""

import errno
import importlib
import importlib.util
import os
import sys
from collections.abc import Sequence
from typing import Any

from reviews.errors import UserError
from reviews.options import near
from reviews.runtime.commands import ended_by_signals, usage
from reviews.runtime.openmp import WAITING
from reviews.runtime.quick_imports import Without, lasting_imports, meta_kernels_later

VERSION = "0.1.0"

COMMANDS = {
    "prepare": ("mapreduce.prepare", "raw reviews to a store"),
    "clean": ("mapreduce.clean", "raw reviews to cleaned text in Parquet, for other tools"),
    "inspect": ("mapreduce.inspect_store", "content of a store or a model; --verify checks it"),
    "train": ("mpi_train.launch", "a store to a model, on any number of ranks"),
    "evaluate": ("mpi_train.evaluate", "how good a model is, on a store or on labelled files"),
    "calibrate": ("mpi_train.calibration.command", "a model's probabilities, and thresholds"),
    "score": ("scoring.score", "files of reviews to predictions of a model"),
    "serve": ("scoring.service.serve", "a model over HTTP, and a page to try it on"),
    "export": ("scoring.export", "the ONNX file of a model that was trained without it"),
    "compare": ("compare.command", "models and baselines on one store, and what a result is worth"),
    "tune": ("compare.tuning.command", "options of a training, searched on a sample of a store"),
    "watch": ("reports.live.watch", "progress of a training, in the terminal"),
    "runs": ("reports.live.runs", "run folders below a folder, as a table"),
    "track": ("reports.tracking.command", "a run put to TensorBoard or MLflow"),
    "report": ("reports", "the page about a run, a store or a comparison"),
    "cluster": ("cluster.command", "clusters started and stopped, and what they cost"),
    "bench": ("benchmarks", "each stage beside its peer"),
    "demo": ("demo", "all of it on generated reviews"),
}

# What other packages import where they find it, and nothing of `prepare` uses: pyarrow for data
# frames and functions that travel, mrjob through distutils, which Python 3.12 has no more.
UNUSED = ["pandas", "cloudpickle"] + ["setuptools"] * (sys.version_info < (3, 12))

# What a command needs beside the core install: the extra, and the modules it brings.
EXTRAS = {"train": ("torch", "mpi4py", "safetensors"), "report": ("matplotlib",),
          "compare": ("sklearn", "scipy"), "tune": ("optuna",), "export": ("onnx", "safetensors"),
          "score": ("onnxruntime", "safetensors", "fastapi", "httptools", "uvicorn")}
NEEDS = {"train": ["train"], "evaluate": ["train"], "calibrate": ["train"],
         "report": ["report"], "export": ["export"],
         "score": ["score"], "serve": ["score"], "compare": ["compare", "report"],
         "tune": ["train", "tune", "report"],
         "bench": ["train"], "demo": ["train", "report"]}


def check_extras(name: str) -> None:
    """Raise UserError when the command needs extras that are not installed."""
    absent = [
        (extra, module)
        for extra in NEEDS.get(name, [])
        for module in EXTRAS[extra]
        if importlib.util.find_spec(module) is None
    ]
    if absent:
        extras = ",".join(dict.fromkeys(extra for extra, _ in absent))
        modules = ", ".join(module for _, module in absent)
        raise UserError(f"{modules} not installed; pip install 'reviewmill[{extras}]'")


def _stage(module: str) -> Any:
    """The module of a stage."""
    with lasting_imports():
        if module != COMMANDS["prepare"][0]:
            meta_kernels_later()
            return importlib.import_module(module)
        with Without(UNUSED):
            found = importlib.import_module(module)
            importlib.import_module("pyarrow").array([0]).to_numpy()  # it looks when first used
        return found


def main(argv: Sequence[str] | None = None) -> int:
    """Run a subcommand; return the exit status.

    It is 2 for a mistake that the user can mend, 3 for a cluster that failed.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(usage("reviewmill COMMAND", COMMANDS), "\n\nreviewmill COMMAND --help says more.",
              sep="")
        return 0
    name, *rest = arguments
    if name == "--version":
        print(VERSION)
        return 0
    if name not in COMMANDS:
        known = ", ".join(COMMANDS)
        print(f"reviewmill: no command {name!r}{near(name, [*COMMANDS, '--help']) or f'; {known}'}",
              file=sys.stderr)
        return 2
    os.environ.update({**WAITING, **os.environ})
    with ended_by_signals():
        return _run(name, rest)


def _run(name: str, arguments: Sequence[str]) -> int:
    """Run a command; what a user can mend is said in a line."""
    try:
        check_extras(name)
        status = int(_stage(COMMANDS[name][0]).main(arguments))
        if sys.stdout is not None:  # as it is where a shell has closed it
            sys.stdout.flush()
        return status
    except BrokenPipeError:
        # Whoever read what was printed (head, less) has seen enough; Python is not to try again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141  # what a shell says of a program that ended by SIGPIPE
    except UserError as error:
        print(f"reviewmill {name}: {error}", file=sys.stderr)
        return error.status
    except OSError as error:
        # A file that the system refuses, which nobody has looked at before, or a full disk.
        if error.filename is None and error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        where = "" if error.filename is None else f"{error.filename}: "
        print(f"reviewmill {name}: {where}{error.strerror}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"reviewmill {name}: stopped", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
