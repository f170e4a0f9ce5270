"""What the newest complete run of an experiment uses."""

import errno
import os
import time
from pathlib import Path

import pytest

from workflows.results.current import Current, note_current


def test_a_run_replaces_what_the_one_before_used_but_for_stages_that_it_leaves_out(tmp_path: Path) -> None:
    note_current(tmp_path, {"train": "a", "test": "b"}, "", "one.yaml")
    note_current(tmp_path, {"train": "c"}, "", "two.yaml")
    found = Current.read(tmp_path)
    assert dict(found.results) == {"train": ("c",), "test": ("b",)}
    assert found.spec == "two.yaml"


def test_variants_of_one_sweep_are_current_together(tmp_path: Path) -> None:
    note_current(tmp_path, {"train": "old"}, "", "s.yaml")
    for fingerprint in ("a", "b", "a"):
        note_current(tmp_path, {"train": fingerprint, "data": "d"}, "sweep 1", "s.yaml")
    assert dict(Current.read(tmp_path).results) == {"train": ("a", "b"), "data": ("d",)}
    note_current(tmp_path, {"train": "c"}, "sweep 2", "s.yaml")
    assert Current.read(tmp_path).results["train"] == ("c",)


def test_a_damaged_note_says_nothing_and_nothing_is_made_for_an_experiment_without_results(tmp_path: Path) -> None:
    note_current(tmp_path / "absent", {"train": "a"}, "", "s.yaml")
    assert not (tmp_path / "absent").exists()
    note_current(tmp_path, {"train": "a"}, "", "s.yaml")
    (file,) = tmp_path.iterdir()
    for content in ('{"results": [1]}', "half a fi", "[]", '{"results": {"train": 3}, "sweep": "", "spec": "", "noted": 1}'):
        file.write_text(content)
        assert Current.read(tmp_path) == Current()


def test_the_same_run_again_is_noted_as_later(tmp_path: Path) -> None:
    note_current(tmp_path, {"train": "a"}, "", "s.yaml")
    before = Current.read(tmp_path)
    assert before.noted <= time.time()
    note_current(tmp_path, {"train": "a"}, "", "s.yaml")
    assert Current.read(tmp_path).noted > before.noted


def test_an_experiment_that_cannot_be_written_is_only_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: int) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    note_current(tmp_path, {"train": "a"}, "", "s.yaml")
    monkeypatch.setattr(os, "fsync", refuse)
    note_current(tmp_path, {"train": "b"}, "", "s.yaml")
    assert Current.read(tmp_path).results == {"train": ("a",)}
