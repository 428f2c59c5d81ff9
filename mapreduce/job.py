"""What the jobs have in common."""

from collections.abc import Sequence
from functools import cached_property

import pyarrow as pa
from mrjob.job import MRJob
from mrjob.protocol import JSONProtocol
from mrjob.runner import MRJobRunner

from mapreduce.forking import ForkingRunner
from reviews.memory import keep_freed_memory
from reviews.recipe import Recipe, load_recipe


class ReviewsJob(MRJob):
    """A job over short lines of JSON, by a recipe."""

    INPUT_PROTOCOL = JSONProtocol
    INTERNAL_PROTOCOL = JSONProtocol
    OUTPUT_PROTOCOL = JSONProtocol

    def __init__(self, args: Sequence[str] | None = None) -> None:
        super().__init__(args)
        keep_freed_memory()
        # Arrow's own allocator gives pages back too.
        pa.set_memory_pool(pa.system_memory_pool())

    def configure_args(self) -> None:
        super().configure_args()
        self.add_passthru_arg("--recipe", default="default", help="name of a preset")
        self.add_file_arg("--recipe-file", help="file of a recipe, in place of a preset")

    def _runner_class(self) -> type[MRJobRunner]:
        """mrjob's own for every runner but local."""
        runner: type[MRJobRunner] = super()._runner_class()
        return ForkingRunner if runner.alias == "local" else runner

    @cached_property
    def recipe(self) -> Recipe:
        """The recipe, with its lists of words spelled out."""
        return load_recipe(self.options.recipe_file or self.options.recipe).resolved()
