"""Each rank's time as a line, t = a + b x, fitted while it runs: nothing but numpy.

Recursive least squares in Kalman's form, all ranks at once. Noise is relative: a rank's time
scatters by a fraction of itself. What changes is mostly a rank's speed as a whole (a neighbour,
heat, a clock), which stretches a and b alike, so the fit forgets along that direction first and
keeps what it knows of a : b. A two-sided CUSUM test (Page 1954) over the logarithms of measured /
predicted notices jumps; a single outlier is bounded (Huber 1964) and can set off no alarm.
"""

from typing import Any

import numpy as np

Array = np.ndarray

PRIOR_INTERCEPT = 0.15  # of a rank's first measured time; what is guessed before shares move
PRIOR_INTERCEPT_SPREAD = 0.2
PRIOR_NOISE = 0.07  # relative standard deviation
FIRST_DOUBT = 0.5  # the same of a first time, which is often long: caches, allocations
LEAST_NOISE = 0.02
NOISE_MEMORY = 50  # updates
SCALE_STEP = 0.002  # relative random walk of the speed, an update
SHAPE_STEP = 0.0003  # of a : b
FRESH_TURN = 0.1  # of a : b, when a rank's speed has changed at once
OUTLIER = 2.5  # standard deviations from which a sample counts less
SLACK, ALARM, CLIP = 0.75, 10.0, 6.0  # of the CUSUM: two samples far out are an alarm, one is not
FIXED_DOUBT = 0.3  # relative deviation of a from what was measured of it
FIXED_BLUR = 0.005  # and that as a part of the whole time
LEAST_SLOPE = 0.01  # at its usual share, b x is at least this part of a rank's time
LEAST_INTERCEPT = 0.001  # and a this
USUAL_MEMORY = 50  # updates
SAYS_LITTLE = 0.1  # of the usual share: with less, a jump is seen in a, and b is left alone


class RankTiming:
    """Lines of R ranks.

    Attributes:
        a: (R,) seconds an update costs at all.
        b: (R,) seconds for one more token.
        noise: (R,) relative standard deviation of the times around the line.
        samples: (R,) measurements so far; a line means something from the first on.
        usual: (R,) tokens, a running mean of the shares above 0.
    """

    def __init__(self, ranks: int) -> None:
        self.a, self.b = np.zeros(ranks), np.zeros(ranks)
        self.covariance = np.zeros((3, ranks))  # of (a, a), (a, b), (b, b)
        self.noise = np.full(ranks, PRIOR_NOISE)
        self.samples = np.zeros(ranks, np.int64)
        self.usual = np.ones(ranks)
        self._sums = np.zeros((2, ranks))  # CUSUM upwards and downwards, standard deviations
        self._runs = np.zeros((2, ranks))  # samples since the sum left 0
        self._shifts = np.zeros((2, ranks))  # sum of log(measured / predicted) since then

    def predict(self, x: Array) -> Array:
        """Seconds (R,) for shares of x (R,) tokens."""
        seconds: Array = self.a + self.b * x
        return seconds

    def spread(self, x: Array) -> Array:
        """Relative standard deviation (R,) of what is predicted for x, without the noise."""
        aa, ab, bb = self.covariance
        variance = aa + 2 * ab * x + bb * x * x
        relative: Array = np.sqrt(np.maximum(variance, 0)) / np.maximum(self.predict(x), 1e-300)
        return relative

    def observe(
        self, x: Array, seconds: Array, reporting: Array, fixed: Array | None = None
    ) -> Array:
        """Take one measurement from every reporting rank; return where a jump was noticed.

        Args:
            x: (R,) tokens.
            seconds: (R,) of which only those of reporting ranks are looked at, > 0.
            reporting: (R,) bool.
            fixed: (R,) a part of seconds that has nothing to do with tokens; nan: not known.

        Returns:
            (R,) bool.
        """
        seconds = np.where(reporting, seconds, 1.0)
        memory = np.minimum(self.samples + 1, USUAL_MEMORY)
        self.usual += np.where(reporting & (x > 0), (x - self.usual) / memory, 0)
        # A line cannot be begun by a rank that had nothing to do.
        first = reporting & (self.samples == 0) & (x > 0)
        known = reporting & (self.samples > 0)
        jumped = self._follow(x, seconds, known)
        if first.any():
            self._begin(x, seconds, first)
        self.samples += first | known
        if fixed is not None:
            self._learn_fixed(seconds, fixed, first | known)
        return jumped

    def _begin(self, x: Array, seconds: Array, first: Array) -> None:
        """Lines through one point each, with what is usual for a : b."""
        x = np.where(first, x, 1.0)
        a, b = PRIOR_INTERCEPT * seconds, (1 - PRIOR_INTERCEPT) * seconds / x
        self.a, self.b = np.where(first, a, self.a), np.where(first, b, self.b)
        fresh = (FIRST_DOUBT ** 2 * np.stack([a * a, a * b, b * b])
                 + PRIOR_INTERCEPT_SPREAD ** 2 * _shape(seconds, x))
        self.covariance = np.where(first, fresh, self.covariance)

    def _learn_fixed(self, seconds: Array, fixed: Array, chosen: Array) -> None:
        """Take what was measured of a itself for a sample of a, by the same least squares.

        It is not quite a: what a micro-batch costs at all stays with the tokens, and the first one
        finds the caches cold.
        """
        chosen = chosen & np.isfinite(fixed)
        measured = np.where(chosen, np.clip(fixed, 0, seconds), 0.0)
        doubt = (FIXED_DOUBT * measured) ** 2 + (FIXED_BLUR * seconds) ** 2
        aa, ab, _ = self.covariance
        gain = np.where(chosen, 1 / np.maximum(aa + doubt, 1e-300), 0.0)
        off = measured - self.a
        self.a, self.b = self.a + gain * aa * off, self.b + gain * ab * off
        self.covariance = self.covariance - gain * np.stack([aa * aa, aa * ab, ab * ab])
        reach = np.maximum(self.usual, 1.0)
        a, b = _within(self.a, self.b, self.covariance, reach)
        self.a, self.b = np.where(chosen, a, self.a), np.where(chosen, b, self.b)

    def _follow(self, x: Array, seconds: Array, known: Array) -> Array:
        """One step of the filter for known ranks."""
        a, b = self.a, self.b
        predicted = np.where(known, self.predict(x), 1.0)
        # The point around which a : b may turn.
        reach = np.where(known, np.maximum(x, self.usual), 1.0)
        covariance = (self.covariance + SCALE_STEP ** 2 * np.stack([a * a, a * b, b * b])
                      + SHAPE_STEP ** 2 * _shape(a + b * reach, reach))

        # How far off, in standard deviations of what was to be expected.
        aa, ab, bb = covariance
        ha, hb = aa + ab * x, ab + bb * x  # covariance times (1, x)
        uncertain = np.maximum(ha + hb * x, 0) / predicted ** 2
        off = np.log(np.maximum(seconds, 1e-9 * predicted) / predicted)
        deviations = off / np.sqrt(self.noise ** 2 + uncertain)
        jumped, shift, run = self._notice(off, deviations, known)

        # Where nothing jumped: least squares, outliers weighing less.
        weight = np.minimum(1, OUTLIER / np.maximum(np.abs(deviations), 1e-9))
        variance = (uncertain + self.noise ** 2 / weight) * predicted ** 2
        gain = np.where(known & ~jumped, (seconds - predicted) / variance, 0)
        a, b = a + gain * ha, b + gain * hb
        shrink = np.where(jumped, 0, 1 / variance)
        covariance = covariance - shrink * np.stack([ha * ha, ha * hb, hb * hb])

        # Where it did: the whole line stretched by the mean since the jump, and less certain.
        stretch = np.where(jumped, np.exp(shift), 1.0)
        a, b = a * stretch, b * np.where(x < SAYS_LITTLE * self.usual, 1.0, stretch)
        doubt = np.where(jumped, (shift / 4) ** 2 + self.noise ** 2 / run, 0)
        turn = np.where(jumped, (FRESH_TURN * np.minimum(np.abs(shift), 1)) ** 2, 0)
        covariance = (covariance * stretch ** 2 + doubt * np.stack([a * a, a * b, b * b])
                      + turn * _shape(a + b * reach, reach))
        self._learn_noise(off, uncertain, known & ~jumped)

        self.covariance = np.where(known, covariance, self.covariance)
        a, b = _within(a, b, self.covariance, reach)
        self.a, self.b = np.where(known, a, self.a), np.where(known, b, self.b)
        return jumped

    def _notice(self, off: Array, deviations: Array, known: Array) -> tuple[Array, Array, Array]:
        """The CUSUM test: where it jumped (R,), by what factor (its logarithm), how long ago."""
        signed = np.stack([deviations, -deviations]).clip(-CLIP, CLIP) - SLACK  # (2, R)
        self._sums = np.where(known, np.maximum(self._sums + signed, 0), self._sums)
        rising = known & (self._sums > 0)
        idle = known & ~rising
        self._runs = np.where(rising, self._runs + 1, np.where(idle, 0, self._runs))
        self._shifts = np.where(rising, self._shifts + off, np.where(idle, 0, self._shifts))
        alarm = self._sums >= ALARM  # (2, R)
        jumped = np.logical_or(alarm[0], alarm[1])
        side = alarm.argmax(axis=0), np.arange(len(off))
        run = np.maximum(self._runs[side], 1)
        shift = self._shifts[side] / run
        for state in (self._sums, self._runs, self._shifts):
            state[:, jumped] = 0
        return jumped, shift, run

    def _learn_noise(self, off: Array, uncertain: Array, known: Array) -> None:
        """The scatter around the line, from residuals cut at three standard deviations."""
        variance = self.noise ** 2
        # What the line itself may be off by is no noise.
        scatter = np.minimum(off ** 2, 9 * variance) * variance / (variance + uncertain)
        memory = np.minimum(self.samples + 10, NOISE_MEMORY)
        learned = np.sqrt(variance + (scatter - variance) / memory)
        self.noise = np.where(known, np.maximum(learned, LEAST_NOISE), self.noise)

    def rescale(self, rank: int, factor: float) -> None:
        """Stretch one rank's line by a factor that somebody measured in another way."""
        self.a[rank] *= factor
        self.b[rank] *= factor
        a, b = self.a[rank], self.b[rank]
        doubt = self.noise[rank] ** 2 + FRESH_TURN ** 2
        self.covariance[:, rank] *= factor ** 2
        self.covariance[:, rank] += doubt * np.array([a * a, a * b, b * b])
        self.covariance[:, rank] += FRESH_TURN ** 2 * np.array([a * a, -a * b, b * b])
        for state in (self._sums, self._runs, self._shifts):
            state[:, rank] = 0

    def state(self) -> dict[str, Any]:
        """All of it as lists, for a checkpoint."""
        return {name: value.tolist() for name, value in vars(self).items()}

    def restore(self, state: dict[str, Any]) -> None:
        """Take back what `state` gave."""
        for name, value in vars(self).items():
            setattr(self, name, np.array(state[name], value.dtype))


def _shape(seconds: Array, x: Array) -> Array:
    """The covariance (3, R) of turning lines around the point (x, seconds), by all of a at once."""
    slope = seconds / x
    return np.stack([seconds * seconds, -seconds * slope, slope * slope])


def _within(a: Array, b: Array, covariance: Array, reach: Array) -> tuple[Array, Array]:
    """The likeliest lines with an intercept and a slope: moved along what the data leave open."""
    aa, ab, bb = covariance
    seconds = np.maximum(a + b * reach, 1e-12)
    least = LEAST_INTERCEPT * seconds
    low = a < least
    b = np.where(low, b + (least - a) * ab / np.maximum(aa, 1e-300), b)
    a = np.where(low, least, a)
    steep = LEAST_SLOPE * seconds / reach
    flat = b < steep
    a = np.where(flat, np.maximum(a + (steep - b) * ab / np.maximum(bb, 1e-300), least), a)
    return a, np.where(flat, steep, b)
