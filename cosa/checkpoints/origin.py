"""Where a checkpoint comes from, as settings.json beside its weights says it. No torch here."""

from pydantic import BaseModel, ConfigDict, Field


class Origin(BaseModel):
    """What is known of a checkpoint's training. Newer versions may say more, and other programs less.

    tasks: that it was finetuned for, the first one first. starts_from: a stage or path. trained_on, selected_on: DATASET/SPLIT.
    amounts: of data, in words. steps: of training, in this stage. git, versions: of the code, by name.
    """

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)

    experiment: str = ""
    stage: str = ""
    fingerprint: str = ""
    started: str = ""
    tasks: list[str] = Field(default_factory=list)
    starts_from: str | None = None
    trained_on: list[str] = Field(default_factory=list)
    selected_on: str | None = None
    amounts: dict[str, str] = Field(default_factory=dict)
    metrics: dict[str, float] = Field(default_factory=dict)
    steps: int | None = None
    seed: int | None = None
    license: str | None = None
    command: str = ""
    git: dict[str, str] = Field(default_factory=dict)
    versions: dict[str, str] = Field(default_factory=dict)
