"""What MLflow still has to get of a result, and of invocations that were killed. Files say so until it has arrived.

A process may be killed at any moment: between the publication of a result and the upload of its checkpoint, too. The next
invocation then finds the file and does the rest.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from workflows.records.outcome import StageOutcome
from workflows.records.process_mark import ProcessMark
from workflows.results.atomic import write_atomically
from workflows.results.layout import UNRECORDED_FILE

UNKNOWN_TRIAL = "unknown"  # It stands for the id of a trial's run that the server had not given yet.
OPEN_FOLDER = ".open"  # Each invocation that has not ended in MLflow has a file here.


@dataclass(frozen=True)
class Unrecorded:
    """Files of a result that go to MLflow; paths are relative to its folder.

    others: folders of further checkpoints, each with MLflow's id of the trial whose they are, UNKNOWN_TRIAL as long as the
    server has given none, or None for the stage's own.
    """

    artifacts: tuple[str, ...]
    checkpoint: str | None
    others: tuple[tuple[str, str | None], ...]

    @classmethod
    def of(cls, outcome: StageOutcome, folder: Path) -> Unrecorded:
        """Return those of a stage that worked in a folder."""

        def inside(path: Path) -> str:
            return str(path.relative_to(folder))

        return cls(
            tuple(inside(path) for path in outcome.artifacts),
            inside(outcome.checkpoint) if outcome.checkpoint is not None else None,
            tuple(
                (inside(other.folder), (other.run.mlflow_id or UNKNOWN_TRIAL) if other.run is not None else None)
                for other in outcome.other_checkpoints
            ),
        )

    def write(self, folder: Path) -> None:
        """Note them in a folder that becomes the result."""
        write_atomically(folder / UNRECORDED_FILE, json.dumps(asdict(self)) + "\n")

    @classmethod
    def read(cls, result: Path) -> Unrecorded | None:
        """Return what a killed invocation has left; None if all of the result is recorded."""
        try:
            found = json.loads((result / UNRECORDED_FILE).read_text(encoding="utf-8"))
            others = tuple((folder, run) for folder, run in found["others"])
            return cls(tuple(found["artifacts"]), found["checkpoint"], others)
        except OSError:
            return None
        except (ValueError, TypeError, KeyError):  # The machine failed while it was written.
            return cls((), None, ())


def open_invocation(folder: Path, name: str) -> Path:
    """Note in an experiment's folder that an invocation of this process records something; return the file."""
    path = folder / OPEN_FOLDER / name
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, f"{ProcessMark.own()}\n")
    return path


def killed_invocations(folder: Path) -> Iterator[tuple[Path, ProcessMark]]:
    """Yield the files of invocations whose processes have ended, and these."""
    for path in sorted((folder / OPEN_FOLDER).glob("[!.]*")):
        try:
            mark = ProcessMark.read(path.read_text(encoding="utf-8").strip())
        except (OSError, UnicodeDecodeError):
            continue
        if mark is not None and mark.is_dead:
            yield path, mark
