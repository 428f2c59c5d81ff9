"""`--profile`: where the time of an update goes, on rank 0, in files for people and for viewers.

    profile/summary.txt   one page: phases of an update, costliest operators and functions; of a GPU
                          its kernels, for how long it had work, and the most memory
    profile/trace.json    torch.profiler's trace of some updates, for chrome://tracing or Perfetto
    profile/host.prof     cProfile of as many others, for pstats or snakeviz

Tracing slows an update down, so the phases are those of the updates that nobody traced.
"""

import cProfile
import pstats
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from mpi_train.monitoring.phase_timer import PHASES

WARM_UP, TRACED, SHOWN = 3, 5, 15  # updates left out, updates traced in each way, rows of a table


class Profiler:
    """Called between updates; writes when it has seen enough, or at the end of the run."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._updates = 0
        self._phases: list[dict[str, float]] = []
        activities = [ProfilerActivity.CPU]
        if torch.cuda.is_available():
            activities.append(ProfilerActivity.CUDA)
        self._torch = profile(activities=activities)
        self._host = cProfile.Profile()
        self._tracing = self._timing = False

    def after_update(self, phases: dict[str, float]) -> None:
        """Take in what an update was, and prepare for the next."""
        if self._updates >= WARM_UP and not (self._tracing or self._timing):
            self._phases.append(phases)
        self._updates += 1
        if self._updates == WARM_UP:
            self._torch.start()
            self._tracing = True
        elif self._updates == WARM_UP + TRACED:
            self._stop_tracing()
            self._host.enable()
            self._timing = True
        elif self._updates == WARM_UP + 2 * TRACED:
            self._stop_timing()

    def close(self) -> None:
        """Write the summary."""
        self._stop_tracing()
        self._stop_timing()
        lines = [*self._phase_lines(), *self._operator_lines(), *self._gpu_lines(),
                 *self._function_lines()]
        (self._folder / "summary.txt").write_text("\n".join(lines) + "\n", "utf-8")

    def _stop_tracing(self) -> None:
        if self._tracing:
            self._tracing = False
            self._torch.stop()
            self._torch.export_chrome_trace(str(self._folder / "trace.json"))

    def _stop_timing(self) -> None:
        if self._timing:
            self._timing = False
            self._host.disable()
            self._host.dump_stats(self._folder / "host.prof")

    def _phase_lines(self) -> list[str]:
        if not self._phases:
            return [f"A run of more than {WARM_UP + 2 * TRACED} updates has phases to show."]
        found = {name: median(phases[name] for phases in self._phases) for name in PHASES}
        whole = sum(found.values())
        return [f"An update takes {1e3 * whole:.1f} ms (medians of {len(self._phases)}):", "",
                *(f"{1e3 * seconds:10.2f} ms {seconds / whole:6.1%}  {name}"
                  for name, seconds in found.items())]

    def _operator_lines(self) -> list[str]:
        if self._updates <= WARM_UP:
            return []
        found = sorted(self._torch.key_averages(), key=lambda e: -e.self_cpu_time_total)
        whole = sum(event.self_cpu_time_total for event in found)
        traced = min(TRACED, self._updates - WARM_UP)
        return ["", f"Operators of {traced} traced updates, own CPU time:", "",
                *(f"{event.self_cpu_time_total / 1e3 / traced:10.2f} ms "
                  f"{event.self_cpu_time_total / whole:6.1%} "
                  f"{event.count // traced:6} x  {event.key}" for event in found[:SHOWN])]

    def _gpu_lines(self) -> list[str]:
        if self._updates <= WARM_UP:
            return []
        traced = min(TRACED, self._updates - WARM_UP)
        found = kernels(self._torch)
        if not found:
            return []
        whole = sum(event.self_device_time_total for event in found)
        memory = torch.cuda.max_memory_reserved()
        return ["", f"Kernels of {traced} traced updates on the GPU, which had work for "
                f"{whole / 1e3 / traced:.2f} ms of each, and {memory / 1e9:.2f} GB at most:", "",
                *(f"{event.self_device_time_total / 1e3 / traced:10.2f} ms "
                  f"{event.self_device_time_total / whole:6.1%} "
                  f"{event.count // traced:6} x  {event.key}" for event in found[:SHOWN])]

    def _function_lines(self) -> list[str]:
        if self._updates <= WARM_UP + TRACED:
            return []
        timed = min(TRACED, self._updates - WARM_UP - TRACED)
        stats: dict[tuple[str, int, str], Any] = vars(pstats.Stats(self._host))["stats"]
        found = sorted(stats.items(), key=lambda item: -item[1][2])
        return ["", f"Functions of {timed} timed updates, own time:", "",
                *(f"{1e3 * seconds / timed:10.2f} ms {calls // timed:15} x  {name} "
                  f"({Path(file).name}:{line})"
                  for (file, line, name), (_, calls, seconds, *_) in found[:SHOWN])]


def kernels(traced: profile) -> list[Any]:
    """Kernels and copies that a GPU ran while it was traced, by their name, the longest first."""
    found = [event for event in traced.key_averages()
             if event.device_type == DeviceType.CUDA and not event.is_user_annotation]
    return sorted(found, key=lambda event: -event.self_device_time_total)
