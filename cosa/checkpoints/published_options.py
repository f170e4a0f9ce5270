"""The options that the published code saves beside its weights (log/hps.json): what of them an import can use."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cosa.checkpoints.locate import PublishedFiles
from cosa.checkpoints.published_names import published_files
from cosa.errors import UserError
from cosa.model_config import ModelConfig


@dataclass(frozen=True)
class PublishedOptions:
    """values: all options, empty without a file. file: where they stand."""

    values: Mapping[str, Any]
    file: Path | None

    @classmethod
    def read(cls, files: PublishedFiles) -> "PublishedOptions":
        """The options that belong to a file of weights.

        Raises:
            UserError: the options are no JSON mapping.
        """
        if files.options is None:
            return cls({}, None)
        try:
            values = json.loads(files.options.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise UserError(f"{files.options} cannot be read as JSON ({error}); mend it, or move it away") from error
        if not isinstance(values, dict):
            raise UserError(f"{files.options}: expected a mapping of options, found {type(values).__name__}")
        return cls(values, files.options)

    def number(self, name: str) -> int | None:
        """A positive integer, None if it is not given."""
        value = self.values.get(name)
        if value is not None and (not isinstance(value, int) or value < 1):
            raise UserError(f"{self.file}: {name} is {value!r}; expected a number above 0")
        return value

    def check_encoder(self, config: ModelConfig) -> None:
        """The options must name the kind of image encoder that the file holds, if they name one."""
        named = self.values.get("video_encoder_type")
        family = config.vision.family
        if named is not None and published_files(family).option not in str(named).lower():
            raise UserError(
                f"{self.file} says video_encoder_type {named!r}, but the weights are of a {family.title} encoder; "
                "give the options that belong to them"
            )
