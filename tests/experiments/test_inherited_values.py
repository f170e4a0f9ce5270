"""Specs do not repeat what they inherit: a value stands in one place."""

from pathlib import Path

import pytest

from workflows.spec.fragments import MARK
from workflows.spec.source import YamlNode, merge
from workflows.spec.yaml_text import parse_yaml, read_yaml

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
FILES = sorted(file.relative_to(EXPERIMENTS).as_posix() for file in EXPERIMENTS.glob("*/*.yaml"))


@pytest.mark.parametrize("file", FILES)
def test_child_repeats_nothing_that_it_inherits(file: str) -> None:
    parents = _parents(EXPERIMENTS / file)
    if parents is None:
        return
    own = read_yaml(EXPERIMENTS / file)
    assert own.children is not None
    own.children.pop("extends")
    own.children.pop(MARK, None)
    assert _repeated(own, parents) == []


def test_a_repeated_value_is_found() -> None:
    parents = parse_yaml("{a: {b: 1, c: [1, 2], d: ~}, e: x}", "parents")
    child = parse_yaml("{a: {b: 1, c: [1, 2], d: 2}, e: y, f: 1}", "child")
    assert _repeated(child, parents) == ["a.b", "a.c"]


def _parents(file: Path) -> YamlNode | None:
    """What a file inherits, merged as the loader merges it; None if it inherits nothing."""
    children = read_yaml(file).children or {}
    extends = children.get("extends")
    if extends is None:
        return None
    merged: YamlNode | None = None
    for item in extends.items or [extends]:
        parent = file.parent / str(item.value)
        node, inherited = read_yaml(parent), _parents(parent)
        (node.children or {}).pop("extends", None)
        node = node if inherited is None else merge(inherited, node)
        merged = node if merged is None else merge(merged, node)
    return merged


def _repeated(child: YamlNode, parents: YamlNode, path: str = "") -> list[str]:
    """Names of values in the child that are the parents' already; a list is one value, as it is replaced as one."""
    if child.children is None or parents.children is None:
        return [path] if child.plain() == parents.plain() else []
    return [
        name
        for key, node in child.children.items()
        if key in parents.children
        for name in _repeated(node, parents.children[key], f"{path}.{key}".lstrip("."))
    ]
