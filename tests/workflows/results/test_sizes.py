"""How much room folders take, and what removing them frees."""

import os
from pathlib import Path

import pytest

from workflows.results.sizes import bytes_text, freed_by_removing, newest_change, size_of


def test_a_file_with_two_names_is_freed_only_with_both(tmp_path: Path) -> None:
    result, artifacts = tmp_path / "result", tmp_path / "artifacts"
    for folder in (result, artifacts):
        folder.mkdir()
    (result / "weights").write_bytes(b"x" * 1000)
    (result / "log").write_bytes(b"y" * 10)
    os.link(result / "weights", artifacts / "weights")
    os.link(result / "weights", result / "again")
    (result / "link").symlink_to("weights")
    assert size_of(result) == 1010
    assert freed_by_removing([result]) == (10, 1000)
    assert freed_by_removing([result, artifacts]) == (1010, 0)
    assert size_of(result / "log") == 10


def test_the_newest_file_counts(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    for name, when in (("a/new", 2000.0), ("old", 1000.0)):
        (tmp_path / name).write_text("x")
        os.utime(tmp_path / name, (when, when))
    assert newest_change(tmp_path) == 2000.0


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (99_940, "99.9 kB"), (99_960, "100 kB"), (999_600, "1.0 MB"),
     (33_000_000, "33.0 MB"), (2**50, "1126 TB")],
)  # fmt: skip
def test_sizes_have_three_digits(size: int, text: str) -> None:
    assert bytes_text(size) == text
