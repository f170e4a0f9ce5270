"""Takes over trials that an earlier sweep has run: one whose values were changed runs only what is new."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path

from workflows.execution.checkpoints import saved_checkpoints
from workflows.execution.context import StageContext
from workflows.execution.progress import PROGRESS_FILE
from workflows.execution.run_folder import RunFolder
from workflows.execution.training_job import run_name, storage_of
from workflows.execution.training_stage import TrainSection
from workflows.execution.trial_identity import finished_sweeps, identities_of
from workflows.execution.trials import DONE, Trial, TrialBook
from workflows.execution.whereabouts import WORKERS_FILE
from workflows.planning.fingerprint import Basis
from workflows.planning.plan import digests_in
from workflows.results.layout import CHECKPOINT_FOLDER, PARTIAL, RAY_FOLDER, TRIALS_FOLDER
from workflows.results.locks import HeldError, exclusive, shared

KEPT = (PROGRESS_FILE, WORKERS_FILE)  # of a trial's folder; in MLflow it gets a run of its own
Context = StageContext[TrainSection]


def identify(context: Context, trials: list[Trial]) -> None:
    """Set the identities of trials: digests of everything that decides what each of them gives."""
    digests = digests_in(context.plan.storage)
    basis = Basis(context.plan.experiment, digests, dict(context.step.inputs))
    step = replace(context.step, section=context.section)
    for trial, identity in zip(trials, identities_of(step, basis, [trial.parameters for trial in trials]), strict=True):
        trial.identity = identity
    digests.save()


def take_over_trials(context: Context, book: TrialBook) -> int:
    """Take over those waiting trials of a book that an earlier sweep has run, or begun; return how many are done by that.

    A stage that is forced runs its trials itself.
    """
    if context.step.starts_over:
        return 0
    done = len(book.done)
    for take in (_from_results, _from_unfinished):
        wanted = {trial.identity: trial for trial in book.waiting if not _has_begun(context, trial)}
        if wanted:
            take(context, book, wanted)
    return len(book.done) - done


def _has_begun(context: Context, trial: Trial) -> bool:
    """Return whether a waiting trial has checkpoints of its own to resume from."""
    return bool(saved_checkpoints(RunFolder.at(storage_of(context), f"{run_name(context)}-{trial.name}")))


def _from_results(context: Context, book: TrialBook, wanted: Mapping[str, Trial]) -> None:
    """Take over trials from results, which earlier ones have not given yet."""
    for sweep in finished_sweeps(context.plan.storage, wanted):
        still = [
            (ran, step) for ran, step in zip(sweep.trials, sweep.steps, strict=True) if wanted[ran.identity].state == "waiting"
        ]
        if not still or still[0][0] != sweep.trials[0]:
            continue
        with suppress(HeldError), shared(context.plan.storage.lock_file(sweep.result.name), "the result of an earlier sweep"):
            for ran, step in still:
                trial = wanted[ran.identity]
                if ran == sweep.trials[0]:  # Its checkpoint comes first: without it none of them is taken over.
                    target = book.folder_of(trial) / CHECKPOINT_FOLDER
                    shutil.rmtree(target, ignore_errors=True)
                    shutil.copytree(sweep.result / CHECKPOINT_FOLDER, target, copy_function=_link)
                _copy(sweep.result / TRIALS_FOLDER / ran.name, book.folder_of(trial))
                trial.taken_from = str(sweep.result.relative_to(context.plan.storage.root))
                trial.best_step = step
                book.set(trial, ran.state)


def _from_unfinished(context: Context, book: TrialBook, wanted: Mapping[str, Trial]) -> None:
    """Take over trials of unfinished sweeps of the same stage, with the checkpoints that Ray has saved of them."""
    mine = RunFolder.at(storage_of(context))
    if not mine.is_local:
        return
    for other, earlier in _unfinished(context):
        for old in earlier.trials:
            run = other / RAY_FOLDER / f"{run_name(context)}-{old.name}"
            trial = wanted.get(old.identity)
            if (
                trial is None
                or trial.state != "waiting"
                or _has_begun(context, trial)
                or not saved_checkpoints(RunFolder.at(run))
            ):
                continue
            _copy(earlier.folder_of(old), book.folder_of(trial))
            target = Path(mine.path) / f"{run_name(context)}-{trial.name}"
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(run, target, copy_function=_link_of_checkpoint)
            book.set(trial, old.state if old.state in DONE else "waiting")


def _unfinished(context: Context) -> Iterator[tuple[Path, TrialBook]]:
    """Yield unfinished sweeps of the stage that nobody works on, with their trials."""
    for other in sorted(context.folder.parent.glob(f"[!.]*{PARTIAL}")):
        if other == context.folder or not (other / TRIALS_FOLDER).is_dir():
            continue
        with ExitStack() as lock:
            try:
                lock.enter_context(exclusive(context.plan.storage.lock_file(other.name.removesuffix(PARTIAL)), "its trials"))
            except HeldError:
                continue
            yield other, TrialBook.read(other / TRIALS_FOLDER)


def _copy(source: Path, target: Path) -> None:
    """Copy the records of a trial."""
    target.mkdir(parents=True, exist_ok=True)
    for name in KEPT:
        if (source / name).is_file():
            shutil.copy2(source / name, target / name)


def _link(source: str, target: str) -> None:
    """Let a file that is never changed exist in two places; copy it where the file system has no such links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _link_of_checkpoint(source: str, target: str) -> None:
    """Link the files of checkpoints, which are never changed, and copy what Ray writes beside them."""
    (_link if Path(source).parent.name.startswith("checkpoint_") else shutil.copy2)(source, target)
