"""The page of all options is what the declarations say."""

from tests.options_page import PAGE, SECTIONS, page


def test_the_page_of_options_is_made_from_their_declarations() -> None:
    assert PAGE.read_text("utf-8") == page(), "run: python -m tests.options_page"


def test_every_section_has_its_options() -> None:
    text = page()
    assert [section.title for section in SECTIONS if f"## {section.title}\n" not in text] == []
    assert "| `--focal-gamma` | 2.0 | 0 or more | --loss focal |" in text
    assert "has `literal_stray_quotes` true, " in text
    assert "| `--html` | on | on or off |" in text and "| `--nfkc` | off | on or off |" in text
    assert "| `--split` | 0.8,0.1,0.1 |" in text
    assert "| bag | `--dropout 0.3`, `--embedding-dim 16`, `--ngrams 3`, " in text
