"""`cosa schema` shows every field of a spec with its type, default and meaning, from the sections themselves."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from rich.markup import escape
from rich.padding import Padding

from cosa.encoders.text_config import TextConfig
from cosa.encoders.vision_config import VisionConfig
from cosa.model_config import ModelConfig
from cosa.objectives.all_objectives import OBJECTIVES, PRETRAINING
from workflows.commands.type_words import sections_in, words_of_field
from workflows.spec.fragments import MARK
from workflows.spec.problems import UsageError, did_you_mean
from workflows.spec.sections import (
    ClusterSection,
    DatasetSection,
    DecodingSection,
    ExperimentSection,
    SplitSection,
    TrackingSection,
)
from workflows.spec.stage_kinds import STAGE_KINDS
from workflows.spec.sweep import Draw, SweepSection
from workflows.terminal.console import PlainConsole

BESIDES_FIELDS = {  # What a spec may have at its top besides the fields of its sections.
    "stages": f"mapping of names to stages, with at least one; the fields of each kind: cosa schema {' / '.join(STAGE_KINDS)}",
    "extends": "path, or list of paths, of specs that this one inherits from, relative to the file that names them",
}
DIALECT = "https://json-schema.org/draft/2020-12/schema"
SCHEMA_ID = "urn:cosa-experiments:spec"


def sections() -> dict[str, type[BaseModel]]:
    """Return all sections by name; the parts of a stage follow it."""
    stages: dict[str, type[BaseModel]] = {}
    for name, kind in STAGE_KINDS.items():
        stages |= {name: kind.section, **kind.parts}
    return {
        "experiment": ExperimentSection,
        "model": ModelConfig,
        "model.vision": VisionConfig,
        "model.text": TextConfig,
        "dataset": DatasetSection,
        "dataset.decode": DecodingSection,
        "split": SplitSection,
        **stages,
        "sweep": SweepSection,
        "range": Draw,
        "cluster": ClusterSection,
        "tracking": TrackingSection,
    }


def _field_with_value(value: str, known: Mapping[str, type[BaseModel]]) -> str | None:
    """Return a field that can have a value, of those with a choice of values."""
    for model in known.values():
        schema = model.model_json_schema()
        for name, field in schema.get("properties", {}).items():
            if value in _choices(field):
                return str(name)
    return None


def _choices(schema: Any) -> Iterator[Any]:
    """Yield the values that a part of a JSON schema enumerates, not those of other sections that it refers to."""
    if isinstance(schema, Mapping):
        yield from schema.get("enum", ())
        for part in schema.values():
            yield from _choices(part)
    elif isinstance(schema, list):
        for part in schema:
            yield from _choices(part)


def show_schema(wanted: str | None, *, as_json: bool) -> None:
    """Print one section, a field wherever it is, or all sections.

    Raises:
        UsageError: there is no such section or field.
    """
    known = sections()
    if as_json:
        if wanted is not None and wanted not in known:
            raise UsageError(f"no section {wanted!r}{did_you_mean(wanted, known)}")
        print(json.dumps(json_schema() if wanted is None else known[wanted].model_json_schema(), indent=2))
        return
    console = PlainConsole()
    if wanted is None or wanted in known:
        for name in known if wanted is None else [wanted]:
            _show_section(console, name, known[name])
        return
    if wanted in BESIDES_FIELDS:
        console.print(f"[bold]{wanted}[/]: {escape(BESIDES_FIELDS[wanted])}")
        return
    field = wanted.rpartition(".")[2]
    having = {name: model for name, model in known.items() if field in model.model_fields}
    if not having:
        if of_field := _field_with_value(field, known):
            raise UsageError(f"no section or field {wanted!r}, but a value of {of_field}: cosa schema {of_field}")
        fields = {*BESIDES_FIELDS, *(name for model in known.values() for name in model.model_fields)}
        raise UsageError(f"no section or field {wanted!r}{did_you_mean(field, [*known, *fields])}")
    meanings: dict[tuple[str, str], list[str]] = {}
    for name, model in having.items():
        meanings.setdefault(_field(field, model.model_fields[field]), []).append(name)
    for (head, meaning), names in meanings.items():
        console.print(f"in {', '.join(names)}:")
        _print_field(console, head, meaning)
    inside = {section for model in having.values() for section in sections_in(model.model_fields[field].annotation)}
    for name, model in known.items():
        if model in inside:
            console.print(f"  its own fields: cosa schema {name}")


def _show_section(console: PlainConsole, name: str, model: type[BaseModel]) -> None:
    kind = f"  (stages.NAME with kind: {name})" if name in STAGE_KINDS else ""
    summary, _, more = inspect.cleandoc(model.__doc__ or "").partition("\n\n")
    console.print(f"[bold]{name}[/]{kind}: {escape(_in_one_line(summary))}")
    if more:
        console.print(Padding.indent(escape(_in_one_line(more)), 2))
    own = [field for field in model.__annotations__ if field in model.model_fields]  # Inherited fields follow its own.
    for field in dict.fromkeys([*own, *model.model_fields]):
        _print_field(console, *_field(field, model.model_fields[field]))
    if name == "corpus":
        console.print("  objectives:")
        for objective in PRETRAINING:
            console.print(f"    {objective:<5} {OBJECTIVES[objective].title}")
    console.print()


def json_schema() -> dict[str, Any]:
    """Return the JSON schema of a spec, for editors.

    Fields are not required, because a spec may extend others, and every field takes a reference, `${...}`.
    """
    schema = ExperimentSection.model_json_schema(ref_template="#/$defs/{model}")
    definitions = schema.setdefault("$defs", {})
    kinds = []
    for name, kind in STAGE_KINDS.items():
        model = kind.section
        stage = model.model_json_schema(ref_template="#/$defs/{model}")
        definitions.update(stage.pop("$defs", {}))
        definitions[model.__name__] = stage
        of_kind = {"properties": {"kind": {"const": name}}, "required": ["kind"]}
        kinds.append({"if": of_kind, "then": {"$ref": f"#/$defs/{model.__name__}"}})
    schema["patternProperties"] = {"^x-": {"description": "may hold anchors; means nothing by itself"}}
    for section in (schema, *definitions.values()):
        _loosen(section)
    schema["properties"]["stages"] = {"type": "object", "additionalProperties": {"type": ["object", "null"], "allOf": kinds}}
    schema["properties"]["extends"] = {"type": ["string", "array"], "items": {"type": "string"}}
    inherits: dict[str, Any] = {"anyOf": [{"required": ["extends"]}, {"required": [MARK]}]}
    complete = {"if": {"not": inherits}, "then": {"required": ["name", "stages"]}}
    return {"$schema": DIALECT, "$id": SCHEMA_ID, **schema, **complete}


def _loosen(schema: Any) -> None:
    """Require no field of a section or of one inside of it, and allow a reference for every value."""
    if isinstance(schema, list):
        for one in schema:
            _loosen(one)
    if not isinstance(schema, dict) or "if" in schema:
        return
    schema.pop("required", None)
    for one in list(schema.values()):
        _loosen(one)
    for key in ("properties", "patternProperties"):
        if isinstance(schema.get(key), dict):
            schema[key] = {name: _or_reference(field) for name, field in schema[key].items()}
    if isinstance(schema.get("additionalProperties"), dict):
        schema["additionalProperties"] = _or_reference(schema["additionalProperties"])


def _or_reference(field: dict[str, Any]) -> dict[str, Any]:
    """Allow a reference in place of a field's value, and null, which takes back what an extended spec says."""
    if "const" in field:  # It tells a stage's kind.
        return field
    described: dict[str, Any] = {name: field[name] for name in ("description", "title", "default") if name in field}
    return {**described, "anyOf": [field, {"type": "string", "pattern": r"\$\{"}, {"type": "null"}]}


def _field(name: str, field: FieldInfo) -> tuple[str, str]:
    """Return a field's name, type and default, and what it means, in rich's markup."""
    default = "required" if field.is_required() else _default(field.get_default(call_default_factory=True))
    head = f"[bold]{name}[/]  [dim]{escape(words_of_field(field))}[/]" + (f"  [cyan]{escape(default)}[/]" if default else "")
    return head, escape(field.description or "")


def _print_field(console: PlainConsole, head: str, meaning: str) -> None:
    console.print(Padding.indent(head, 2))
    if meaning:
        console.print(Padding.indent(meaning, 6))


def _in_one_line(text: str) -> str:
    return " ".join(text.split())


def _default(value: Any) -> str:
    if isinstance(value, BaseModel):
        return "(section)"
    return "" if value is None or value == {} else json.dumps(value)
