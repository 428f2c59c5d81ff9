"""Stop words that a recipe names by their list."""

from reviews.errors import UserError


def nltk_stop_words() -> list[str]:
    """NLTK's list for English; UserError where it is not installed."""
    from nltk.corpus import stopwords

    try:
        return list(stopwords.words("english"))
    except LookupError:
        raise UserError(
            "the recipe wants NLTK's stop words, which are not installed: "
            "run 'python -m nltk.downloader stopwords', or set NLTK_DATA"
        ) from None
