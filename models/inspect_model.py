"""`reviewmill inspect MODEL`: the card of a model, its sizes, and the store it was trained on."""

import json
from math import prod
from pathlib import Path
from typing import Any

from models.records import RECORDS, check_shapes, options_of
from reviews.bundle import FORMAT, Bundle, read_bundle


def is_model(path: str) -> bool:
    """True for a run with a model, and for a bundle."""
    for folder in (Path(path, "model"), Path(path)):
        try:
            found = json.loads((folder / "manifest.json").read_bytes())
        except (OSError, ValueError):
            continue
        return isinstance(found, dict) and found.get("format") == FORMAT
    return False


def inspect_model(path: str, verify: bool, as_json: bool) -> None:
    """Print what a model is; verify: read the weights, too, and compare their shapes."""
    bundle = read_bundle(path, weights=False)
    summary = summarize(bundle)
    if verify:
        if not bundle.graph_alone:
            check_shapes(read_bundle(path), options_of(bundle))
        for name in bundle.files:
            bundle.read(name)
        summary["verified"] = True
    if as_json:
        print(json.dumps(summary))
        return
    print(bundle.read("card.md").decode())
    print(describe(summary))
    if verify:
        print(f"verified: {len(bundle.files)} files are as the manifest says")


def summarize(bundle: Bundle) -> dict[str, Any]:
    """The figures of a bundle as plain values; sizes are in bytes."""
    options = options_of(bundle)
    shapes = RECORDS[options.model].tensors(options)
    return {
        "format": FORMAT,
        "model": options.model,
        "parameters": sum(map(prod, shapes.values())),
        "classes": bundle.model["classes"],
        "length": bundle.model["length"],
        "vocabulary_size": options.vocabulary_size,
        "files": {name: (bundle.path / name).stat().st_size for name in sorted(bundle.files)},
        "store": bundle.model.get("store"),
        "seed": bundle.model.get("seed"),
        "validation": bundle.model.get("validation"),
        "temperature": bundle.temperature,
        "int8": bundle.model.get("int8"),
    }


def describe(summary: dict[str, Any]) -> str:
    """Sizes and origin, as lines for people."""
    lines = [f"{summary['parameters']:,} parameters; files of the bundle, in bytes:"]
    lines += [f"  {name:<20} {size:>14,}" for name, size in summary["files"].items()]
    if summary["store"]:
        lines.append(f"trained on the store {summary['store']}, seed {summary['seed']}")
    if summary["temperature"] != 1:
        lines.append(f"temperature {summary['temperature']:.4f}")
    if summary["validation"]:
        figures = (f"{name} {value:,}" if isinstance(value, int) else f"{name} {value:.4f}"
                   for name, value in summary["validation"].items() if value is not None)
        lines.append("validation: " + ", ".join(figures))
    return "\n".join(lines)
