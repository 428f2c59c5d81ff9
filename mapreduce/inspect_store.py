"""`reviewmill inspect`: content of a store, and a check that it is whole; or of a model."""

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mapreduce.partitions.gather_summary import fate_text
from reviews.errors import UserError
from reviews.options import make_parser
from reviews.recipe import SPLITS
from reviews.storage.folders import fetch_folder
from reviews.storage.verify import verify_store
from reviews.store import Store

_NAMED = 10  # sources in a line


def main(argv: Sequence[str]) -> int:
    """Run the command; return the exit status."""
    from models.inspect_model import inspect_model, is_model  # `prepare` needs none of it

    parser = make_parser("reviewmill inspect", "Show what is in a store or a model.")
    parser.add_argument("store", help="folder of the store, or its address; a run or a bundle")
    parser.add_argument("--verify", action="store_true", help="check every sha256 and invariant")
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    options = parser.parse_args(argv)
    if is_model(options.store):
        inspect_model(options.store, options.verify, options.json)
        return 0
    store = Store(options.store)
    summary = summarize(store)
    if not options.json:
        print(describe(store))
    if options.verify:
        faults = _faults(store)
        if faults:
            raise UserError(f"{store.address} is not whole: " + "; ".join(faults[:5]))
        summary["verified"] = True
        if not options.json:
            print(f"verified: {len(store.manifest['files'])} files are as the manifest says")
    if options.json:
        print(json.dumps(summary))
    return 0


def _faults(store: Store) -> list[str]:
    """Faults of a store; of one that lies elsewhere all files are fetched."""
    if not store.is_remote:
        return list(verify_store(store))
    with tempfile.TemporaryDirectory(prefix="reviewmill-") as folder:
        fetch_folder(store.address, Path(folder))
        return list(verify_store(Store(folder)))


def summarize(store: Store) -> dict[str, Any]:
    """The figures of a store as plain values."""
    manifest = store.manifest
    records = manifest["records"]
    return {
        "format": manifest["format"],
        "rows": {split: store.rows(split) for split in SPLITS},
        "labels": {split: manifest["splits"][split]["labels"] for split in SPLITS},
        "vocabulary_size": store.vocabulary_size,
        "length": store.length,
        "records": records["read"],
        "duplicates": records["dropped"]["duplicate"],
        "dropped": records["dropped"],
        "bad": records["bad"],
        **{name: {split: shares(manifest, [split])[name] for split in SPLITS}
           for name in ("unknown_words", "truncated")},
        "keys": manifest.get("keys", {}),
        "fingerprint": store.fingerprint,
    }


def shares(manifest: Mapping[str, Any], splits: Sequence[str]) -> dict[str, float]:
    """The part of all words that are not in the vocabulary, and of all rows that were cut."""
    entries = [manifest["splits"][split] for split in splits]

    def part(some: str, of: str) -> float:
        return sum(entry[some] for entry in entries) / max(1, sum(entry[of] for entry in entries))

    return {"unknown_words": part("unknown_words", "words"), "truncated": part("truncated", "rows")}


def shares_text(found: Mapping[str, float]) -> str:
    """The same for a person."""
    return f"{found['unknown_words']:.2%} of the words unknown, {found['truncated']:.2%} cut"


def _keys_text(store: Store) -> list[str]:
    """A line about each key that the store keeps."""
    lines = []
    for key, counts in store.manifest.get("keys", {}).items():
        names = counts.get("names", [])
        shown = ", ".join(names[:_NAMED]) + ", ..." * (len(names) > _NAMED)
        lines.append(f"{counts['rows']:,} reviews have a {key}" + f": {shown}" * bool(names))
    return lines


def describe(store: Store) -> str:
    """The figures of a store for a person."""
    figures = summarize(store)
    lines = [f"{store.address}: {figures['format']}, {figures['vocabulary_size']:,} ids, "
             f"length {store.length}"]
    for split in SPLITS:
        labels = ", ".join(f"{n:,} {name}" for name, n in figures["labels"][split].items())
        lines.append(f"  {split:<11}{figures['rows'][split]:>12,} reviews ({labels}), "
                     f"{shares_text(shares(store.manifest, [split]))}")
    lines += [f"  {line}" for line in _keys_text(store)]
    lines.append("  " + fate_text(figures["records"], figures["dropped"], figures["bad"]))
    return "\n".join(lines)
