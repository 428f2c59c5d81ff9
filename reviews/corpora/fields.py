"""Names of the fields of a file's records, by role."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reviews.errors import UserError
from reviews.features import features_of
from reviews.recipe import Recipe

# The names that public corpora use, the better known first. Case, spaces and marks in names do
# not matter: "Review Text" and reviews.text are names of the text.
_KNOWN = {
    "text": ("reviewText", "text", "reviews.text", "review_body", "review_content", "content",
             "review", "body", "comment", "review_comment_message", "sentence"),
    "rating": ("overall", "rating", "score", "stars", "star_rating", "review_rating", "ratings",
               "reviews.rating", "review_score"),
    # Where there is no rating.
    "label": ("label", "sentiment", "polarity", "airline_sentiment", "voted_up"),
    "reviewer": ("reviewerID", "user_id", "customer_id", "reviewer"),
    "product": ("asin", "parent_asin", "product_id", "product", "business_id"),
    "time": ("unixReviewTime", "timestamp", "Time", "at", "review_date", "date", "reviewTime"),
}  # fmt: skip
_MCAULEY = {
    "text": ("reviewText",),
    "rating": ("overall",),
    "reviewer": ("reviewerID",),
    "product": ("asin",),
    "time": ("unixReviewTime",),
}
_PARTS = ("text", "title", "rating", "label", "reviewer", "product", "time",
          "source")
_SHOWN = 12  # fields named in an error
_LONGEST_NAME = 40  # characters of each


@dataclass(frozen=True)
class Reading:
    """Purpose of reading reviews: `labels` says that each needs a rating or a label; `key_field`
    names a field that goes with the review as its key."""

    labels: bool = True
    key_field: str | None = None


FOR_TRAINING = Reading()


@dataclass(frozen=True)
class Names:
    """The field of each part of a review; None where the corpus has none."""

    text: str | None = None
    title: str | None = None
    rating: str | None = None
    label: str | None = None
    reviewer: str | None = None
    product: str | None = None
    time: str | None = None
    source: str | None = None
    key: str | None = None
    features: tuple[str, ...] = ()

    def roles(self) -> dict[str, str]:
        """Part -> field, without the parts that the corpus does not have."""
        parts = {role: name for role, name in vars(self).items() if isinstance(name, str)}
        return parts | {f"feature_{number}": name for number, name in enumerate(self.features)}


def choose_names(
    path: str, recipe: Recipe, samples: Sequence[Mapping[str, Any]],
    reading: Reading = FOR_TRAINING,
) -> Names:
    """The fields named by the recipe, the others found in records of the file's start.

    A UserError says which fields there are when a named one, the text, or rating and label
    are not among them. Without samples nothing can be missed: every record is bad. Parts that
    the recipe does not look at have no field, so that nobody parses them. Where labels are not
    needed, ratings and labels have a field if there is one.
    """
    counts: dict[str, int] = {}
    texts: dict[str, int] = {}
    for sample in samples:
        for name, value in sample.items():
            counts[name] = counts.get(name, 0) + (value is not None)
            texts[name] = texts.get(name, 0) + isinstance(value, str)
    known = _MCAULEY if recipe.input.format == "amazon" else _KNOWN
    shown = ", ".join(map(_brief, list(counts)[:_SHOWN]))
    shown += ", ..." if len(counts) > _SHOWN else ""
    chosen: dict[str, str | None] = {}
    features = tuple(feature.field for feature in features_of(recipe.input))
    for name in features:
        if samples and name not in counts:
            raise UserError(f"{path}: no field {name!r} among {shown}, for the features")
    key = reading.key_field
    if key is not None and samples and key not in counts:
        raise UserError(f"{path}: no field {key!r} among {shown}; see --key-field")
    for role in _PARTS:
        given = getattr(recipe.input, f"{role}_field")
        if role in ("rating", "label") and not reading.labels and given not in counts:
            given = None
        if given is not None and samples and given not in counts:
            raise UserError(f"{path}: no field {given!r} among {shown}; see --{role}-field")
        rated = role == "label" and chosen["rating"] is not None
        if given is None and role in known and not rated:
            given = _best(known[role], texts if role == "text" else counts)
            if given is None and not samples:
                given = known[role][0]
        chosen[role] = given
    if chosen["text"] is None:
        hint = "" if any(map(is_known, counts)) else " (or a CSV's columns with --columns)"
        raise UserError(f"{path}: no text field among {shown or 'none'}; name it with "
                        f"--text-field{hint}{_objects_text(samples)}")
    if reading.labels and chosen["rating"] is None and chosen["label"] is None:
        raise UserError(f"{path}: no rating field among {shown}; name it with --rating-field or "
                        f"--label-field{_objects_text(samples)}")
    needed = _needed(recipe)
    return Names(**{part: chosen[part] for part in _PARTS if part in needed}, key=key,
                 features=features)


def _needed(recipe: Recipe) -> set[str]:
    """The parts of a review that this recipe looks at."""
    parts = {"text", "title", "rating", "label"}
    if recipe.selection.dedupe == "reviewer-product":
        parts |= {"reviewer", "product", "time"}
    if recipe.selection.split_by != "review":
        parts |= {recipe.selection.split_by, "time"}  # the earliest of equal reviews decides
    if recipe.input.features or recipe.input.keep_keys:
        parts |= {"time", *recipe.input.keep_keys}
    return parts


def is_text_name(name: str) -> bool:
    """True when the text of a review has this name in public corpora, however it is spelt."""
    return _bare(name) in map(_bare, _KNOWN["text"])


def is_known(name: str) -> bool:
    """True when public corpora have a field of this name, however it is spelt."""
    return any(_bare(name) in map(_bare, names) for names in _KNOWN.values())


def _bare(name: str) -> str:
    """A name without case, spaces and marks."""
    return re.sub(r"[\W_]", "", name.casefold())


def _objects_text(samples: Sequence[Mapping[str, Any]]) -> str:
    """End of a message about fields that are not found, where one may lie in an object."""
    name = next((name for sample in samples for name, value in sample.items()
                 if isinstance(value, Mapping)), None)
    if name is None:
        return ""
    return f"; {_brief(name)!r} is an object, whose fields jq -c '. + .[{json.dumps(name)}]' adds"


def _brief(name: str) -> str:
    """A name as an error shows it: a line of text that was taken for a header is long."""
    line = " ".join(name.split())
    return line if len(line) <= _LONGEST_NAME else line[:_LONGEST_NAME] + "..."


def _best(known: Sequence[str], counts: Mapping[str, int]) -> str | None:
    """The known name that most records fill; the better known one where two are equal."""
    rank = {_bare(name): place for place, name in enumerate(known)}
    found = [
        (-count, rank[_bare(name)], name)
        for name, count in counts.items()
        if _bare(name) in rank
    ]
    return min(found)[2] if found else None
