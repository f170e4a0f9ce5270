"""What all settings are made of: pydantic models, which specs are checked with. No torch here."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

Probability = Annotated[float, Field(ge=0.0, lt=1.0)]


class Section(BaseModel):
    """Base of every configuration model: unknown keys are errors, values never change after validation."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def no_effect(*default: Any, **keywords: Any) -> Any:
    """A field that does not change what a stage computes: it stays out of fingerprints."""
    return Field(*default, json_schema_extra={"affects_result": False}, **keywords)
