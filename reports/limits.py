"""Limit of a run, in one sentence."""

import numpy as np

from reports.html import percent

LITTLE = 0.05  # of the time; less waiting is nobody's fault
FAR = 0.8  # of the longest own work: who does less waits for somebody


def limits(compute: np.ndarray, wait: np.ndarray, seconds: float) -> str:
    """Share of the ranks' time that was waiting, and its cause.

    Args:
        compute, wait: (R,) what each rank did itself and how long it waited, in any unit.
        seconds: how long it took, in the same unit.
    """
    if not seconds:
        return ""
    works = compute > 0
    waited = float(wait[works].sum() / (seconds * max(int(works.sum()), 1)))
    said = f"{percent(waited)} of all ranks' time was waiting"
    parked = int((~works).sum())
    rest = f"; {parked} of {len(works)} ranks were parked all the time" if parked else ""
    slowest = int(np.argmax(compute))
    if waited < LITTLE:
        return f"{said}: nobody limits the run{rest}."
    if compute[works].min() < FAR * compute[slowest]:
        return f"{said}: rank {slowest} limits the run, the others wait for it{rest}."
    return f"{said}: no rank limits the run, but the exchange of gradients does{rest}."
