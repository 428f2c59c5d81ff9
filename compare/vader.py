"""VADER (Hutto and Gilbert 2014), NLTK's: rules and a lexicon, nothing learned from the store."""

from collections.abc import Sequence

import numpy as np

from reviews.errors import UserError

Array = np.ndarray
LEXICON = "sentiment/vader_lexicon.zip/vader_lexicon/vader_lexicon.txt"
NEUTRAL = 0.05  # its authors' limit of the compound score


def check_lexicon() -> None:
    """Raise UserError where NLTK's data lack the lexicon."""
    import nltk

    try:
        nltk.data.find(LEXICON)
    except LookupError:
        raise UserError("NLTK's VADER lexicon is not installed: run 'python -m nltk.downloader "
                        "vader_lexicon', or set NLTK_DATA") from None


def logits(documents: Sequence[str], classes: int) -> Array:
    """Logits from the compound score c in [-1, 1] of raw texts.

    Two classes: (n,), c itself, so that 0 and more are positive; three: (n, 3) of -c, the limit of
    neutral texts, and c.
    """
    from nltk.sentiment.vader import SentimentIntensityAnalyzer

    analyzer = SentimentIntensityAnalyzer()
    compound = np.array([analyzer.polarity_scores(text)["compound"] for text in documents], float)
    if classes == 2:
        return compound
    return np.stack([-compound, np.full(len(compound), NEUTRAL), compound], 1)
