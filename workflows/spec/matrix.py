"""Expands `matrix:` in a stage into one stage for every combination of values, named after them."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from workflows.spec.place import Place
from workflows.spec.problems import Problem, SpecError
from workflows.spec.sections import KEY_PATTERN
from workflows.spec.source import MOST_VALUES, YamlNode
from workflows.spec.stage_kinds import STAGE_KINDS

VARIABLE = re.compile(r"\$\{matrix\.([^{}]*)\}")
MOST_STAGES = 256  # of one matrix
MOST_IN_ALL = 1000
MOST_KEYS = 31  # A variant's name has a character and a hyphen for each, and is not longer than 64 characters.
MOST_IN_MATRIX = 5 * MOST_VALUES  # values of all stages of one matrix
LONGEST_VALUE = 64  # Stages are named after values, and a name is not longer.


def expand_matrices(root: YamlNode) -> dict[str, tuple[str, ...]]:
    """Replace every stage that has a matrix by its variants, in place.

    A key of the matrix that is a field of the stage sets it; any key can be used as `${matrix.KEY}` in the stage's texts.

    Returns:
        names of the variants by the name of their stage; options that select stages accept that name for all of them.

    Raises:
        SpecError: it lists everything that is wrong.
    """
    stages = root.children.get("stages") if root.children else None
    if stages is None or stages.children is None:
        return {}
    problems: list[Problem] = []
    groups: dict[str, tuple[str, ...]] = {}
    children: dict[str, YamlNode] = {}
    key_places: dict[str, Place] = {}
    for name, stage in stages.children.items():
        variants = {name: stage}
        if len(children) > MOST_IN_ALL:
            raise SpecError([Problem(f"stages: more than {MOST_IN_ALL} stages", stages.key_places[name])])
        if stage.children is not None and "matrix" in stage.children and not stage.children["matrix"].is_null:
            variants = dict(_variants(name, stage, problems))
            groups[name] = tuple(variants)
        for variant, node in variants.items():
            if variant in children:
                problems.append(Problem(f"stages.{name}.matrix: there are two stages {variant!r}", stage.place))
            children[variant] = node
            key_places[variant] = stages.key_places[name]
    if problems:
        raise SpecError(problems)
    stages.children, stages.key_places = children, key_places
    return groups


def _variants(name: str, stage: YamlNode, problems: list[Problem]) -> Iterator[tuple[str, YamlNode]]:
    assert stage.children is not None
    matrix = stage.children["matrix"]
    values = _values(name, stage, matrix, problems)
    if not values:
        return
    rest = replace(stage, children={key: child for key, child in stage.children.items() if key != "matrix"})
    for combination in itertools.product(*values.values()):
        chosen = dict(zip(values, combination, strict=True))
        variant = "-".join([name, *(_as_name(node.value) for node in chosen.values())])
        if not re.fullmatch(KEY_PATTERN, variant):
            problems.append(
                Problem(f"stages.{name}.matrix: {variant!r} is not a valid stage name (at most 64 letters)", matrix.place)
            )
            return
        yield variant, _variant(rest, chosen)


def _values(name: str, stage: YamlNode, matrix: YamlNode, problems: list[Problem]) -> Mapping[str, list[YamlNode]]:
    """Return the lists of a matrix by key; none if something is wrong with any of them."""
    before = len(problems)
    values: dict[str, list[YamlNode]] = {}
    if not matrix.children:
        problems.append(
            Problem(f"stages.{name}.matrix: expected lists of values, as {{dataset: [msrvtt, msvd]}}", matrix.place)
        )
        return {}
    if len(matrix.children) > MOST_KEYS:  # Each key costs copies of the stage.
        message = f"stages.{name}.matrix: {len(matrix.children)} keys; at most {MOST_KEYS}, because each is part of stage names"
        problems.append(Problem(message, matrix.place))
        return {}
    count = math.prod(len(node.items or ()) for node in matrix.children.values())
    if count > MOST_STAGES or any(len(node.items or ()) > MOST_STAGES for node in matrix.children.values()):
        problems.append(Problem(f"stages.{name}.matrix: {count} stages; at most {MOST_STAGES}", matrix.place))
        return {}
    if count * sum(1 for _ in stage.scalars()) > MOST_IN_MATRIX:
        message = f"stages.{name}.matrix: {count} stages hold more than {MOST_IN_MATRIX} values"
        problems.append(Problem(message, matrix.place))
        return {}
    used = {key for _, scalar in stage.scalars() for key in VARIABLE.findall(str(scalar.value))}
    fields = _fields_of_variants(stage, matrix)
    for key, node in matrix.children.items():
        where = f"stages.{name}.matrix.{key}"
        if not node.items or any(item.children is not None or item.items is not None or item.is_null for item in node.items):
            problems.append(Problem(f"{where}: expected a list of single values", node.place))
        elif any("${" in str(item.value) for item in node.items):
            problems.append(
                Problem(f"{where}: stages are named after these values, so they cannot refer to others", node.place)
            )
        elif any(len(str(item.value)) > LONGEST_VALUE for item in node.items):
            problems.append(Problem(f"{where}: a value is longer than {LONGEST_VALUE} characters", node.place))
        elif len({_as_name(item.value) for item in node.items}) < len(node.items):
            problems.append(Problem(f"{where}: two values give the same stage name", node.place))
        elif key not in fields and key not in used:
            message = f"{where}: is not a field of the stage, and the stage does not use ${{matrix.{key}}}"
            problems.append(Problem(message, matrix.key_places[key]))
        else:
            values[key] = node.items
    problems += [
        Problem(f"stages.{name}: ${{matrix.{key}}} is not in its matrix", stage.place)
        for key in sorted(used - set(matrix.children))
    ]
    return values if len(problems) == before else {}


def fields_of(stage: YamlNode) -> set[str]:
    """Return the fields that a stage can have besides its kind; none if it has no valid kind."""
    kind = (stage.children or {}).get("kind")
    known = STAGE_KINDS.get(str(kind.value)) if kind is not None else None
    return set(known.section_for(stage.plain()).model_fields) - {"kind"} if known is not None else set()


def _fields_of_variants(stage: YamlNode, matrix: YamlNode) -> set[str]:
    """Return the fields of all variants: those of a task, for instance, are fields where the matrix chooses that task."""
    first = {key: node.items[0] for key, node in (matrix.children or {}).items() if node.items}
    fields = fields_of(stage)
    for key in first:
        for item in (matrix.children or {})[key].items or ():
            fields |= fields_of(_variant(stage, {**first, key: item}))
    return fields


def _variant(stage: YamlNode, chosen: Mapping[str, YamlNode]) -> YamlNode:
    node = _filled(stage, chosen)
    assert node.children is not None
    for _ in range(2):  # once more for fields that a chosen value brought along
        fields = fields_of(node)
        for key, value in chosen.items():
            if key in fields:
                node.children[key] = replace(value)
                node.key_places[key] = value.place
    return node


def _filled(node: YamlNode, chosen: Mapping[str, YamlNode]) -> YamlNode:
    """Return a copy with ${matrix.KEY} filled in; a text that consists of one variable becomes its value, of the same type."""
    if node.children is not None:
        children = {key: _filled(child, chosen) for key, child in node.children.items()}
        return replace(node, children=children, key_places=dict(node.key_places))
    if node.items is not None:
        return replace(node, items=[_filled(item, chosen) for item in node.items])
    value: Any = node.value
    if isinstance(value, str):
        only = VARIABLE.fullmatch(value)
        if only and only[1] in chosen:
            value = chosen[only[1]].value
        elif not only:
            value = VARIABLE.sub(lambda match: str(chosen[match[1]].value) if match[1] in chosen else match[0], value)
    return replace(node, value=value)


def _as_name(value: Any) -> str:
    """Write a value as part of a stage's name: 1.0e-05 becomes 1e-05, 0.1 becomes 0_1."""
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return re.sub(r"[^A-Za-z0-9_-]+", "_", text)
