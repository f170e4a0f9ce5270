"""Checks the options of a dataset converter."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from cosa.datasets.converter import Converter
from workflows.spec.place import FieldPath
from workflows.spec.problems import did_you_mean


def option_problems(converter: Converter, options: Mapping[str, Any]) -> Iterator[tuple[FieldPath, str]]:
    """Yield what is wrong with options: the path of the field below them, and a message."""
    try:
        converter.options.model_validate(options)
    except ValidationError as error:
        for item in error.errors():
            message = item["msg"]
            if item["type"] == "extra_forbidden":
                message = f"unknown option{did_you_mean('.'.join(map(str, item['loc'])), converter.options.model_fields)}"
            yield item["loc"], message
