"""Raw review files in their formats -> blocks of reviews."""

from reviews.corpora.detect import detect_format
from reviews.corpora.read import Part, read_blocks, read_parts
from reviews.corpora.splits import Split, plan_splits, raw_bytes

__all__ = [
    "Part", "Split", "detect_format", "plan_splits", "raw_bytes", "read_blocks", "read_parts",
]  # fmt: skip
