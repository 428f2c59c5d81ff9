"""Times as corpora write them -> Unix seconds."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

# Unix seconds stay below this until the year 5138; milliseconds passed it in 1973.
_MILLISECONDS_FROM = 1e11
_NUMBER = r"^-?[0-9]{1,15}(\.[0-9]+)?$"
_ISO = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}([ T][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?%s)?$"
_ZONE = r"(Z|[+-][0-9]{2}(:?[0-9]{2})?)"
_MCAULEY = r"^([0-9]{2}) ([0-9]{2}), ([0-9]{4})$"  # month day, year


def seconds(
    numeric: NDArray[np.bool_],
    numbers: NDArray[np.float64],
    textual: NDArray[np.bool_],
    strings: pa.StringArray,
) -> pa.Int64Array:
    """Unix seconds (n), rounded down; null where a value is no number, ISO 8601 or "09 3, 2013".

    numeric and textual (n) say where numbers (n) and strings (n) hold the value. Numbers
    beyond 1e11 are milliseconds. An ISO time without a zone is UTC.
    """
    values = np.where(numeric, numbers, np.nan)
    dates = None
    if textual.any():
        texts = pc.if_else(pa.array(textual), strings, pa.scalar(None, pa.string()))
        texts = pc.utf8_trim_whitespace(texts)
        texts = pc.replace_substring_regex(texts, r"^([0-9]{2}) ([0-9]),", r"\1 0\2,")
        texts = pc.replace_substring_regex(texts, _MCAULEY, r"\3-\1-\2")
        plain = _only(texts, _NUMBER).cast(pa.float64()).to_numpy(zero_copy_only=False)
        values = np.where(np.isnan(values), plain, values)
        dates = pc.coalesce(
            _calendar(_only(texts, _ISO % ""), None), _calendar(_only(texts, _ISO % _ZONE), "UTC")
        )
    values = np.where(np.abs(values) > _MILLISECONDS_FROM, values / 1000, values)
    missing = ~(np.abs(values) <= _MILLISECONDS_FROM)
    whole = np.floor(np.where(missing, 0, values)).astype(np.int64)
    result = pa.array(whole, mask=missing)
    return result if dates is None else pc.coalesce(result, dates)


def _only(texts: pa.StringArray, pattern: str) -> pa.StringArray:
    """The strings that match; null for the others."""
    return pc.if_else(pc.match_substring_regex(texts, pattern), texts, pa.scalar(None, pa.string()))


def _calendar(texts: pa.StringArray, zone: str | None) -> pa.Int64Array:
    """Unix seconds of ISO times; null where the calendar has no such day or hour."""
    texts = pc.replace_substring_regex(texts, r"\.[0-9]+", "")
    return pa.concat_arrays(_cast(texts, pa.timestamp("s", zone))).cast(pa.int64())


def _cast(texts: pa.StringArray, kind: pa.DataType) -> list[pa.Array]:
    """Cast in pieces: one impossible date refuses a whole cast, so halve until it is alone."""
    try:
        return [texts.cast(kind)]
    except pa.ArrowInvalid:
        if len(texts) == 1:
            return [pa.nulls(1, kind)]
        middle = len(texts) // 2
        return [*_cast(texts[:middle], kind), *_cast(texts[middle:], kind)]
