"""The processor of this machine."""

from pathlib import Path

import pytest

from reviews.runtime.processor import has_vnni, processor_name


def test_name_and_flags_are_those_of_the_first_core(tmp_path: Path) -> None:
    info = tmp_path / "cpuinfo"
    info.write_text("processor\t: 0\nmodel name\t: Quick 9000\nflags\t\t: fpu avx2\n\n"
                    "processor\t: 1\nmodel name\t: Other\nflags\t\t: fpu avx_vnni\n")
    assert processor_name(info) == "Quick 9000"
    assert not has_vnni(info)


@pytest.mark.parametrize("flag", ["avx512_vnni", "avx_vnni"])
def test_vnni_is_known_by_either_flag(flag: str, tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text(f"flags\t\t: fpu avx2 {flag} sse\n")
    assert has_vnni(tmp_path / "cpuinfo")


def test_a_machine_without_that_file_has_a_name(tmp_path: Path) -> None:
    assert processor_name(tmp_path / "none")
    assert not has_vnni(tmp_path / "none")
