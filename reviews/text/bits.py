"""Bit operations for kernels, by name: what they do stands in `reviews.compiled.intrinsics`, which
is imported when something is compiled."""

from typing import Any

from reviews.compiled.functions import Later

_MODULE = "reviews.compiled.intrinsics"

load64: Any = Later(_MODULE, "load64")
at_least: Any = Later(_MODULE, "at_least")
between: Any = Later(_MODULE, "between")
equal: Any = Later(_MODULE, "equal")
trailing_zeros: Any = Later(_MODULE, "trailing_zeros")
count_ones: Any = Later(_MODULE, "count_ones")
prefetch: Any = Later(_MODULE, "prefetch")
