"""Measured nodes: the work that each has, and what is read out of a training."""

from pathlib import Path

import pytest

from benchmarks.scaling.measured import (
    FILES,
    Corpus,
    Study,
    Updates,
    cores_of,
    make_corpus,
    runs_of,
    with_weak_base,
)
from benchmarks.scaling.points import STRONG, WEAK, Point


def study(folder: Path, *counts: int) -> Study:
    return Study(folder, counts, "plain-lstm", 64, 4)


def test_work_stays_under_strong_scaling_and_grows_under_weak(tmp_path: Path) -> None:
    corpus = make_corpus(study(tmp_path, 1, 2), 40)
    lines = {files: sum(path.read_bytes()[:2] == b"\x1f\x8b" for path in corpus.of(*files)[0])
             for files in ((STRONG, 1), (STRONG, 2), (WEAK, 1), (WEAK, 2))}
    assert lines == {(STRONG, 1): FILES, (STRONG, 2): FILES, (WEAK, 1): FILES, (WEAK, 2): 2 * FILES}
    assert [corpus.of(law, 2)[1] for law in (STRONG, WEAK)] == [40, 80]
    assert isinstance(corpus, Corpus) and corpus.few.is_file()


def test_one_node_is_measured_once_and_stands_for_both_laws(tmp_path: Path) -> None:
    assert runs_of(study(tmp_path, 1, 2, 4)) == [
        (STRONG, 1), (STRONG, 2), (STRONG, 4), (WEAK, 2), (WEAK, 4)]
    own = [Point("train", law, 10, nodes, 10, 1.0, 0.1, True)
           for law, nodes in runs_of(study(tmp_path, 1, 2))]
    found = with_weak_base(own)
    assert found[: len(own)] == own
    assert [(point.law, point.nodes) for point in found[len(own):]] == [(WEAK, 1)]


def test_a_rank_s_own_work_is_without_the_exchange() -> None:
    done = Updates([{"compute_s": [0.5, 0.7], "reduction_s": [0.1, 0.1]},
                    {"compute_s": [0.6, 0.6], "reduction_s": [0.2, 0.0]}], {})
    assert done.mean("compute_s") == pytest.approx(0.6)
    assert done.own_s == pytest.approx(0.5)


def test_nodes_have_cores_of_this_process(tmp_path: Path) -> None:
    assert len(cores_of(1)) == 1
    assert cores_of(1) <= cores_of(2)
