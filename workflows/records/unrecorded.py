"""What MLflow still has to get of a result, and of invocations that were killed. Files say so until it has arrived.

A process may be killed at any moment: between the publication of a result and the upload of its checkpoint, too. The next
invocation then finds the file and does the rest, unless somebody still holds the records: the process, if it lives, or a file
of unsent records, which `cosa sync` sends.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from workflows.records.process_mark import ProcessMark
from workflows.results.atomic import write_atomically
from workflows.results.layout import UNRECORDED_FILE

if TYPE_CHECKING:
    from workflows.records.outcome import StageOutcome

UNKNOWN_TRIAL = "unknown"  # It stands for the id of a trial's run that the server had not given yet.
OPEN_FOLDER = ".open"  # Each invocation that has not ended in MLflow has a file here.


@dataclass(frozen=True)
class Unrecorded:
    """Files of a result that go to MLflow; paths are relative to its folder.

    others: folders of further checkpoints, each with MLflow's id of the trial whose they are, UNKNOWN_TRIAL as long as the
    server has given none, or None for the stage's own. process: that has to send them. unsent: the file where it left them.
    """

    artifacts: tuple[str, ...]
    checkpoint: str | None
    others: tuple[tuple[str, str | None], ...]
    process: str = ""
    unsent: str | None = None

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
            str(ProcessMark.own()),
        )

    def write(self, folder: Path) -> None:
        """Note them in a folder that becomes the result."""
        write_atomically(folder / UNRECORDED_FILE, json.dumps(asdict(self)) + "\n")

    @classmethod
    def read(cls, result: Path) -> Unrecorded | None:
        """Return what MLflow still has to get of a result; None if all of it is recorded."""
        try:
            found = json.loads((result / UNRECORDED_FILE).read_text(encoding="utf-8"))
            others = tuple((folder, run) for folder, run in found["others"])
            unsent = found.get("unsent")
            return cls(
                tuple(found["artifacts"]), found["checkpoint"], others, str(found.get("process", "")),
                str(unsent) if unsent is not None else None,
            )  # fmt: skip
        except OSError:
            return None
        except (ValueError, TypeError, KeyError):  # The machine failed while it was written.
            return cls((), None, ())

    @classmethod
    def left_in(cls, result: Path) -> Unrecorded | None:
        """Return what a killed invocation has left of a result; None if nothing, or if somebody still holds the records."""
        found = cls.read(result)
        if found is None or _exists(found.unsent):
            return None
        process = ProcessMark.read(found.process)
        return found if process is None or process.is_dead else None

    def taken_over(self, result: Path) -> Unrecorded:
        """Note that this process sends them now."""
        taken = replace(self, process=str(ProcessMark.own()), unsent=None)
        taken.write(result)
        return taken


def hand_over(files: Iterable[Path], unsent: Path) -> None:
    """Note in files of this module that another file holds from now on what they say is missing. Files of others are left.

    Call it before that file is written: as long as it does not exist, it holds nothing.
    """
    for file in files:
        with suppress(OSError):  # If the disk is full, records may be sent twice, but none is lost.
            if file.parent.name == OPEN_FOLDER:
                write_atomically(file, f"{ProcessMark.own()}\n{unsent.absolute()}\n")
            elif file.name == UNRECORDED_FILE and (found := Unrecorded.read(file.parent)) is not None:
                replace(found, unsent=str(unsent.absolute())).write(file.parent)


def _exists(unsent: str | None) -> bool:
    return unsent is not None and Path(unsent).exists()


def open_invocation(folder: Path, name: str) -> Path:
    """Note in an experiment's folder that an invocation of this process records something; return the file."""
    path = folder / OPEN_FOLDER / name
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, f"{ProcessMark.own()}\n")
    return path


def killed_invocations(folder: Path) -> Iterator[tuple[Path, ProcessMark]]:
    """Yield the files of invocations whose processes have ended, and these; not those whose end waits in an unsent file."""
    for path in sorted((folder / OPEN_FOLDER).glob("[!.]*")):
        try:
            text, _, unsent = path.read_text(encoding="utf-8").strip().partition("\n")
        except (OSError, UnicodeDecodeError):
            continue
        mark = ProcessMark.read(text)
        if mark is not None and mark.is_dead and not _exists(unsent or None):
            yield path, mark
