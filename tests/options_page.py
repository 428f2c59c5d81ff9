"""docs/options.md: all options by command, made from their declarations.

    python -m tests.options_page

writes the page; `tests/end_to_end/test_options_page.py` holds that it is up to date.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from cluster.emr_config import EmrConfig
from cluster.gpu.config import GpuConfig
from mapreduce.engines.options import EngineOptions
from models.records import RECORDS
from mpi_train.configuration.config import TrainingConfig
from reviews.options import Leaf, condition_text, default_text, flag, flatten, leaves
from reviews.recipe import Recipe, load_recipe
from scoring.export import ExportOptions
from scoring.score import ScoreOptions

PAGE = Path(__file__).resolve().parents[1] / "docs" / "options.md"


class Section(NamedTuple):
    """Options of one tree."""

    title: str
    about: str
    config: type
    commands: tuple[str, ...]  # those that have the tree


SECTIONS = (
    Section("Rules of preparation",
            "Keys of a recipe. A file of them is `--recipe FILE`, where a key is the option with "
            "underscores; `prepare --print-recipe` shows all.",
            Recipe, ("prepare", "clean", "evaluate", "score")),
    Section("Runner of prepare and clean", "Where the jobs run: [engines](engines.md).",
            EngineOptions, ("prepare", "clean")),
    Section("train",
            "A file of them is `--config FILE`, where a key is the option with underscores. Fixed "
            "options cannot be changed by `--resume`. The column tune has what "
            "[tune](tune.md) searches. Defaults are those of `--model lstm`; other "
            "models have these of their own:",
            TrainingConfig, ("train",)),
    Section("score", "Beside those of the recipe above: [scoring](scoring.md).",
            ScoreOptions, ("score",)),
    Section("export", "The model in 8 bits: [scoring](scoring.md#in-8-bits).",
            ExportOptions, ("export",)),
    Section("cluster emr, cluster cost",
            "A file of them is `--config FILE` of create: [emr](emr.md).",
            EmrConfig, ("create", "setup", "cost")),
    Section("cluster gpu", "GPU clusters on EC2: [GPU clusters](gpu-clusters.md). `run` has those "
            "of `up`.",
            GpuConfig, ("plan", "up", "setup")),
)


def page() -> str:
    """The page as it has to be."""
    text = ("# Options\n\nMade from the declarations in the program by "
            "`python -m tests.options_page`. `--help` of a command says the same. A condition "
            "names the options that this one is read with; elsewhere it is refused.\n")
    for section in SECTIONS:
        text += f"\n## {section.title}\n\n{section.about}\n\n"
        if section.config is TrainingConfig:
            text += models_table() + "\n"
        if section.config is Recipe:
            text += preset_text() + "\n\n"
        text += table(section)
    return text


def table(section: Section) -> str:
    """The options of a section, a row each."""
    found = [leaf for leaf in leaves(section.config) if leaf.option is not None]
    several = len(section.commands) > 1
    fixed = any(leaf.option and leaf.option.fixed for leaf in found)
    heads = ["option", "default", "values", "read with"]
    searched = any(leaf.option and leaf.option.search for leaf in found)
    heads += ["commands"] * several + ["fixed"] * fixed + ["tune"] * searched + ["meaning"]
    rows = []
    for leaf in found:
        declared = leaf.option
        assert declared is not None
        conditions = " and ".join(condition_text(declared, name) for name in declared.only_if)
        own = [name for name in section.commands
               if declared.commands is None or name in declared.commands]
        default = "off" if leaf.default is False else default_text(leaf)
        rows.append([f"`{flag(leaf.name)}`", default, values_of(leaf), conditions,
                     *[", ".join(own)] * several, *["yes" * declared.fixed] * fixed,
                     *[str(declared.search or "")] * searched,
                     declared.help])
    return markdown(heads, rows)


def values_of(leaf: Leaf) -> str:
    """The values that an option may have."""
    assert leaf.option is not None
    if leaf.kind is bool:
        return "on or off"
    return ", ".join(leaf.option.choices or ()) or leaf.option.bounds


def preset_text() -> str:
    """Changes of the preset that is read where no recipe is named."""
    defaults, preset = flatten(Recipe()), flatten(load_recipe())
    changed = [f"`{key}` {str(value).lower() if value in (True, False) else value}"
               for key, value in preset.items() if value != defaults[key]]
    return ("Defaults below are those of a recipe file that lacks the key. The preset `default`, "
            f"which is read where no recipe is named, has {', '.join(changed)}.")


def models_table() -> str:
    """Changes that models make of the defaults."""
    defaults = {leaf.name: leaf.default for leaf in leaves(TrainingConfig)}
    rows = []
    for name, record in RECORDS.items():
        own = {leaf.name: leaf.default for leaf in leaves(record.config)} | dict(record.training)
        changed = {key: value for key, value in own.items() if value != defaults[key]}
        rows.append([name, ", ".join(f"`{flag(key)} {_shown(value)}`"
                                     for key, value in changed.items()) or "none"])
    return markdown(["model", "defaults that differ"], rows)


def _shown(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def markdown(heads: list[str], rows: Iterable[list[str]]) -> str:
    """A table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
