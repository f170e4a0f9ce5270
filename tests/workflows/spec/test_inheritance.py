"""Which files a spec is made of, and what its keys x-... are for."""

from __future__ import annotations

from pathlib import Path

import pytest

from workflows.spec.inheritance import read_spec
from workflows.spec.load import load_spec
from workflows.spec.problems import SpecError

SPEC = """\
x-common: &common {kind: finetune, task: retrieval, dataset: pics, epochs: 1, batch_size: 2}
x-unset: "${env:NOT_SET_ANYWHERE}"
name: own-keys
datasets: {pics: {media: image, root: images, splits: {train: t.json, val: v.json}}}
stages:
  a: *common
  b: {<<: *common, epochs: 3}
"""


def test_own_keys_hold_anchors_and_mean_nothing(tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(SPEC)
    stages = load_spec(tmp_path / "spec.yaml").stages
    assert [(stage.epochs, stage.batch_size) for stage in stages.values()] == [(1, 2), (3, 2)]  # type: ignore[attr-defined]


def test_own_keys_are_not_inherited(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(SPEC)
    (tmp_path / "spec.yaml").write_text("extends: base.yaml\nx-other: [1]\nname: child\n")
    assert list(read_spec(tmp_path / "spec.yaml").plain()) == ["name", "datasets", "stages"]


@pytest.mark.parametrize("text", [SPEC.replace("x-unset", "X-unset"), SPEC + "model: {x-own: 1}\n", SPEC + "x: 1\n"])
def test_only_keys_at_the_top_that_begin_so(text: str, tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(text.replace("${env:NOT_SET_ANYWHERE}", "text"))
    with pytest.raises(SpecError, match="unknown field"):
        load_spec(tmp_path / "spec.yaml")


def test_override_of_an_own_key_is_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(SPEC)
    with pytest.raises(SpecError, match="x-common: unknown field"):
        load_spec(tmp_path / "spec.yaml", ["x-common.epochs=2"])


@pytest.mark.parametrize(
    ("extends", "says"),
    [
        ("spec.yaml", "extends: spec.yaml leads back to this file"),
        ("[other.yaml, ./spec.yaml]", "extends: ./spec.yaml leads back to this file"),
        ("link.yaml", "extends: link.yaml leads back to this file"),
        ("[other.yaml, other.yaml]", "spec.yaml:2:23: extends: other.yaml is listed twice; keep one"),
        ("[other.yaml, sub/../other.yaml]", "extends: sub/../other.yaml is listed twice; keep one"),
        ("nothing.yaml", "extends: no file"),
        ("loop.yaml", "extends: no file"),
        (".", "extends: no file"),
        ("3", "extends: expected a file name or a list of file names"),
        ("{a: 1}", "extends: expected a file name or a list of file names"),
        ("x" * 5000, "extends: no file"),
        ('"a\\0b"', "extends: no file"),
        ("binary.yaml", "is no UTF-8 text"),
    ],
)
def test_files_that_cannot_be_extended(extends: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(f"name: x\nextends: {extends}\n")
    (tmp_path / "other.yaml").write_text("name: y\n")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\x00")
    (tmp_path / "link.yaml").symlink_to("spec.yaml")
    (tmp_path / "loop.yaml").symlink_to("loop.yaml")
    with pytest.raises(SpecError) as refused:
        read_spec(tmp_path / "spec.yaml")
    assert says in str(refused.value)
    assert len(str(refused.value)) < 3000


def test_two_files_may_extend_the_same_one(tmp_path: Path) -> None:
    (tmp_path / "common.yaml").write_text("name: common\nseed: 1\n")
    for name in ("left", "right"):
        (tmp_path / f"{name}.yaml").write_text(f"extends: common.yaml\nname: {name}\npaths: {{{name}: x}}\n")
    (tmp_path / "spec.yaml").write_text("extends: [left.yaml, right.yaml, common.yaml]\n")
    assert read_spec(tmp_path / "spec.yaml").plain() == {"name": "common", "seed": 1, "paths": {"left": "x", "right": "x"}}
