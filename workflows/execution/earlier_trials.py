"""Takes over trials that an earlier sweep has run: one whose values were changed runs only what is new."""

from __future__ import annotations

import json
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
from workflows.execution.trials import DONE, Trial, TrialBook
from workflows.execution.whereabouts import WORKERS_FILE
from workflows.planning.fingerprint import Basis, digest_of_identity, identity_of, result_fields
from workflows.planning.implied import initial_model
from workflows.planning.plan import digests_in
from workflows.results.layout import CHECKPOINT_FOLDER, PARTIAL, RAY_FOLDER, TRIALS_FOLDER, TRIALS_TABLE
from workflows.results.locks import HeldError, exclusive, shared
from workflows.results.storage import complete

KEPT = (PROGRESS_FILE, WORKERS_FILE)  # of a trial's folder; in MLflow it gets a run of its own
Context = StageContext[TrainSection]


def identify(context: Context, trials: list[Trial]) -> None:
    """Set the identities of trials: digests of everything that decides what each of them gives."""
    plan, section = context.plan, context.section
    assert section.sweep is not None
    digests = digests_in(plan.storage)
    basis = Basis(plan.experiment, digests, dict(context.step.inputs))
    alone = section.model_copy(update={"sweep": None})
    base = identity_of(replace(context.step, section=alone), basis)
    digests.save()
    judged = {"metric": section.sweep.metric, "scheduler": section.sweep.scheduler}
    plain, model = section.model_dump(exclude={"sweep"}), initial_model(section, plan.experiment)
    named = result_fields(alone, model).keys() - base["section"].keys()  # They only name what is read.
    for trial in trials:
        fields = result_fields(type(section).model_validate({**plain, **trial.parameters}), model)
        own = {name: value for name, value in fields.items() if name not in named}
        trial.identity = digest_of_identity({**base, "section": {**base["section"], **own}, **judged})


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
    """Take over trials from results. Of all its trials a result keeps only the checkpoint of the best: the others are known to
    be worse, so they are taken over with it, and never without."""
    for result in complete(context.plan.storage.root.glob("[!.]*/[!.]*/*")):
        if not (result / TRIALS_TABLE).is_file() or context.plan.storage.damage_of(result.parent.name, result) is not None:
            continue
        ran = {trial.identity: trial for trial in TrialBook.read(result / TRIALS_FOLDER).done if trial.identity}
        rows = json.loads((result / TRIALS_TABLE).read_text(encoding="utf-8"))
        steps = {row["trial"]: row["step"] for row in rows if "step" in row}  # the best trial first
        still = {identity: trial for identity, trial in wanted.items() if trial.state == "waiting"}
        found = sorted((i for i in ran if i in still and ran[i].name in steps), key=lambda i: list(steps).index(ran[i].name))
        if not found or ran[found[0]].name != next(iter(steps)):
            continue
        with suppress(HeldError), shared(context.plan.storage.lock_file(result.name), "the result of an earlier sweep"):
            for identity in found:
                source, trial = result / TRIALS_FOLDER / ran[identity].name, still[identity]
                if identity == found[0]:  # Its checkpoint comes first: without it none of them is taken over.
                    target = book.folder_of(trial) / CHECKPOINT_FOLDER
                    shutil.rmtree(target, ignore_errors=True)
                    shutil.copytree(result / CHECKPOINT_FOLDER, target, copy_function=_link)
                _copy(source, book.folder_of(trial))
                trial.taken_from = str(result.relative_to(context.plan.storage.root))
                trial.best_step = steps[ran[identity].name]
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
