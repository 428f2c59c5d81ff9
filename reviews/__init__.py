"""The shared core: what a review is in each of its forms, from raw record to stored row."""

from reviews.runtime.kernel_cache import ensure_kernel_cache

ensure_kernel_cache()  # numba reads the environment when it is loaded
