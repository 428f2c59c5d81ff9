"""Files of one JSON object that is no review: one around its reviews, or one of columns."""

import re
from collections.abc import Iterator

from reviews.corpora.fields import is_text_name
from reviews.errors import UserError

_LOOKED_AT = 256 << 10  # bytes of a file
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[{}\[\]:,]', re.DOTALL)
_SPACE = b" \t\r\n"


def refuse_wrapped(path: str, data: bytes, text_field: str | None) -> None:
    """Raise UserError, with the way out, for a file whose start `data` is that of such an object.

    text_field: a name that the text of a review has, beside the known ones.
    """
    if not data.lstrip().startswith(b"{"):
        return
    values = dict(_members(data[:_LOOKED_AT]))
    if values.pop(b"", None) == b"more":
        return
    if text_field and b'"' + text_field.encode() + b'"' in values:
        return
    if any(is_text_name(_name(key)) and value == b'"' for key, value in values.items()):
        return
    around = [key for key, value in values.items() if value == b"[{"]
    if around:
        raise UserError(f"{path}: one JSON object around its reviews; take them out: "
                        f"jq -c '.[{around[0].decode(errors='replace')}][]'")
    if len(values) > 1 and set(values.values()) <= {b"{", b"[", b"[["}:
        raise UserError(f"{path}: JSON by columns; write it by rows, such as with pandas: "
                        "read_json(...).to_json(..., orient='records', lines=True)")


def _name(key: bytes) -> str:
    return key[1:-1].decode(errors="replace")


def _members(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The members of the first object: the key as it is written, and how the value begins: `"`,
    `{`, `[`, `[{`, `[[`, or nothing for what is no string, object or array.

    A last member `more`, with an empty key, says that something follows the object, or that its
    brackets do not match: then it is a damaged record.
    """
    closing, key = [], b""  # what closes the brackets that are open
    for token in _TOKEN.finditer(data):
        mark = token[0]
        if mark in (b"{", b"["):
            closing.append(b"}" if mark == b"{" else b"]")
        elif mark in (b"}", b"]"):
            if mark != closing.pop():
                yield b"", b"more"
                return
            if not closing:
                if data[token.end() :].strip(_SPACE):
                    yield b"", b"more"
                return
        elif len(closing) == 1 and mark == b":":
            yield key, _begin(data, token.end())
        elif len(closing) == 1 and mark.startswith(b'"'):
            key = mark


def _begin(data: bytes, after: int) -> bytes:
    """First characters of the value after a colon."""
    start = data[after : after + 256].lstrip(_SPACE)
    if start[:1] == b"[" and start[1:].lstrip(_SPACE)[:1] in (b"{", b"["):
        return b"[" + start[1:].lstrip(_SPACE)[:1]
    return start[:1] if start[:1] in (b'"', b"{", b"[") else b""
