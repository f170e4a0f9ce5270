"""From a YAML file to a checked experiment: extends, --set, interpolation, validation, references. All problems at once."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from workflows.spec.errors import Problem, SpecError, did_you_mean
from workflows.spec.graph import Experiment, Names, connect
from workflows.spec.sections import STAGE_SECTIONS, DatasetSection, ExperimentSection, StageSection
from workflows.spec.source import Node, Place, merge, parse_yaml, read_yaml

_REFERENCE = re.compile(r"\$\{([^{}]*)\}")
Path_ = tuple[str | int, ...]


def load_spec(path: Path, overrides: Sequence[str] = (), environment: Mapping[str, str] | None = None) -> Experiment:
    """Read, merge, interpolate and check a spec.

    Args:
        path: the YAML file.
        overrides: `a.b.c=value` texts, from --set.
        environment: what `${env:NAME}` reads; the process environment when left out.

    Raises:
        SpecError: with everything that is wrong.
    """
    node = _read_with_parents(path, ())
    for override in overrides:
        _apply_override(node, override)
    problems: list[Problem] = []
    _interpolate(node, os.environ if environment is None else environment, problems)
    if problems:
        raise SpecError(problems)
    return _validate(node, path)


# -- extends ----------------------------------------------------------------------------------------------------------


def _read_with_parents(path: Path, below: tuple[Path, ...]) -> Node:
    resolved = path.resolve()
    node = read_yaml(path)
    assert node.children is not None
    extends = node.children.pop("extends", None)
    if extends is None:
        return node
    base: Node | None = None
    for item in extends.items if extends.items is not None else [extends]:
        if not isinstance(item.value, str):
            raise SpecError([Problem("extends: expected a file name or a list of file names", item.place)])
        parent = path.parent / item.value
        if parent.resolve() in (*below, resolved):
            raise SpecError([Problem(f"extends: {item.value} leads back to this file", item.place)])
        if not parent.is_file():
            raise SpecError([Problem(f"extends: no file {parent} (paths are relative to this file)", item.place)])
        read = _read_with_parents(parent, (*below, resolved))
        base = read if base is None else merge(base, read)
    return node if base is None else merge(base, node)


# -- --set ------------------------------------------------------------------------------------------------------------


def _apply_override(root: Node, override: str) -> None:
    place = Place(f"--set {override}")
    name, equals, text = override.partition("=")
    if not equals or not name.strip():
        raise SpecError([Problem("expected NAME=VALUE, such as stages.retrieval.epochs=2", place)])
    value = parse_yaml(text, place.file, mapping=False) if text.strip() else Node(place, value=None)
    _replace_places(value, place)
    node, steps = root, name.strip().split(".")
    for depth, step in enumerate(steps):
        last = depth == len(steps) - 1
        if node.items is not None:
            if not step.isdigit() or int(step) >= len(node.items):
                raise SpecError([Problem(f"{'.'.join(steps[:depth])} is a list of {len(node.items)}; {step!r} is no index in it", place)])
            if last:
                node.items[int(step)] = value
            else:
                node = node.items[int(step)]
            continue
        if node.children is None:
            if node.value is not None:
                raise SpecError([Problem(f"{'.'.join(steps[:depth])} is a single value; it has no field {step!r}", place)])
            node.children = {}
        if last:
            node.children[step] = value
            node.key_places[step] = place
        else:
            if step not in node.children:
                node.children[step] = Node(place, children={})
                node.key_places[step] = place
            node = node.children[step]


def _replace_places(node: Node, place: Place) -> None:
    node.place = place
    node.key_places = {key: place for key in node.key_places}
    for child in (node.children or {}).values():
        _replace_places(child, place)
    for item in node.items or []:
        _replace_places(item, place)


# -- ${...} -----------------------------------------------------------------------------------------------------------


def _interpolate(root: Node, environment: Mapping[str, str], problems: list[Problem]) -> None:
    done: dict[int, bool] = {}

    def resolve(node: Node, trail: tuple[str, ...]) -> Any:
        if node.children is not None:
            return {key: resolve(child, trail) for key, child in node.children.items()}
        if node.items is not None:
            return [resolve(item, trail) for item in node.items]
        if isinstance(node.value, str) and id(node) not in done and "${" in node.value:
            whole = _REFERENCE.fullmatch(node.value)
            if whole:
                node.value = look_up(whole.group(1), node, trail)
                if isinstance(node.value, dict | list):
                    replacement = _node_of(node.value, node.place)
                    node.children, node.items, node.value = replacement.children, replacement.items, None
                    node.key_places = replacement.key_places
                    return replacement.plain()
            else:
                node.value = _REFERENCE.sub(lambda match: str(look_up(match.group(1), node, trail)), node.value)
            done[id(node)] = True
        return node.value

    def look_up(name: str, node: Node, trail: tuple[str, ...]) -> Any:
        if name in trail:
            problems.append(Problem(f"${{{name}}} refers to itself: {' -> '.join((*trail, name))}", node.place))
            return ""
        if name.startswith("env:"):
            variable, has_default, default = name[4:].partition(":-")
            if variable in environment:
                return environment[variable]
            if has_default:
                return default
            problems.append(
                Problem(f"environment variable {variable} is not set; set it, or write ${{env:{variable}:-default}}", node.place)
            )
            return ""
        target: Node | None = root
        for step in name.split("."):
            if target is not None and target.children is not None:
                target = target.children.get(step)
            elif target is not None and target.items is not None and step.isdigit() and int(step) < len(target.items):
                target = target.items[int(step)]
            else:
                target = None
            if target is None:
                problems.append(Problem(f"${{{name}}}: the spec has no field {name!r}", node.place))
                return ""
        return resolve(target, (*trail, name))

    for _, scalar in list(root.scalars()):
        resolve(scalar, ())


def _node_of(value: Any, place: Place) -> Node:
    if isinstance(value, dict):
        return Node(
            place,
            children={key: _node_of(item, place) for key, item in value.items()},
            key_places=dict.fromkeys(value, place),
        )
    if isinstance(value, list):
        return Node(place, items=[_node_of(item, place) for item in value])
    return Node(place, value=value)


# -- validation -------------------------------------------------------------------------------------------------------


def _validate(root: Node, path: Path) -> Experiment:
    problems: list[Problem] = []
    data = root.plain()
    stages_data = data.pop("stages", None)
    section = _section(ExperimentSection, data, root, (), problems, also_known=("stages", "extends"))
    stages: dict[str, StageSection] = {}
    if not isinstance(stages_data, dict) or not stages_data:
        problems.append(Problem("stages: expected at least one stage, as NAME: {kind: ..., ...}", root.find(("stages",))))
        stages_data = {}
    for name, stage_data in stages_data.items():
        stage = _stage(name, stage_data, root, problems)
        if stage is not None:
            stages[name] = stage
    if section is None:  # go on with what is valid, to report everything at once
        valid = {n: d for n, d in (data.get("datasets") or {}).items() if _is_valid(DatasetSection, d)}
        section = ExperimentSection(name="invalid", datasets=valid)
    all_datasets = data.get("datasets")
    names = Names(set(stages_data), set(all_datasets) if isinstance(all_datasets, dict) else set())
    experiment = connect(section, stages, names, root, path, problems)
    if problems:
        raise SpecError(sorted(problems, key=lambda p: (p.place.file, p.place.line) if p.place else ("", 0)))
    return experiment


def _is_valid(model: type[BaseModel], data: Any) -> bool:
    try:
        model.model_validate(data)
    except ValidationError:
        return False
    return True


def _stage(name: str, data: Any, root: Node, problems: list[Problem]) -> StageSection | None:
    where: Path_ = ("stages", name)
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", name):
        problems.append(
            Problem(f"stage name {name!r}: use letters, digits, '-' and '_' (at most 64)", root.find(where, of_key=True))
        )
        return None
    if not isinstance(data, dict):
        problems.append(Problem(f"stage {name!r}: expected fields such as kind: train", root.find(where, of_key=True)))
        return None
    kind = data.get("kind")
    if kind not in STAGE_SECTIONS:
        message = (
            f"stage {name!r} has no kind; expected one of {', '.join(STAGE_SECTIONS)}"
            if kind is None
            else f"stage {name!r}: unknown kind {kind!r}{did_you_mean(str(kind), STAGE_SECTIONS)}"
        )
        problems.append(Problem(message, root.find((*where, "kind"), of_key=kind is None)))
        return None
    return _section(STAGE_SECTIONS[kind], data, root, where, problems)


def _section(
    model: type[BaseModel],
    data: Any,
    root: Node,
    where: Path_,
    problems: list[Problem],
    also_known: Iterable[str] = (),
) -> Any:
    try:
        return model.model_validate(data)
    except ValidationError as error:
        errors = error.errors()
        for item in errors:
            # A list whose items are all invalid also counts as too short: the items say enough.
            deeper = any(len(e["loc"]) > len(item["loc"]) and e["loc"][: len(item["loc"])] == item["loc"] for e in errors)
            if not (item["type"] == "too_short" and deeper):
                problems.append(_problem(model, item, root, where, also_known))
        return None


def _problem(model: type[BaseModel], error: Any, root: Node, where: Path_, also_known: Iterable[str]) -> Problem:
    kind, message, value = error["type"], error["msg"], error.get("input")
    inside = _real_path(root, where, error["loc"])
    path = (*where, *inside)
    field = ".".join(str(step) for step in path) or "spec"
    if kind == "extra_forbidden":
        known = [*_model_at(model, inside[:-1]).model_fields, *(also_known if len(inside) == 1 else ())]
        return Problem(f"{field}: unknown field{did_you_mean(str(inside[-1]), known)}", root.find(path, of_key=True))
    if kind == "missing":
        described = _model_at(model, inside[:-1]).model_fields.get(str(inside[-1]))
        what = f" ({described.description})" if described is not None and described.description else ""
        return Problem(f"{field}: this field is missing{what}", root.find(path[:-1], of_key=True))
    if kind == "literal_error":
        choices = re.findall(r"'([^']*)'", message)
        return Problem(f"{field}: {value!r} is not possible{did_you_mean(str(value), choices)}", root.find(path))
    if kind == "value_error":
        text = str(error["ctx"]["error"]) if "ctx" in error else message
        first, _, rest = text.partition(": ")
        steps = tuple(int(step) if step.isdigit() else step for step in first.split("."))
        if rest and isinstance(steps[0], str) and steps[0] in model.model_fields:  # the message itself names a field
            return Problem(f"{field}.{text}", root.find((*path, *steps)))
        return Problem(f"{field}: {text}", root.find(path))
    shown = repr(value) if not isinstance(value, dict | list) else f"a {'mapping' if isinstance(value, dict) else 'list'}"
    return Problem(f"{field}: {message[0].lower()}{message[1:]}, got {shown}", root.find(path))


def _real_path(root: Node, where: Path_, location: tuple[str | int, ...]) -> Path_:
    """pydantic's location without the steps that name alternatives of a union instead of fields."""
    node: Any = root.plain()
    for step in where:
        node = node[step]
    path: list[str | int] = []
    for index, step in enumerate(location):
        if isinstance(node, dict):
            last = index == len(location) - 1
            if step in node or last or not path:
                path.append(step)
                node = node.get(step)
        elif isinstance(node, list) and isinstance(step, int) and step < len(node):
            path.append(step)
            node = node[step]
    return tuple(path)


def _model_at(model: type[BaseModel], path: Path_) -> type[BaseModel]:
    """The pydantic model that describes what stands at a path."""
    current: Any = model
    for step in path:
        if isinstance(current, type) and issubclass(current, BaseModel):
            field = current.model_fields.get(str(step))
            current = field.annotation if field is not None else None
        elif get_origin(current) in (dict, tuple, list):
            arguments = get_args(current)
            current = arguments[1] if get_origin(current) is dict else arguments[0]
        current = _unwrap(current)
    return current if isinstance(current, type) and issubclass(current, BaseModel) else model


def _unwrap(annotation: Any) -> Any:
    """The model among the alternatives of an optional or union type."""
    if get_origin(annotation) in (Union, UnionType):
        alternatives = [argument for argument in get_args(annotation) if argument is not type(None)]
        models = [a for a in alternatives if isinstance(a, type) and issubclass(a, BaseModel)]
        return models[0] if models else alternatives[0]
    return annotation

