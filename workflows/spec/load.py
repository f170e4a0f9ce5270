"""Turns a YAML file into a checked experiment, and reports all problems at once."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from cosa.errors import UserError
from cosa.extensions import Extension, add_extension, load_extensions
from workflows.spec.connections import Names
from workflows.spec.experiment import Experiment
from workflows.spec.fragments import MARK, is_fragment
from workflows.spec.graph import connect
from workflows.spec.inheritance import read_spec
from workflows.spec.interpolation import interpolate
from workflows.spec.matrix import expand_matrices, fields_of
from workflows.spec.overrides import apply_overrides
from workflows.spec.paths import path_problem
from workflows.spec.place import FieldPath, Place
from workflows.spec.problems import LONGEST_WORD, MOST_PROBLEMS, Problem, SpecError, did_you_mean, shortened
from workflows.spec.profiles import apply_profile
from workflows.spec.sections import KEY_PATTERN, DatasetSection, ExperimentSection, StageSection
from workflows.spec.source import YamlNode, index_of
from workflows.spec.stage_kinds import STAGE_KINDS

OWN_TYPES = ("value_error", "missing", "extra_forbidden")  # These errors get messages of ours.
PLAIN_WORDS = {  # pydantic's messages speak of Python's types.
    "a mapping of fields": r"a valid dictionary( or instance of \w+)?",
    "a list": r"a valid tuple",
    "the list": r"^Tuple",
    "": r" after validation",
}
QUOTED = re.compile(r"'([^']*)'")  # pydantic quotes the choices of a literal.
MOST_SUGGESTED = 5  # fields of stages, for one that is written at the top
NAME_RULE = "use letters, digits, '-' and '_', a letter or digit first, at most 64 (--set could not name a dot)"


def load_spec(
    path: Path,
    overrides: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    *,
    swept: Sequence[str] = (),
) -> Experiment:
    """Read, merge, interpolate and check a spec.

    Args:
        path: the YAML file.
        overrides: `a.b.c=value` texts, from --set.
        environment: the variables that `${env:NAME}` reads; by default those of the process.
        swept: further overrides, of a variant that --sweep stands for.

    Raises:
        SpecError: it lists everything that is wrong.
    """
    if is_fragment(path):
        raise SpecError([Problem(f"{path} is a fragment ({MARK}: true), which specs extend; give one of these", None)])
    node = read_spec(path)
    apply_overrides(node, overrides, swept)
    extensions = _load_extensions(node)
    groups = expand_matrices(node)
    interpolate(node, os.environ if environment is None else environment)
    apply_profile(node)
    return replace(_validate(node, path), groups=groups, extensions=extensions)


def _load_extensions(root: YamlNode) -> tuple[Extension, ...]:
    """Load the files that `extensions` names, and no others, before anything that they register is looked up.

    Raises:
        SpecError: a file does not exist, or fails.
    """
    listed = root.at(("extensions",))
    found: list[Extension] = []
    load_extensions(())
    for item in (listed.items or []) if listed is not None else []:
        if not isinstance(item.value, str) or "${" in item.value:
            raise SpecError([Problem("extensions: expected names of Python files, without ${...}", item.place)])
        problem = path_problem(item.value)
        if problem is not None:
            raise SpecError([Problem(f"extensions: {problem}", item.place)])
        written_in = Path(item.place.file).parent if item.place.line else Path.cwd()  # --set has no line.
        file = (written_in / Path(item.value).expanduser()).absolute()
        try:
            extension = Extension.read(file)
            add_extension(extension)
        except UserError as error:
            raise SpecError([Problem(str(error), item.place)]) from error
        found.append(extension)
    return tuple(found)


# -- validation -------------------------------------------------------------------------------------------------------


def _validate(root: YamlNode, path: Path) -> Experiment:
    problems: list[Problem] = []
    data = root.plain()
    stages_data = data.pop("stages", None)
    all_datasets = data.get("datasets") if isinstance(data.get("datasets"), dict) else {}
    section = _section(ExperimentSection, data, root, (), problems=problems, also_known=("stages", "extends"))
    stages: dict[str, StageSection] = {}
    if not isinstance(stages_data, dict) or not stages_data:
        problems.append(Problem("stages: expected at least one stage, as NAME: {kind: ..., ...}", root.find(("stages",))))
        stages_data = {}
    for name, stage_data in stages_data.items():
        stage = _stage(name, stage_data, root, problems)
        if stage is not None:
            stages[name] = stage
        if len(problems) >= MOST_PROBLEMS:
            raise SpecError(problems)
    if section is None:  # The valid parts are still checked, to report everything at once.
        valid = {n: d for n, d in all_datasets.items() if re.fullmatch(KEY_PATTERN, n) and _is_valid(DatasetSection, d)}
        section = ExperimentSection(name="invalid", datasets=valid)
    names = Names(set(stages_data), set(all_datasets))
    experiment = connect(section, stages, names, root, file=path, problems=problems)
    if problems:
        raise SpecError(problems)
    return experiment


def _is_valid(model: type[BaseModel], data: Any) -> bool:
    try:
        model.model_validate(data)
    except ValidationError:
        return False
    return True


def _stage(name: str, data: Any, root: YamlNode, problems: list[Problem]) -> StageSection | None:
    where: FieldPath = ("stages", name)
    if not re.fullmatch(KEY_PATTERN, name):
        problems.append(Problem(f"stage name {name!r}: {NAME_RULE}", root.find(where, of_key=True)))
        return None
    if not isinstance(data, dict):
        problems.append(Problem(f"stage {name!r}: expected fields such as kind: finetune", root.find(where, of_key=True)))
        return None
    kind = data.get("kind")
    if not isinstance(kind, str) or kind not in STAGE_KINDS:
        message = (
            f"stage {name!r} has no kind; expected one of {', '.join(STAGE_KINDS)}{_near_stage(name, root)}"
            if kind is None
            else f"stage {name!r}: unknown kind {kind!r}{did_you_mean(str(kind), STAGE_KINDS)}"
        )
        problems.append(Problem(message, root.find((*where, "kind"), of_key=kind is None)))
        return None
    return _section(STAGE_KINDS[kind].section_for(data), data, root, where, problems=problems)


def _near_stage(name: str, root: YamlNode) -> str:
    """Suggest a stage of a similar name, because a stage without a kind is often the misspelt name of an inherited one."""
    stages = root.at(("stages",))
    others = [n for n, stage in ((stages.children or {}) if stages else {}).items() if "kind" in (stage.children or {})]
    close = difflib.get_close_matches(name, others, n=1)
    return f" (or did you mean stage {close[0]!r}?)" if close else ""


def _section(
    model: type[BaseModel],
    data: Any,
    root: YamlNode,
    where: FieldPath,
    *,
    problems: list[Problem],
    also_known: Iterable[str] = (),
) -> Any:
    try:
        return model.model_validate(data)
    except ValidationError as error:
        groups: dict[tuple[Any, ...], list[Any]] = {}
        inputs = root.plain()
        for item in error.errors()[: 2 * MOST_PROBLEMS]:  # A union reports several for one value.
            groups.setdefault((_real_path(inputs, where, item["loc"]), item["type"] in OWN_TYPES), []).append(item)
        for (path, is_own), items in groups.items():
            # A list with invalid items is also reported as too short, or as not being a number: its items say enough.
            deeper = any(len(other) > len(path) and other[: len(path)] == path for other, _ in groups)
            if is_own or not deeper:
                problems.append(_problem(model, {**_united(items), "path": path}, root, where, also_known))
        return None


def _united(errors: list[Any]) -> Any:
    """Unite errors of a value that fits none of several types into one: 'an integer or 'auto''."""
    first, prefix = errors[0], "Input should be "
    wanted = [error["msg"].removeprefix(prefix).partition(",")[0] for error in errors]
    if len(errors) == 1 or not all(error["msg"].startswith(prefix) for error in errors):
        return first
    return {**first, "type": "union", "msg": prefix + " or ".join(dict.fromkeys(wanted))}


def _problem(model: type[BaseModel], error: Any, root: YamlNode, where: FieldPath, also_known: Iterable[str]) -> Problem:
    """Put one of pydantic's errors into our words, with its place."""
    kind, value = error["type"], error.get("input")
    if error["loc"][-1:] == ("[key]",):
        path = (*where, *error["loc"][:-1])
        return Problem(f"{'.'.join(map(str, path[:-1]))}: name {value!r}: {NAME_RULE}", root.find(path, of_key=True))
    inside = error["path"]
    path = (*where, *inside)
    field = ".".join(str(step) for step in path) or "spec"
    if kind == "extra_forbidden":
        known = [*_model_at(model, inside[:-1]).model_fields, *(also_known if len(inside) == 1 else ())]
        meant = (_meant_in_stages(str(path[0]), root) if len(path) == 1 else "") or did_you_mean(str(inside[-1]), known)
        return Problem(f"{field}: unknown field{meant}", root.find(path, of_key=True))
    if kind == "missing":
        described = _model_at(model, inside[:-1]).model_fields.get(str(inside[-1]))
        what = f" ({described.description})" if described is not None and described.description else ""
        return Problem(f"{field}: this field is missing{what}", root.find(path[:-1], of_key=True))
    if kind == "value_error":
        return _own_problem(_model_at(model, inside), error, root, path)
    return Problem(f"{field}: {_wrong_value(kind, error['msg'], value)}", root.find(path))


def _meant_in_stages(field: str, root: YamlNode) -> str:
    """Suggest fields of stages for one at the top of a spec: `epochs` stands for stages.NAME.epochs, and a stage's name for
    what is written below it. Empty if no stage has the field."""
    stages, written = root.at(("stages",)), root.at((field,))
    meant: list[str] = []
    for name, stage in ((stages.children or {}) if stages is not None else {}).items():
        if name == field:
            meant += [f"stages.{name}.{inside}" for inside in (written.children or {} if written is not None else {})]
        elif field in fields_of(stage):
            meant.append(f"stages.{name}.{field}")
    return f"; did you mean {' or '.join(meant[:MOST_SUGGESTED])}?" if meant else ""


def _own_problem(model: type[BaseModel], error: Any, root: YamlNode, path: FieldPath) -> Problem:
    """Find the place of an error that one of our validators raised; its message may begin with the field that it is about."""
    text = str(error["ctx"]["error"]) if "ctx" in error else error["msg"]
    field = ".".join(str(step) for step in path)
    first, _, rest = text.partition(": ")
    steps = tuple(step if (index := index_of(step)) is None else index for step in first.split("."))
    if rest and isinstance(steps[0], str) and steps[0] in model.model_fields:
        return Problem(f"{field}.{text}".lstrip("."), root.find((*path, *steps)))
    return Problem(f"{field}: {text}", _place_of_quoted(text, root, path))


def _place_of_quoted(text: str, root: YamlNode, path: FieldPath) -> Place:
    """Return the place of the value that a message about a mapping quotes: --set may have given it, not the mapping's line."""
    node = root.at(path)
    for value in (node.children or {}).values() if node is not None else ():
        if isinstance(value.value, str) and value.value in QUOTED.findall(text):
            return value.place
    return root.find(path)


def _wrong_value(kind: str, message: str, value: Any) -> str:
    if kind == "literal_error":
        return f"{value!r} is not a valid value{did_you_mean(str(value), QUOTED.findall(message))}"
    if kind == "string_pattern_mismatch":
        return f"{value!r} is not a valid name; use letters, digits, '.', '-' and '_', a letter or digit first, at most 64"
    for ours, theirs in PLAIN_WORDS.items():
        message = re.sub(theirs, ours, message)
    shown = shortened(repr(value), LONGEST_WORD)
    if isinstance(value, dict | list):
        shown = f"a {'mapping' if isinstance(value, dict) else 'list'}"
    return f"{message[0].lower()}{message[1:]}, got {shown}"


def _real_path(node: Any, where: FieldPath, location: FieldPath) -> FieldPath:
    """Return pydantic's location in a plain spec without the steps that name alternatives of a union instead of fields."""
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


def _model_at(model: type[BaseModel], path: FieldPath) -> type[BaseModel]:
    """Return the pydantic model that describes the value at a path."""
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
    """Return the model among the alternatives of an optional or union type, or the first alternative."""
    if get_origin(annotation) in (Union, UnionType):
        alternatives = [argument for argument in get_args(annotation) if argument is not type(None)]
        models = [a for a in alternatives if isinstance(a, type) and issubclass(a, BaseModel)]
        return models[0] if models else alternatives[0]
    return annotation
