"""Takes over trials that an earlier sweep has run: one whose values were changed runs only what is new."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from workflows.execution.checkpoints import saved_checkpoints
from workflows.execution.context import StageContext
from workflows.execution.progress import PROGRESS_FILE
from workflows.execution.run_folder import RunFolder
from workflows.execution.training_job import run_name, storage_of
from workflows.execution.training_stage import TrainSection
from workflows.execution.trials import DONE, Trial, TrialBook
from workflows.execution.whereabouts import WORKERS_FILE
from workflows.planning.fingerprint import Basis, digest_of_identity, identity_of, result_fields
from workflows.planning.plan import digests_in
from workflows.results.layout import CHECKPOINT_FOLDER, PARTIAL, RAY_FOLDER, RUN_NOTE, TRIALS_FOLDER, TRIALS_TABLE
from workflows.results.locks import HeldError, exclusive
from workflows.results.storage import complete

KEPT = (PROGRESS_FILE, WORKERS_FILE, RUN_NOTE)  # of a trial's folder
Context = StageContext[TrainSection]


def identify(context: Context, trials: list[Trial]) -> None:
    """Set the identities of trials: digests of everything that decides what each of them gives."""
    plan, section = context.plan, context.section
    assert section.sweep is not None
    digests = digests_in(plan.storage)
    basis = Basis(plan.experiment, digests, dict(context.step.inputs))
    base = identity_of(replace(context.step, section=section.model_copy(update={"sweep": None})), basis)
    digests.save()
    judged = {"metric": section.sweep.metric, "scheduler": section.sweep.scheduler}
    plain = section.model_dump(exclude={"sweep"})
    for trial in trials:
        fields = result_fields(type(section).model_validate({**plain, **trial.parameters}))
        own = {name: fields[name] for name in {**base["section"], **trial.parameters} if name in fields}
        trial.identity = digest_of_identity({**base, "section": {**base["section"], **own}, **judged})


def take_over_trials(context: Context, book: TrialBook) -> int:
    """Take over those waiting trials of a book that an earlier sweep has run, or begun; return how many are done by that."""
    done = len(book.done)
    for take in (_from_results, _from_unfinished):
        wanted = {trial.identity: trial for trial in book.waiting if not (book.folder_of(trial) / PROGRESS_FILE).exists()}
        if wanted:
            take(context, book, wanted)
    return len(book.done) - done


def _from_results(context: Context, book: TrialBook, wanted: Mapping[str, Trial]) -> None:
    """Take over trials from results. Of all its trials a result keeps only the checkpoint of the best: the others are known to
    be worse, so they are taken over with it, and never without."""
    taken: set[str] = set()
    for result in complete(context.plan.storage.root.glob("[!.]*/[!.]*/*")):
        if not (result / TRIALS_TABLE).is_file() or context.plan.storage.damage_of(result.parent.name, result) is not None:
            continue
        ran = {trial.identity: trial for trial in TrialBook.read(result / TRIALS_FOLDER).done if trial.identity}
        best = json.loads((result / TRIALS_TABLE).read_text(encoding="utf-8"))[0]["trial"]
        found = (ran.keys() & wanted.keys()) - taken
        if not any(ran[identity].name == best for identity in found):
            continue
        taken |= found
        for identity in found:
            source, trial = result / TRIALS_FOLDER / ran[identity].name, wanted[identity]
            _copy(source, book.folder_of(trial))
            if ran[identity].name == best:
                shutil.copytree(result / CHECKPOINT_FOLDER, book.folder_of(trial) / CHECKPOINT_FOLDER, copy_function=_link)
            trial.taken_from = str(result.relative_to(context.plan.storage.root))
            book.set(trial, ran[identity].state)


def _from_unfinished(context: Context, book: TrialBook, wanted: Mapping[str, Trial]) -> None:
    """Take over trials of unfinished sweeps of the same stage, with the checkpoints that Ray has saved of them."""
    mine = RunFolder.at(storage_of(context))
    if not mine.is_local:
        return
    for other, earlier in _unfinished(context):
        for old in earlier.trials:
            run = other / RAY_FOLDER / f"{run_name(context)}-{old.name}"
            trial = wanted.get(old.identity)
            if trial is None or (book.folder_of(trial) / PROGRESS_FILE).exists() or not saved_checkpoints(RunFolder.at(run)):
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
