"""Whatever a spec or a command line says, it ends in an experiment or in a UserError, never in another exception."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import cli
from cosa.errors import UserError
from workflows.spec.experiment import Experiment
from workflows.spec.load import load_spec

SPEC: dict[str, Any] = {
    "name": "fuzz",
    "seed": 1,
    "storage": "results",
    "paths": {"data": "data"},
    "model": {"vision": {"resolution": 32}, "text": {"hidden_size": 32}},
    "cluster": {"workers": 1, "address": "local"},
    "tracking": {"uri": "sqlite:///x.db"},
    "datasets": {
        "pics": {"media": "image", "root": "${paths.data}", "splits": {"train": "t.json", "val": {"captions": "v.json"}}},
        "clips": {"media": "video", "root": "clips", "splits": {"train": "t.json"}},
    },
    "stages": {
        "corpus": {"kind": "prepare", "converter": "demo", "options": {"images": 8}},
        "frames": {"kind": "extract", "dataset": "clips", "fps": 4},
        "pre": {
            "kind": "pretrain",
            "corpora": [{"dataset": "clips", "objectives": ["cap"], "steps": 1, "batch_size": 2}],
            "concatenate": 2,
        },
        "tune": {
            "kind": "finetune", "task": "retrieval", "dataset": "pics", "init_from": "pre", "epochs": 1, "batch_size": 2,
            "sweep": {"learning_rate": [1e-4, 1e-5]},
        },
        "many": {"kind": "finetune", "task": "captioning", "dataset": "pics", "epochs": 1, "matrix": {"batch_size": [2, 4]}},
        "test": {"kind": "evaluate", "checkpoint": "tune", "dataset": "pics", "split": "val", "tasks": ["retrieval"]},
    },
}  # fmt: skip
WORDS = [
    "pics", "clips", "tune", "test", "train", "val", "retrieval", "finetune", "evaluate", "kind", "matrix", "sweep", "a/b",
    "${paths.data}", "${env:HOME}", "${stages.tune}", "${stages}", "${matrix.x}", "${", "${}", "${a", "~", "~nobody-7/x", "/",
    ".", "..", "", " ", "\n", "\x00", "\x1b[2J", "\ud800", "é日", "1e999", "-0", ".nan", "0x10", "x" * 300, "s3://b/x?y=z",
    "http://u:p@h", "a.b", "-", "<<", "x-y", "extends", "*", "&a", "!!int", "[",
    "{", "%", "#", "@", "`", "'", '"', "\\", "\u2028",
]  # fmt: skip
SCALARS = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.sampled_from(WORDS) | st.text(max_size=20)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(WORDS) | st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=8,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """All paths in the spec, each of which may be changed."""
    yield path
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(item, (*path, key))


PLACES = sorted((path for path in places(SPEC) if path), key=str)


def changed(path: tuple[Any, ...], value: Any, how: str, spec: dict[str, Any]) -> None:
    """Replace, remove or extend what is at a path; nothing, if an earlier change has removed it."""
    node: Any = spec
    for step in path[:-1]:
        try:
            node = node[step]
        except (KeyError, IndexError, TypeError):
            return
    if isinstance(node, list) and how == "remove":
        node.clear()
    elif isinstance(node, dict) and how == "remove":
        node.pop(path[-1], None)
    elif isinstance(node, dict) and how == "rename":
        node[str(value)] = node.pop(path[-1], None)
    elif isinstance(node, dict) or (isinstance(node, list) and isinstance(path[-1], int) and path[-1] < len(node)):
        node[path[-1]] = value


CHANGES = st.lists(
    st.tuples(st.sampled_from(PLACES), VALUES, st.sampled_from(["replace", "replace", "remove", "rename"])),
    min_size=1,
    max_size=3,
)
NAMES = st.sampled_from([".".join(map(str, path)) for path in PLACES]) | st.lists(st.sampled_from(WORDS), max_size=3).map(
    ".".join
)
TEXTS = VALUES.map(lambda value: json.dumps(value, default=str)) | st.sampled_from(WORDS) | st.text(max_size=20)
OVERRIDES = st.lists(st.builds("{}={}".format, NAMES, TEXTS) | st.text(max_size=20), max_size=3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A working folder for all tests of the file, because hypothesis calls a test many times."""
    made, before = tmp_path_factory.mktemp("fuzz"), Path.cwd()
    for name in ("data", "clips"):
        (made / name).mkdir()
    rows = [{"video_id": f"v{i}", "desc": f"caption {i}"} for i in range(4)]
    for name in ("t.json", "v.json"):
        (made / name).write_text(json.dumps(rows))
    os.chdir(made)
    yield made
    os.chdir(before)


def loads(path: Path, overrides: list[str]) -> None:
    try:
        experiment = load_spec(path, overrides)
    except UserError as error:
        assert str(error)
        assert len(str(error)) < 200_000
    else:
        assert isinstance(experiment, Experiment)


@settings(deadline=None, suppress_health_check=list(HealthCheck))
@given(CHANGES, OVERRIDES)
@example([(("stages", "tune", "epochs"), 2**63, "replace")], [])
@example([(("cluster", "workers"), float("inf"), "replace")], ["stages.tune.epochs=1e999"])
def test_changed_specs(folder: Path, changes: list[tuple[tuple[Any, ...], Any, str]], overrides: list[str]) -> None:
    spec = copy.deepcopy(SPEC)
    for path, value, how in changes:
        changed(path, value, how, spec)
    try:
        text = yaml.safe_dump(spec, allow_unicode=True, sort_keys=False)
    except (yaml.YAMLError, UnicodeError):
        return
    (folder / "spec.yaml").write_text(text, encoding="utf-8", errors="surrogatepass")
    loads(folder / "spec.yaml", overrides)


@settings(deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_texts_that_were_damaged(folder: Path, data: st.DataObject) -> None:
    """Characters of a valid spec are removed, doubled or replaced."""
    content = bytearray(yaml.safe_dump(SPEC, sort_keys=False).encode())
    for _ in range(data.draw(st.integers(1, 6))):
        start = data.draw(st.integers(0, len(content) - 1))
        end = data.draw(st.integers(start, min(len(content), start + 30)))
        content[start:end] = data.draw(
            st.binary(max_size=6) | st.sampled_from([word.encode("utf-8", "surrogatepass") for word in WORDS])
        )
    (folder / "spec.yaml").write_bytes(bytes(content))
    loads(folder / "spec.yaml", [])


@settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
@given(
    st.sampled_from(["plan", "plan", "validate", "list", "schema", "sync", "import-checkpoint", "run-experiment", "bogus"]),
    st.lists(
        st.sampled_from(
            ["spec.yaml", "--json", "--mermaid", "--set", "--force", "--from", "--until", "--only", "--storage", "-h", "--hps"]
        )
        | st.sampled_from(WORDS)
        | st.builds("--set={}={}".format, NAMES, TEXTS)
        | st.text(max_size=12),
        max_size=5,
    ),
)
@example("plan", ["spec.yaml", "--storage", "~nobody-7/x"])
@example("plan", ["spec.yaml", "--storage", "x" * 5000])
@example("list", ["--storage", "x" * 5000])
@example("list", ["--storage", "a\0b"])
@example("sync", ["x" * 5000])
@example("import-checkpoint", ["x" * 5000, "out"])
def test_command_lines(folder: Path, command: str, words: list[str]) -> None:
    (folder / "spec.yaml").write_text(yaml.safe_dump(SPEC, sort_keys=False))
    if command == "run-experiment":  # It must not get as far as starting Ray.
        words = [*words, "--only", "no-such-stage"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["cosa", command, *words])
        try:
            cli.main()
        except SystemExit as end:
            assert end.code in (None, 0, 1, 2)
