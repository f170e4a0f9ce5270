"""Results that are made again, because they are forced or damaged: the earlier ones stay until the new ones are complete.

Beside a result, a folder of unfinished work says that the result is being made again. It is there from the start of a run, so
that other runs, and later variants of the same run, know it.
"""

from __future__ import annotations

from contextlib import ExitStack, suppress
from pathlib import Path

from workflows.execution.checkpoint_storage import remove_checkpoints
from workflows.planning.plan import Plan
from workflows.planning.step import Step
from workflows.results.locks import HeldError, exclusive
from workflows.results.manifest import DamagedResultError, Manifest, read_manifest
from workflows.terminal.reporter import Reporter


def start_over(plan: Plan, forced_before: set[Path], reporter: Reporter) -> None:
    """Note which results are made again: all of a plan, or none if another run holds one.

    Args:
        plan: of the run.
        forced_before: results that were noted for another variant; these are added to them.
        reporter: of the run.

    Raises:
        HeldError: another run holds one.
    """
    found = {
        (step.name, step.fingerprint): "--force" if step.forced else "damaged"
        for step in plan.steps
        if step.starts_over and step.fingerprint is not None
    }
    found = {key: why for key, why in found.items() if plan.storage.result(*key) not in forced_before}
    resumed = {step.name for step in plan.steps if step.resumes}
    with ExitStack() as locks:
        for fingerprint, (name, why) in {fingerprint: (name, why) for (name, fingerprint), why in found.items()}.items():
            locks.enter_context(exclusive(plan.storage.lock_file(fingerprint), f"{why}: the result of {name}"))
        for name, fingerprint in found:
            if name not in resumed:
                remove_checkpoints(plan.storage.partial(name, fingerprint), reporter.warn)
                plan.storage.start_over(name, fingerprint)
            forced_before.add(plan.storage.result(name, fingerprint))


def manifest_of_rerun(plan: Plan, step: Step) -> Manifest | None:
    """Return the manifest of the result that a step makes again; None if there is none, or a damaged one.

    While it is the same, no other run has made the result again. Folders of unfinished work do not say that: two runs that want
    the same result share them, and one that ends early removes them.
    """
    with suppress(DamagedResultError):
        return read_manifest(plan.result_of(step.name))
    return None


def forget_what_did_not_begin(plan: Plan, forced_before: set[Path]) -> None:
    """Leave the results as they are that were to be made again, but for which the run ended too early."""
    for step in plan.steps:
        if step.starts_over and step.fingerprint is not None:
            with suppress(OSError):  # The folder is not empty, so the work can be continued, or it is gone: the work is done.
                plan.storage.partial(step.name, step.fingerprint).rmdir()
                forced_before.discard(plan.storage.result(step.name, step.fingerprint))


def put_back(plan: Plan) -> None:
    """Give results their names again that a run had set aside when it was killed, unless another run works on them."""
    for step in plan.steps:
        if step.fingerprint is None or plan.storage.is_in_place(step.name, step.fingerprint):
            continue
        with suppress(HeldError), exclusive(plan.storage.lock_file(step.fingerprint), f"the result of {step.name}"):
            plan.storage.put_back(step.name, step.fingerprint)
