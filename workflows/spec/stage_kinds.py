"""All kinds of stages in one table. To add one: a section in workflows/spec/sections.py, a file beside this, a line here."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from workflows.stages.context import StageFunction

# kind -> 'module:function', imported only when a stage of that kind runs: a plan must not load torch.
STAGE_FUNCTIONS = {
    "prepare": "workflows.stages.prepare:prepare",
    "extract": "workflows.stages.extract:extract",
    "pretrain": "workflows.training.train:train",
    "finetune": "workflows.training.train:train",
    "evaluate": "workflows.stages.evaluate:evaluate",
}


def stage_function(kind: str) -> StageFunction:
    """The function that runs a kind of stage."""
    module, name = STAGE_FUNCTIONS[kind].split(":")
    return cast("StageFunction", getattr(import_module(module), name))
