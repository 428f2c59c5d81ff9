"""Learning rates as a function of the update's number alone."""


def learning_rate(schedule: str, peak: float, step: int, total: int, warmup: int) -> float:
    """Rate of update `step` (from 0) of `total`.

    The first `warmup` updates rise linearly to the peak. After that, `constant` stays there and
    `linear` falls so that the update after the last one would have the rate 0.
    """
    if step < warmup:
        return peak * (step + 1) / warmup
    if schedule == "constant":
        return peak
    return peak * (total - step) / max(1, total - warmup)
