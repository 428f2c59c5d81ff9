"""Raw review files in their formats -> blocks of reviews."""

from reviews.corpora.detect import detect_format
from reviews.corpora.escapes import resolve_escapes
from reviews.corpora.fields import Reading
from reviews.corpora.input_splits import (
    InputSplit,
    is_read_by_one,
    plan_files,
    plan_splits,
    raw_bytes,
)
from reviews.corpora.read import Part, read_blocks, read_parts, read_stretches

__all__ = [
    "InputSplit",
    "Part",
    "Reading",
    "detect_format",
    "is_read_by_one",
    "plan_files",
    "plan_splits",
    "raw_bytes",
    "read_blocks",
    "read_parts",
    "read_stretches",
    "resolve_escapes",
]  # fmt: skip
