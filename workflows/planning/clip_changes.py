"""Says which clips differ from those of an earlier result, where that lists its clips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from cosa.data.stored_frames import StoredFrames
from cosa.errors import DataError
from cosa.message_text import some_of
from cosa.regular_files import read_regular
from workflows.planning.step import Step
from workflows.results.layout import UNREADABLE_FILE, clips_list
from workflows.spec.experiment import Experiment
from workflows.spec.read import Digests
from workflows.spec.stage_kinds import kind_of


def clip_changes(step: Step, result: Path, experiment: Experiment, digests: Digests) -> dict[str, str]:
    """Return what became of clips, by the name under which a stage reads them; nothing if the result lists none."""
    listed = clips_list(result)
    if listed is None:
        return {}
    try:
        before = dict(StoredFrames.read(listed).clips.pairs())
        left_out = read_regular(result / UNREADABLE_FILE).decode().splitlines()
    except (DataError, OSError, UnicodeDecodeError):  # It is only compared with; a damaged one says nothing.
        return {}
    reads = kind_of(step.section).reads(step.section, experiment.section.datasets)
    named = {name: clips for read in reads for name, clips in read.contents(experiment.section, digests).items()}
    return {name: text for name, clips in named.items() if (text := _differences(before, clips, left_out))}


def _differences(before: Mapping[str, str], now: Mapping[str, str], left_out: Sequence[str]) -> str:
    """Say which clips are new, changed or gone. left_out: those that were there, but could not be read."""
    unread = set(left_out)
    groups = {
        "new": [clip for clip in now if clip not in before and clip not in unread],
        "changed": [clip for clip, content in now.items() if before.get(clip, content) != content],
        "gone": [clip for clip in before if clip not in now],
    }
    return ", ".join(f"{len(clips)} {what}: {some_of(clips)}" for what, clips in groups.items() if clips)
