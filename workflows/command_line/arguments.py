"""Declares arguments and options that several commands have."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

Spec = Annotated[Path, typer.Argument(metavar="SPEC", help="A YAML spec, such as experiments/quickstart.yaml.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Override a field, such as stages.retrieval.epochs=2."),
]
Force = Annotated[
    list[str] | None,
    typer.Option("--force", metavar="STAGE", help="Run a stage even if it is done, and all stages that build on it."),
]
First = Annotated[
    list[str] | None,
    typer.Option("--from", metavar="STAGE", help="Only this stage and those that build on it."),
]
Until = Annotated[list[str] | None, typer.Option("--until", metavar="STAGE", help="Only this stage and those it needs.")]
Sweep = Annotated[
    list[str] | None,
    typer.Option("--sweep", metavar="NAME=V1,V2", help="One run for every value; stages that they share run once."),
]
Only = Annotated[list[str] | None, typer.Option("--only", metavar="STAGE", help="Only this stage.")]
ProfileName = Annotated[
    str | None,
    typer.Option("--profile", help="smoke: try the spec in about a minute, on generated data; short for --set profile=..."),
]
StorageFolder = Annotated[Path, typer.Option("--storage", help="Folder of results.")]
OtherStorage = Annotated[str | None, typer.Option("--storage", help="Folder of results; short for --set storage=...")]
Checkpoint = Annotated[
    str | None,
    typer.Option("--checkpoint", help="A folder or file, EXPERIMENT/STAGE, mlflow:RUN or hf:NAME."),
]
ExperimentName = Annotated[
    str | None, typer.Option("--experiment", help="Use the newest checkpoint that this experiment trained for the task.")
]
Frames = Annotated[int | None, typer.Option("--frames", min=1, help="Frames of a video; left out: as in training.")]
Resolution = Annotated[int | None, typer.Option("--resolution", min=1, help="Side of the image, pixels.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def with_storage(overrides: list[str] | None, storage: str | None, profile: str | None = None) -> list[str]:
    """Append to the overrides those that --storage and --profile stand for."""
    fields = {"storage": storage, "profile": profile}
    return [*(overrides or []), *(f"{name}={json.dumps(value)}" for name, value in fields.items() if value is not None)]
