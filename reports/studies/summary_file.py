"""The JSON file that a page is made from: counts or results of a command."""

import json
from pathlib import Path
from typing import Any

from reviews.errors import UserError


def read_summary(file: Path, form: str) -> dict[str, Any]:
    """The object in a file of this format; UserError where it is none."""
    try:
        found = json.loads(file.read_bytes())
    except (OSError, ValueError):
        raise UserError(f"{file} cannot be read") from None
    if not isinstance(found, dict) or found.get("format") != form:
        raise UserError(f"{file} has not the format {form}")
    return found
