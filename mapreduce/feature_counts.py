"""Job 2 on features: what of the training rows an encoding needs, by partition and then of all."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from mapreduce.job_lines import FeatureCounts, FeatureCountsLine, FeatureLine
from mapreduce.partitions.label_counts import (
    choose_best,
    information,
    label_counts,
    merge_counts,
)
from reviews.errors import UserError
from reviews.features import Encoding, Feature, Numbers, category_encoding, features_of
from reviews.recipe import Recipe
from reviews.storage.work_files import WorkFileWriter, read_tables

Array = np.ndarray


def check_best(recipe: Recipe) -> None:
    """Raise UserError where the best of no features are asked for."""
    if recipe.input.best_features and not recipe.input.features:
        raise UserError(f"best_features is {recipe.input.best_features}, and there are no features "
                        "to choose from: name fields with --features")


def count_feature(
    values: pa.ChunkedArray, labels: Array | None, feature: Feature, writer: WorkFileWriter
) -> FeatureCounts:
    """Counts of a feature, as the line of one partition has them.

    Args:
        values: (n,) of the training rows.
        labels: (n,) where the best columns are chosen by them.
    """
    by_label = None if labels is None else writer.write(label_counts(values, labels))
    if feature.kind != "category":
        numbers = Numbers.of(values)
        return {"present": numbers.present, "mean": numbers.mean.hex(),
                "squares": numbers.squares.hex(), "values": None, "by_label": by_label}
    counted = pc.value_counts(values.drop_null().combine_chunks())
    table = pa.table({"value": counted.field("values"), "count": counted.field("counts")})
    return {"present": len(values) - values.null_count, "mean": "", "squares": "",
            "values": writer.write(table), "by_label": by_label}


def merge_feature(lines: Sequence[FeatureCountsLine], recipe: Recipe) -> FeatureLine:
    """The encoding of a feature, from the lines of all partitions in any order."""
    number = lines[0]["feature"]
    feature = features_of(recipe.input)[number]
    present = sum(line["present"] for line in lines)
    if feature.kind == "category":
        counts: dict[str, int] = {}
        for line in lines:
            assert line["values"] is not None
            table = read_tables(line["values"])[0]
            values, of_one = (column.to_pylist() for column in table.columns)
            for value, n in zip(values, of_one, strict=True):
                counts[value] = counts.get(value, 0) + n
        encoding = category_encoding(feature, counts.items(), recipe.input.feature_values)
    else:
        numbers = Numbers(0, 0.0, 0.0)
        # Sums of floating point depend on their order.
        for line in sorted(lines, key=lambda line: line["partition"]):
            mean, squares = float.fromhex(line["mean"]), float.fromhex(line["squares"])
            numbers = numbers.merge(Numbers(line["present"], mean, squares))
        encoding = numbers.encoding(feature)
    found = [line["by_label"] for line in lines if line["by_label"] is not None]
    of_columns = []
    if found:
        counts = merge_counts([read_tables(location)[0] for location in found])
        of_columns = information(encoding, counts, len(recipe.labels.class_names))
    # As text, since not every JSON library keeps all digits.
    encoding |= {name: encoding[name].hex() for name in ("mean", "scale") if name in encoding}
    return {"kind": "feature", "feature": number, "present": present, "encoding": encoding,
            "information": [value.hex() for value in of_columns]}


def read_encoding(path: Path, recipe: Recipe) -> Encoding:
    """The encoding of all features, from the output of job 2; UserError for one without values."""
    lines = [orjson.loads(line.split(b"\t", 1)[1]) for line in path.read_bytes().splitlines()]
    found = {line["feature"]: line for line in lines if line["kind"] == "feature"}
    entries = []
    for number, feature in enumerate(features_of(recipe.input)):
        if not found.get(number, {}).get("present"):
            hint = "" if feature.kind == "category" else "; names take :category, dates :time"
            raise UserError(
                f"--features: no training row has a {feature.kind} in {feature.field}{hint}"
            )
        entry = found[number]["encoding"]
        exact = {name: float.fromhex(entry[name]) for name in ("mean", "scale") if name in entry}
        entries.append({**entry, **exact, "present": found[number]["present"]})
    if recipe.input.best_features:
        every = [[float.fromhex(value) for value in found[number]["information"]]
                 for number in range(len(entries))]
        entries = choose_best(entries, every, recipe.input.best_features)
    return Encoding(entries)
