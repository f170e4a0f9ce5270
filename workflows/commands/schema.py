"""`cosa schema` shows every field of a spec with its type, default and meaning, from the sections themselves."""

from __future__ import annotations

import json
import re
from typing import Annotated, Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from rich.markup import escape
from rich.table import Table

from cosa.encoders.text_config import TextConfig
from cosa.encoders.vision_config import VisionConfig
from cosa.errors import UserError
from cosa.model_config import ModelConfig
from cosa.objectives.all_objectives import OBJECTIVES, PRETRAINING
from cosa.section import OneOf
from workflows.spec.problems import did_you_mean
from workflows.spec.sections import (
    ClusterSection,
    DatasetSection,
    ExperimentSection,
    SplitSection,
    TrackingSection,
)
from workflows.spec.stage_kinds import STAGE_KINDS
from workflows.spec.sweep import SweepSection
from workflows.terminal.console import PlainConsole


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
        "split": SplitSection,
        **stages,
        "sweep": SweepSection,
        "cluster": ClusterSection,
        "tracking": TrackingSection,
    }


def show_schema(section: str | None, *, as_json: bool) -> None:
    """Print one section, or all of them.

    Raises:
        UserError: there is no such section.
    """
    known = sections()
    if section is not None and section not in known:
        raise UserError(f"no section {section!r}{did_you_mean(section, known)}")
    chosen = known if section is None else {section: known[section]}
    console = PlainConsole()
    if as_json:
        print(json.dumps(json_schema() if section is None else known[section].model_json_schema(), indent=2))
        return
    for name, model in chosen.items():
        kind = f"  (stages.NAME with kind: {name})" if name in STAGE_KINDS else ""
        console.print(f"[bold]{name}[/]{kind}: {escape((model.__doc__ or '').strip().splitlines()[0])}")
        console.print(_fields(model))
        if name == "corpus":
            console.print("  objectives:")
            for objective in PRETRAINING:
                console.print(f"    {objective:<5} {OBJECTIVES[objective].title}")
        console.print()


def json_schema() -> dict[str, Any]:
    """Return the JSON schema of a full spec."""
    schema = ExperimentSection.model_json_schema(ref_template="#/$defs/{model}")
    definitions = schema.setdefault("$defs", {})
    kinds = []
    for name, kind in STAGE_KINDS.items():
        model = kind.section
        stage = model.model_json_schema(ref_template="#/$defs/{model}")
        definitions.update(stage.pop("$defs", {}))
        definitions[model.__name__] = stage
        kinds.append({"if": {"properties": {"kind": {"const": name}}}, "then": {"$ref": f"#/$defs/{model.__name__}"}})
    schema["properties"]["stages"] = {"type": "object", "additionalProperties": {"required": ["kind"], "allOf": kinds}}
    schema["properties"]["extends"] = {"type": ["string", "array"], "items": {"type": "string"}}
    schema["patternProperties"] = {"^x-": {"description": "may hold anchors; means nothing by itself"}}
    schema["required"] = [*schema.get("required", []), "stages"]
    return schema


def _fields(model: type[BaseModel]) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True, min_width=2 + max(map(len, model.model_fields)))
    own = [name for name in model.__annotations__ if name in model.model_fields]  # Inherited fields follow its own.
    for name in dict.fromkeys([*own, *model.model_fields]):
        field = model.model_fields[name]
        default = "required" if field.is_required() else _default(field.get_default(call_default_factory=True))
        table.add_row(
            f"  {name}",
            f"[dim]{escape(_type(field))}[/]",
            f"[cyan]{escape(default)}[/]",
            escape(field.description or ""),
        )
    return table


def _default(value: Any) -> str:
    if isinstance(value, BaseModel):
        return "(section)"
    return "" if value is None or value == {} else json.dumps(value)


def _type(field: FieldInfo) -> str:
    """Write the type in readable form; a text field that names an entry of a table shows the entries, as a Literal would."""
    tables = [entry for entry in field.metadata if isinstance(entry, OneOf)]
    annotation = Annotated[str, tables[0]] if tables else field.annotation
    if isinstance(annotation, type):
        return annotation.__name__
    text = re.sub(r"Annotated\[([a-z]+), .*?\)\](?=\]|,|$| )", r"\1", str(annotation))
    text = re.sub(r"\b[\w.]+\.(?=\w)", "", text)
    text = re.sub(r"Annotated\[str, ('[^]]*')\]", r"[\1]", text)
    return text.replace("Literal", "").replace("NoneType", "None").replace(" | None", "")
