"""Says what remains of a run that did not come to its end, and the command that resumes it."""

from __future__ import annotations

import errno
import os
import shlex
import shutil
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from cosa.errors import UserError, last_line
from workflows.cluster.shipping import is_job
from workflows.execution.context import DamagedInputError
from workflows.planning.plan import Plan
from workflows.planning.selection import EVERYTHING, Selection
from workflows.planning.step import Step
from workflows.spec.secrets import Secrets
from workflows.spec.stage_kinds import kind_of


class StageFailedError(UserError):
    """A stage failed; the results of earlier stages are saved."""


@dataclass(frozen=True)
class ResumeCommand:
    """What a person types to resume a run. start: the command without its selection of stages."""

    start: str
    selection: Selection = EVERYTHING

    def __str__(self) -> str:
        return " ".join(filter(None, (self.start, shlex.join(self.selection.arguments()))))

    def remaking(self, stage: str, plan: Plan) -> str:
        """Return the command in which a stage is forced, although the selection may have left it out."""
        chosen = plan.selected
        if stage in chosen:
            return f"{self} --force {stage}"
        inputs = plan.experiment.inputs
        last = [name for name in plan.experiment.stages if name in chosen and not any(name in inputs[one] for one in chosen)]
        return f"{replace(self, selection=Selection(until=tuple(last)))} --force {stage}"


def resume_command(
    spec: Path, overrides: Sequence[str], selection: Selection = EVERYTHING, sweeps: Sequence[str] = ()
) -> ResumeCommand:
    """Return the command that resumes a run, without secrets: logs may keep it.

    It has no --force: which of the forced stages are not done is known only when it is needed.
    """
    if is_job():
        return ResumeCommand("the command that submitted this job")
    program = Path(sys.argv[0]).name
    start = f"python {program}" if program.endswith(".py") else program
    changes = [part for override in overrides for part in ("--set", override)]
    changes += [part for sweep in sweeps for part in ("--sweep", sweep)]
    words = [*start.split(), "run-experiment", str(spec), *changes]
    return ResumeCommand(shlex.join(map(Secrets.of_process().hide_in_argument, words)), selection)


@dataclass(frozen=True)
class Resuming:
    """What remains of a run. command: of `resume_command`. is_forced: whether the run was given --force."""

    plan: Plan
    command: ResumeCommand
    is_forced: bool

    def what_remains(self, step: Step) -> str:
        """Say what becomes of the work of a stage that was interrupted, and how to resume."""
        unfinished = self.plan.storage.partial(step.name, str(step.fingerprint))
        how = kind_of(step.section).how_it_resumes(step.section, unfinished) if unfinished.is_dir() else "starts over"
        earlier = "; its earlier result is used until the new one is complete" if self._is_forced_again(step) else ""
        return f"finished stages are saved, and it {how}{earlier}. Resume with:\n    {self._command_at(step)}"

    def failure(self, step: Step, error: Exception, log_file: Path) -> StageFailedError:
        """Write an error into the log with its traceback, and return it in a few lines with what to do."""
        with suppress(OSError):  # The disk may be full; the message that follows is more important than the log.
            log_file.parent.mkdir(parents=True, exist_ok=True)
            with log_file.open("a", encoding="utf-8") as file:
                text = "".join(traceback.format_exception(error))
                file.write(Secrets.of_process().hide(f"stage {step.name} failed\n{text}"))
        what = str(error).strip() if isinstance(error, UserError) else _short_error(error, self.plan.storage.folder)
        unfinished = self.plan.storage.partial(step.name, str(step.fingerprint))
        over = f"\n  to start {step.name} over, which --force does not do now, remove {unfinished}"
        return StageFailedError(
            f"stage {step.name}: {what}\n  log: {log_file}\n"
            f"  finished work is saved; resume with: {self._command_after(error, step)}"
            f"{over if self._is_forced_again(step) and unfinished.is_dir() else ''}"
        )

    def _command_after(self, error: Exception, step: Step) -> str:
        """Return what resumes this run after an error; where a result is damaged, what makes that again as well."""
        return self.command.remaking(error.stage, self.plan) if isinstance(error, DamagedInputError) else self._command_at(step)

    def _command_at(self, step: Step) -> str:
        """Return what resumes this run, in which a step has not come to its end.

        What is done is not forced again. What has no earlier result runs anyway: forced, its work would start over.
        """
        steps = self.plan.steps
        left = [one for one in steps[steps.index(step) :] if one.action == "run" and self._is_forced_again(one)]
        names = {one.name for one in left}
        forced = " ".join(f"--force {one.name}" for one in left if not names & one.inputs.keys())
        if is_job() and self.is_forced:
            return f"{self.command}, with only {forced}" if forced else f"{self.command}, without --force"
        return f"{self.command} {forced}".rstrip()

    def _is_forced_again(self, step: Step) -> bool:
        """Return whether a step is forced that has an earlier result: forced once more, its unfinished work is resumed."""
        return step.forced and self.plan.storage.existing(step.name, str(step.fingerprint), step.kind) is not None


def _short_error(error: BaseException, folder: Path) -> str:
    """Return an error in one line."""
    if os.strerror(errno.ENOSPC) in str(error):
        free = shutil.disk_usage(folder).free / 2**20
        return (
            f"{os.strerror(errno.ENOSPC)}: {folder} has {free:.0f} MiB left (or a worker's temporary folder is full); make room"
        )
    return f"{type(error).__name__}: {last_line(error)}"
