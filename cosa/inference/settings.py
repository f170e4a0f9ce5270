"""What a checkpoint is used with: what it was trained with, unless somebody says otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field

from cosa.behaviour import BehaviourName
from cosa.checkpoints.settings import SETTINGS, read_settings
from cosa.data.extraction_settings import ExtractionSettings
from cosa.section import checked
from cosa.tasks.all_tasks import EvaluationSettings


class InferenceSettings(EvaluationSettings):
    """How clips are read, and how captions, answers and rankings are made."""

    extraction: ExtractionSettings = Field(default_factory=ExtractionSettings, description="when frames are taken of a video")
    behaviour: BehaviourName = Field("default", description="ours, or the published one")
    task: str | None = Field(None, description="what the checkpoint was finetuned for")


def settings_of(checkpoint: Path, **changes: Any) -> InferenceSettings:
    """The settings of a checkpoint, with some changed.

    Args:
        checkpoint: ours or a published one.
        changes: fields of `InferenceSettings`; None leaves a field as it is.

    Raises:
        UserError: settings beside the checkpoint, or changes, are wrong.
    """
    saved = read_settings(checkpoint) or {}
    known = {name: value for name, value in saved.items() if name in InferenceSettings.model_fields and value is not None}
    return changed(checked(InferenceSettings, known, f"{checkpoint / SETTINGS}: "), **changes)


def changed(settings: InferenceSettings, **changes: Any) -> InferenceSettings:
    """Settings with some changed; None leaves a field as it is.

    Raises:
        UserError: a value is wrong, or there is no such field.
    """
    given = {name: value for name, value in changes.items() if value is not None}
    return checked(InferenceSettings, {**settings.model_dump(exclude_unset=True), **given}) if given else settings
