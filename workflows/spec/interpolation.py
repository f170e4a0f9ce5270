"""Fills in references: `${a.b}` is the value of another field, `${env:NAME}` an environment variable."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from workflows.spec.place import FieldPath, Place
from workflows.spec.problems import MOST_PROBLEMS, Problem, SpecError, did_you_mean
from workflows.spec.source import DEEPEST, MOST_VALUES, YamlNode, index_of

REFERENCE = re.compile(r"\$\{([^{}]*)\}")
_UNDECODED = re.compile("[\udc80-\udcff]")  # how Python shows bytes that are no UTF-8
MOST_CHARACTERS = 1_000_000  # of all that references bring: doubling a text twenty times makes a million of one letter


def interpolate(root: YamlNode, environment: Mapping[str, str]) -> None:
    """Fill in all references, in place. A value that consists of one reference can become anything, also a mapping.

    Raises:
        SpecError: with every reference that leads nowhere or to itself, and every variable that is not set; or because the
            spec becomes too large.
    """
    scalars = list(root.scalars())
    filler = _Filler(root, environment, len(scalars) + 2 * MOST_VALUES)
    try:
        for _, scalar in scalars:
            filler.resolve(scalar, ())
    except RecursionError as error:
        raise SpecError([Problem("references are nested too deeply", Place(root.place.file))]) from error
    if filler.problems:
        raise SpecError(filler.problems)


class _Filler:
    def __init__(self, root: YamlNode, environment: Mapping[str, str], most_values: int):
        self.root, self.environment, self.most_values = root, environment, most_values
        self.problems: list[Problem] = []
        self._done: set[int] = set()
        self._values = self._characters = 0  # what references have brought so far

    def resolve(self, node: YamlNode, trail: tuple[str, ...], depth: int = 0) -> Any:
        """Return the plain value of a node, with all references below it filled in.

        trail: names that lead to it. depth: how far it is below the value that is referred to.
        """
        self._count(node, trail, depth)
        if node.children is not None:
            return {key: self.resolve(child, trail, depth + 1) for key, child in node.children.items()}
        if node.items is not None:
            return [self.resolve(item, trail, depth + 1) for item in node.items]
        if isinstance(node.value, str) and "${" in node.value and id(node) not in self._done:
            node.written = node.value
            if "${" in REFERENCE.sub("", node.value):
                self._problem("expected } behind ${ and the name; a reference in another one is not filled in", node)
            only_reference = REFERENCE.fullmatch(node.value)
            if only_reference:
                self._replace(node, only_reference.group(1), trail)
            else:
                node.value = REFERENCE.sub(lambda match: self._text(match.group(1), node, trail), node.value)
            self._done.add(id(node))
            value = node.plain()
        else:
            value = node.value
        if trail:
            self._bring(value, node)
        return value

    def _count(self, node: YamlNode, trail: tuple[str, ...], depth: int) -> None:
        """Stop when a spec of a few hundred bytes would fill the memory."""
        self._values += 1
        if self._values > self.most_values:
            raise SpecError([Problem(f"references bring more than {2 * MOST_VALUES} values", node.place)])
        if len(trail) > DEEPEST or depth > DEEPEST:
            raise SpecError([Problem(f"more than {DEEPEST} references or values are nested here", node.place)])

    def _bring(self, value: Any, node: YamlNode) -> None:
        self._characters += len(value) if isinstance(value, str) else 0
        if self._characters > MOST_CHARACTERS:
            raise SpecError([Problem(f"references bring more than {MOST_CHARACTERS} characters of text", node.place)])

    def _replace(self, node: YamlNode, name: str, trail: tuple[str, ...]) -> None:
        value = self._look_up(name, node, trail)
        if not name.startswith("env:"):
            node.refers_to = _path(self.root, name)
        replacement = _node_of(value, node.place)
        node.children, node.items, node.value = replacement.children, replacement.items, replacement.value
        node.key_places = replacement.key_places

    def _text(self, name: str, node: YamlNode, trail: tuple[str, ...]) -> str:
        value = self._look_up(name, node, trail)
        if value is None or isinstance(value, dict | list):
            what = "empty" if value is None else f"a {'mapping' if isinstance(value, dict) else 'list'}"
            self._problem(f"${{{name}}} is {what}; only a single value can be part of a text", node)
            return ""
        return str(value)

    def _look_up(self, name: str, node: YamlNode, trail: tuple[str, ...]) -> Any:
        if name.startswith("env:"):
            return self._variable(name, node)
        if name in trail:
            self._problem(f"${{{name}}} refers to itself: {' -> '.join((*trail, name))}", node)
            return ""
        path = _path(self.root, name)
        target = self.root.at(path) if path is not None else None
        if target is None:
            self._problem(f"${{{name}}}: the spec has no field {name!r}{_nearest(self.root, name)}", node)
            return ""
        return self.resolve(target, (*trail, name))

    def _variable(self, name: str, node: YamlNode) -> str:
        variable, has_default, default = name[4:].partition(":-")
        if variable in self.environment:
            value = self.environment[variable]
            self._bring(value, node)
            if not value.isascii() and _UNDECODED.search(value):
                self._problem(f"environment variable {variable} is no UTF-8 text", node)
            return value
        if not has_default:
            self._problem(f"environment variable {variable} is not set; set it, or write ${{env:{variable}:-default}}", node)
        return default

    def _problem(self, message: str, node: YamlNode) -> None:
        self.problems.append(Problem(message, node.place))
        if len(self.problems) >= MOST_PROBLEMS:
            raise SpecError(self.problems)


def _path(root: YamlNode, name: str) -> FieldPath | None:
    """Return the path that a dotted name stands for, in which digits index lists; None if there is no such field."""
    path: list[str | int] = []
    node: YamlNode | None = root
    for step in name.split("."):
        index = index_of(step) if node is not None and node.items is not None else None
        path.append(step if index is None else index)
        node = root.at(tuple(path))
        if node is None:
            return None
    return tuple(path)


def _nearest(root: YamlNode, name: str) -> str:
    above, _, last = name.rpartition(".")
    path = _path(root, above) if above else ()
    parent = root.at(path) if path is not None else None
    known = [".".join(filter(None, (above, key))) for key in (parent.children or {})] if parent is not None else []
    return did_you_mean(name, known) if known and last else ""


def _node_of(value: Any, place: Place) -> YamlNode:
    if isinstance(value, dict):
        children = {key: _node_of(item, place) for key, item in value.items()}
        return YamlNode(place, children=children, key_places=dict.fromkeys(value, place))
    if isinstance(value, list):
        return YamlNode(place, items=[_node_of(item, place) for item in value])
    return YamlNode(place, value=value)
