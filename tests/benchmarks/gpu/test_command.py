"""`bench gpu` prints what it measured, here on the processor: each part of it, and no more."""

import re

import pytest
import torch

import reviewmill
from benchmarks.gpu.workloads import WORKLOADS, operations
from cluster.mpirun import find_mpirun
from reviews.errors import UserError
from reviews.store import Store
from tests.requirements import need
from tests.stores import make_store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return make_store(tmp_path_factory.mktemp("bench") / "store", {"train": 600}, length=16)


def printed(
    capfd: pytest.CaptureFixture[str], store: Store, *arguments: str
) -> str:
    line = ["bench", "gpu", str(store.path), "--device", "cpu", "--precision", "fp32",
            "--batch-size", "32", "--seconds", "0.01", *arguments]
    assert reviewmill.main(line) == 0
    return capfd.readouterr().out


def test_a_training_has_its_speed_at_the_best_size_and_what_bounds_it(
    store: Store, capfd: pytest.CaptureFixture[str]
) -> None:
    page = printed(capfd, store, "--only", "2019", "bag", "--micro-batch-tokens", "64", "512")
    assert re.search(r"^fp32 [\d.]+ TFLOP/s in products of matrices", page, re.MULTILINE)
    for name, share in (("LSTM of 2019", r"[\d.]+% of the peak; "), ("bag", "")):
        found = re.search(rf"^{name}.*, fp32, batch 32: ([\d,]+) reviews/s, [\d.]+ M tokens/s; "
                          rf"{share}0\.00 GB; bound by the \w+", page, re.MULTILINE)
        assert found and int(found[1].replace(",", "")) > 0
    assert len(re.findall(r"micro-batches: 64 tokens [\d,]+, 512 tokens [\d,]+; program: data ",
                          page)) == 2
    assert re.search(r"the loader by itself, batch 32: [\d,]+ reviews/s to the device, [\d.]+ "
                     "times the fastest", page)
    assert "the aim: under 3" in page
    assert "two ranks" not in page


def test_two_ranks_on_one_device_have_a_line_for_each_of_three_phases(
    store: Store, capfd: pytest.CaptureFixture[str]
) -> None:
    try:
        find_mpirun()
    except UserError as error:
        need(False, str(error))
    page = printed(capfd, store, "--only", "ranks")
    lines = re.findall(r"^    (alike|loaded|alike again): shares (\d+)% and (\d+)%, [\d,]+ "
                       r"reviews/s, efficiency \d+%; own work", page, re.MULTILINE)
    assert [name for name, *_ in lines] == ["alike", "loaded", "alike again"]
    assert all(99 <= int(one) + int(other) <= 101 for _, one, other in lines)


def test_what_no_time_is_left_for_is_named(
    store: Store, capfd: pytest.CaptureFixture[str]
) -> None:
    page = printed(capfd, store, "--only", "2019", "ranks", "--minutes", "1e-9")
    assert len(re.findall("left out, 1e-09 minutes are over", page)) == 2


@pytest.mark.parametrize(("name", "tokens", "wanted"), [
    ("2019", 100, 6 * 4 * 32 * (100 + 32 + 32 + 32)),
    ("default", 100, 6 * 2 * 4 * 64 * (64 + 64)),
    # 42.5 M weights of layers, and attention over 128 tokens.
    ("distilbert", 128, 6 * (42_467_328 + 6 * 2 * 768 * 128)),
    ("bag", 100, 0),
])
def test_the_operations_of_a_token_are_those_of_its_products(
    name: str, tokens: int, wanted: int, store: Store
) -> None:
    workload = WORKLOADS[name]
    options = workload.model_options(workload.configuration(store), store)
    assert operations(options, tokens) == wanted


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_one_line(
    store: Store, capfd: pytest.CaptureFixture[str]
) -> None:
    assert reviewmill.main(["bench", "gpu", str(store.path)]) == 2
    assert capfd.readouterr().err == (
        "reviewmill bench: --device cuda: torch finds no GPU here\n")
