"""Shares from known speeds: pure functions of numbers, nothing but numpy.

A rank takes t = a + b x seconds for a share of x. `water_fill` finds the shares with which the
slowest rank is as fast as can be; `proportional` is what one can do without knowing a;
`whole_shares` turns ratios into whole reviews.
"""

from collections.abc import Sequence

import numpy as np

Array = np.ndarray


def check_caps(caps: Sequence[float] | Array, ranks: int) -> Array:
    """Caps (R,) as fractions of an update's cost. Raises ValueError where no share can obey."""
    checked = np.asarray(caps, np.float64)
    if checked.shape != (ranks,):
        raise ValueError(f"{checked.size} caps for {ranks} ranks")
    if not (np.isfinite(checked).all() and (checked >= 0).all() and (checked <= 1).all()):
        raise ValueError(f"caps are fractions from 0 to 1, not {checked.tolist()}")
    if checked.sum() < 1 - 1e-9:
        raise ValueError(f"the caps add up to {checked.sum():.4g}: "
                         "at least 1 is needed for all of an update")
    return checked


def water_fill(
    a: Array, b: Array, cost: float, caps: Array | None = None
) -> tuple[Array, float]:
    """The shares x (R,) with the smallest T = max of a + b x over the ranks with a share.

    T is the smallest with sum_r min(cap_r cost, max(0, (T - a_r) / b_r)) >= cost. That sum grows
    in straight pieces between the T where a rank joins (a) and where its cap is reached, so the
    piece is looked up and solved exactly.

    Args:
        a: (R,) seconds an update costs rank r before its first token, >= 0.
        b: (R,) seconds for one more token, > 0.
        cost: tokens of the update, > 0.
        caps: (R,) the most a rank may get as a fraction of cost, together >= 1.

    Returns:
        x (R,), which adds up to cost, and T. A rank with a >= T gets 0.
    """
    if caps is None:
        level = _level(a, b, cost)
        x = np.maximum(level - a, 0) / b
    else:
        most = cost * caps  # (R,)
        level = _level_under_caps(a, b, cost, most)
        x = np.clip((level - a) / b, 0, most)
    if not x.any():  # tokens too cheap beside a to show in T
        x = np.where(a <= level, cost if caps is None else most, 0.0)
    # Rounding leaves the sum off by parts in 1e16.
    x *= cost / x.sum()
    return x if caps is None else np.minimum(x, most), level


def _level(a: Array, b: Array, cost: float) -> float:
    """T without caps: ranks join in the order of a for as long as that lowers T."""
    order = np.argsort(a, kind="stable")
    joined = 1 / b[order]
    # T if the first k + 1 ranks shared the work.
    levels = (cost + np.cumsum(a[order] * joined)) / np.cumsum(joined)
    return float(levels.min())


def _level_under_caps(a: Array, b: Array, cost: float, most: Array) -> float:
    """T where ranks also leave, at their caps."""
    knees = np.concatenate([a, a + b * most])  # (2R,)
    order = np.argsort(knees, kind="stable")
    times = knees[order]
    slopes = np.cumsum(np.concatenate([1 / b, -1 / b])[order])
    filled = np.concatenate([[0.0], np.cumsum(slopes[:-1] * np.diff(times))])
    # The first piece at whose end everything is given away, but for rounding.
    piece = min(int(np.searchsorted(filled, cost * (1 - 1e-12))), len(times) - 1) - 1
    level = float(times[piece])
    if slopes[piece] > 0:
        level = min(level + (cost - filled[piece]) / slopes[piece], float(times[piece + 1]))
    return level


def proportional(tokens: Array, seconds: Array) -> Array:
    """Ratios (R,) by tokens per second: right when an update costs nothing but its tokens.

    Args:
        tokens, seconds: (R,) sums over what was measured, > 0.
    """
    speeds = np.asarray(tokens, np.float64) / np.asarray(seconds, np.float64)
    ratios: Array = speeds / speeds.sum()
    return ratios


def whole_shares(ratios: Sequence[float] | Array, total: int, minimum: int = 0) -> Array:
    """Whole shares (R,) int64 that add up to total, nearest to the ratios.

    Largest remainders (Hamilton's method); of equal ones, the lower rank. Every rank gets the
    minimum first. Raises ValueError when there is not that much.
    """
    wanted = np.asarray(ratios, np.float64)
    if not (wanted.size and np.isfinite(wanted).all() and (wanted >= 0).all() and wanted.any()):
        raise ValueError(f"shares are ratios from 0 up, not all 0: {wanted.tolist()}")
    if total < minimum * wanted.size:
        raise ValueError(f"{total} reviews are too few for {wanted.size} ranks "
                         f"with at least {minimum} each")
    exact = wanted / wanted.sum() * total
    short = exact < minimum
    while True:
        # Ranks lifted to the minimum leave less for the others, which may fall below it too.
        left = total - minimum * int(short.sum())
        weight = np.where(short, 0.0, wanted)
        exact = np.where(short, minimum, weight / max(weight.sum(), 1e-300) * left)
        below = ~short & (exact < minimum)
        if not below.any():
            break
        short |= below
    shares = np.floor(exact).astype(np.int64)
    remainder = total - int(shares.sum())
    order = np.argsort(-(exact - shares), kind="stable")
    shares[order[:remainder]] += 1
    return shares
