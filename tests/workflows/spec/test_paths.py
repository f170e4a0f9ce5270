"""Paths that no file can have are refused where the spec writes them."""

from __future__ import annotations

from pathlib import Path

import pytest

from workflows.spec.load import load_spec
from workflows.spec.paths import path_problem
from workflows.spec.problems import SpecError

SPEC = """\
name: paths
datasets: {pics: {media: image, root: images, linked_folders: [more], splits: {train: t.json, val: v.json}}}
stages:
  a: {kind: finetune, task: retrieval, dataset: pics, epochs: 1, batch_size: 2}
  b: {kind: evaluate, checkpoint: ./weights, dataset: pics, split: val, tasks: [retrieval]}
"""
FIELDS = (
    "storage", "paths.data", "datasets.pics.root", "datasets.pics.frames", "datasets.pics.splits.train",
    "datasets.pics.splits.val.references", "model.vision.pretrained", "model.text.pretrained", "stages.a.init_from",
    "stages.b.checkpoint", "datasets.pics.linked_folders.0",
)  # fmt: skip
USERS = ["paths.data=x", "stages.a.description=${paths.data}"]  # A path that nothing uses is a mistake of its own.


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("~no-such-user-7/data", "there is no user 'no-such-user-7'"),
        ("./" + "x" * 5000, "the path is too long"),
        ("./" + "x/" * 2500, "the path is too long"),
        ('"./a\\0b"', "a path cannot have control characters"),
        ('"./\\e[2Jdata"', "a path cannot have control characters"),
    ],
    ids=["user", "name", "path", "null", "escape"],
)
def test_every_path_of_a_spec(field: str, path: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(SPEC)
    with pytest.raises(SpecError) as refused:
        load_spec(tmp_path / "spec.yaml", [*USERS, f"{field}={path}"])
    assert f"{field}: {says}" in str(refused.value).replace("splits.train.captions", "splits.train")


@pytest.mark.parametrize("path", ["data", "~/data", "/a/b", "a b", "é", "~", "..", "x" * 255, "what?", "50%", "C#", "日本"])
def test_paths_that_can_be(path: str) -> None:
    assert path_problem(path) is None


def test_home_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.path.expanduser", lambda path: path)  # What it does without HOME for an unknown user id.
    assert path_problem("~/data") == "HOME is not set"


def test_extension_of_an_unknown_user(tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(SPEC + "extensions: [~no-such-user-7/own.py]\n")
    with pytest.raises(SpecError, match=r"spec.yaml:6:14: extensions: there is no user 'no-such-user-7'"):
        load_spec(tmp_path / "spec.yaml")
