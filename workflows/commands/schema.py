"""What `cosa schema` shows: every field of a spec with its type, default and meaning, from the sections themselves."""

from __future__ import annotations

import json
import re
from typing import Any

from pydantic import BaseModel
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cosa.encoders.text_config import TextConfig
from cosa.encoders.vision_config import VisionConfig
from cosa.errors import UserError
from cosa.model_config import ModelConfig
from cosa.objectives.all_objectives import OBJECTIVES, PRETRAINING_OBJECTIVES
from workflows.spec.errors import did_you_mean
from workflows.spec.sections import (
    STAGE_SECTIONS,
    ClusterSection,
    CorpusSection,
    DatasetSection,
    ExperimentSection,
    SplitSection,
    SweepSection,
    TrackingSection,
)

SECTIONS: dict[str, type[BaseModel]] = {
    "experiment": ExperimentSection,
    "model": ModelConfig,
    "model.vision": VisionConfig,
    "model.text": TextConfig,
    "dataset": DatasetSection,
    "split": SplitSection,
    **STAGE_SECTIONS,
    "corpus": CorpusSection,
    "sweep": SweepSection,
    "cluster": ClusterSection,
    "tracking": TrackingSection,
}


def show_schema(section: str | None, *, as_json: bool) -> None:
    """Print one section or all.

    Raises:
        UserError: there is no such section.
    """
    if section is not None and section not in SECTIONS:
        raise UserError(f"no section {section!r}{did_you_mean(section, SECTIONS)}")
    chosen = SECTIONS if section is None else {section: SECTIONS[section]}
    console = Console(highlight=False)
    if as_json:
        print(json.dumps(json_schema() if section is None else SECTIONS[section].model_json_schema(), indent=2))
        return
    for name, model in chosen.items():
        kind = f"  (stages.NAME with kind: {name})" if name in STAGE_SECTIONS else ""
        console.print(f"[bold]{name}[/]{kind}: {escape((model.__doc__ or '').strip().splitlines()[0])}")
        console.print(_fields(model))
        if name == "corpus":
            console.print("  objectives:")
            for objective in PRETRAINING_OBJECTIVES:
                console.print(f"    {objective:<5} {OBJECTIVES[objective].title}")
        console.print()


def json_schema() -> dict[str, Any]:
    """The JSON schema of a whole spec."""
    schema = ExperimentSection.model_json_schema(ref_template="#/$defs/{model}")
    definitions = schema.setdefault("$defs", {})
    kinds = []
    for kind, model in STAGE_SECTIONS.items():
        stage = model.model_json_schema(ref_template="#/$defs/{model}")
        definitions.update(stage.pop("$defs", {}))
        definitions[model.__name__] = stage
        kinds.append({"if": {"properties": {"kind": {"const": kind}}}, "then": {"$ref": f"#/$defs/{model.__name__}"}})
    schema["properties"]["stages"] = {"type": "object", "additionalProperties": {"required": ["kind"], "allOf": kinds}}
    schema["properties"]["extends"] = {"type": ["string", "array"], "items": {"type": "string"}}
    schema["required"] = [*schema.get("required", []), "stages"]
    return schema


def _fields(model: type[BaseModel]) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    for name, field in model.model_fields.items():
        default = "required" if field.is_required() else _default(field.get_default(call_default_factory=True))
        table.add_row(
            f"  {name}",
            f"[dim]{escape(_type(field.annotation))}[/]",
            f"[cyan]{escape(default)}[/]",
            escape(field.description or ""),
        )
    return table


def _default(value: Any) -> str:
    if isinstance(value, BaseModel):
        return "(section)"
    return "" if value is None or value == {} else json.dumps(value)


def _type(annotation: Any) -> str:
    if isinstance(annotation, type):
        return annotation.__name__
    text = re.sub(r"Annotated\[([a-z]+), .*?\)\](?=\]|,|$| )", r"\1", str(annotation))
    text = re.sub(r"\b[\w.]+\.(?=\w)", "", text)
    return text.replace("Literal", "").replace("NoneType", "None").replace(" | None", "")
