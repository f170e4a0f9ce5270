"""Applies `--set a.b.c=value`, which overrides fields of a spec on the command line."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

from workflows.spec.place import FieldPath, Place
from workflows.spec.problems import Problem, SpecError, did_you_mean
from workflows.spec.source import DEEPEST, YamlNode, index_of, split_mapping
from workflows.spec.yaml_text import parse_yaml

ON_COMMAND_LINE = "--"  # how places that are no files begin
# A new entry must have this field; without it, its name is more likely the misspelt name of an entry that exists.
_ESSENTIAL = {"stages": ("stage", "kind"), "datasets": ("dataset", "media")}


def apply_overrides(root: YamlNode, overrides: Sequence[str], swept: Sequence[str] = ()) -> None:
    """Apply overrides to a spec, one after the other, at last those of --sweep. `a.b=` sets null, and removes a mapping.

    Raises:
        SpecError: it lists all overrides that name something impossible.
    """
    before = {section: set(_entries(root, section)) for section in (*_ESSENTIAL, "paths")}
    problems: list[Problem] = []
    named: list[tuple[list[str], Place]] = []
    given = [*(("--set", override) for override in overrides), *(("--sweep", override) for override in swept)]
    for option, override in given:
        place = Place(f"{option} {override}")
        try:
            named.append((_apply(root, override, place), place))
        except SpecError as error:
            problems += error.problems
    names = Counter(tuple(steps[:2]) for steps, _ in named)
    for steps, place in named:
        if len(steps) > 1 and steps[0] in before and steps[1] not in before[steps[0]]:
            what = _misspelt(root, steps, only_one=names[tuple(steps[:2])] == 1)
            if what is not None:
                known = before[steps[0]]
                problems.append(Problem(f"no {what} {steps[1]!r}{did_you_mean(steps[1], known)}", place))
    if problems:
        raise SpecError(problems)


def put(root: YamlNode, path: FieldPath, value: Any, place: Place) -> None:
    """Give a field a plain value. None removes a mapping. place: where messages say that it is from.

    Raises:
        SpecError: there can be no such field.
    """
    node = parse_yaml(json.dumps(value), place.file, mapping=False) if value is not None else YamlNode(place, value=None)
    _put_at(root, [str(step) for step in path], node, place)


def _entries(root: YamlNode, section: str) -> dict[str, YamlNode]:
    node = root.at((section,))
    return (node.children or {}) if node is not None else {}


def _misspelt(root: YamlNode, steps: list[str], *, only_one: bool) -> str | None:
    """Say what an override's second name should be the name of; None if it may well be that of a new entry."""
    section, name, *inside = steps
    if section == "paths":
        used = f"${{paths.{name}}}"
        return None if any(used in str(scalar.value) for _, scalar in root.scalars()) else "path"
    what, essential = _ESSENTIAL[section]
    entry = _entries(root, section).get(name)
    if entry is None or (not inside and not entry.is_null):
        return None  # The override gives the complete entry.
    return what if only_one or essential not in (entry.children or {}) else None


def _apply(root: YamlNode, override: str, place: Place) -> list[str]:
    """Apply one override, and return the steps of its name."""
    name, equals, text = override.partition("=")
    steps = name.strip().split(".")
    if not equals or not all(steps):
        raise SpecError([Problem("expected NAME=VALUE, such as stages.retrieval.epochs=2", place)])
    if len(steps) > DEEPEST:
        raise SpecError([Problem(f"more than {DEEPEST} names inside each other", place)])
    if steps[0] == "extends":
        raise SpecError([Problem("extends is read before any --set; write it in a spec file and run that", place)])
    try:
        value = parse_yaml(text, place.file, mapping=False) if text.strip() else YamlNode(place, value=None)
    except SpecError as error:
        raise SpecError([Problem(problem.message, place) for problem in error.problems]) from error
    _put_at(root, steps, value, place)
    return steps


def _put_at(root: YamlNode, steps: list[str], value: YamlNode, place: Place) -> None:
    _replace_places(value, place)
    node = root
    for depth, step in enumerate(steps[:-1]):
        node = _descend(node, step, steps[:depth], place)
    _put(node, steps, value, place)


def _descend(node: YamlNode, step: str, path: list[str], place: Place) -> YamlNode:
    if node.items is not None:
        return node.items[_index(node.items, step, path, place)]
    children = _children(node, step, path, place)
    if step not in children:
        children[step] = YamlNode(place, children={})
        node.key_places[step] = place
    children[step] = split_mapping(children[step], (*path, step))
    return children[step]


def _put(node: YamlNode, steps: list[str], value: YamlNode, place: Place) -> None:
    *path, step = steps
    if node.items is not None:
        node.items[_index(node.items, step, path, place)] = value
        return
    children = _children(node, step, path, place)
    inherited = children.get(step)
    if value.is_null and inherited is not None and split_mapping(inherited, tuple(steps)).children is not None:
        del children[step]
        node.key_places.pop(step, None)
    else:
        children[step] = value
        node.key_places[step] = place


def _children(node: YamlNode, step: str, path: list[str], place: Place) -> dict[str, YamlNode]:
    if node.children is None:
        if node.value is not None:
            raise SpecError([Problem(f"{'.'.join(path)} is a single value; it has no field {step!r}", place)])
        node.children = {}
    return node.children


def _index(items: list[YamlNode], step: str, path: list[str], place: Place) -> int:
    index = index_of(step)
    if index is None or index >= len(items):
        raise SpecError([Problem(f"{'.'.join(path)} is a list of {len(items)}; {step!r} is not an index in it", place)])
    return index


def _replace_places(node: YamlNode, place: Place) -> None:
    node.place = place
    node.key_places = dict.fromkeys(node.key_places, place)
    for child in (node.children or {}).values():
        _replace_places(child, place)
    for item in node.items or []:
        _replace_places(item, place)
