"""Raw review files in their formats -> blocks of reviews."""

from reviews.corpora.detect import detect_format
from reviews.corpora.read import read_blocks
from reviews.corpora.splits import Split, input_bytes, plan_splits

__all__ = ["Split", "detect_format", "input_bytes", "plan_splits", "read_blocks"]
