"""Runs a plan: one stage after the other, with a parent run in MLflow; publishes each result, and says how to resume."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TypeVar

from rich.markup import escape

from cosa.errors import UserError
from workflows.cluster.login_token import token_command
from workflows.cluster.nodes import ANSWER_SECONDS, check_nodes, shared_paths
from workflows.cluster.ray_cluster import Cluster
from workflows.execution.checkpoint_storage import remove_checkpoints, require_writable
from workflows.execution.context import StageContext
from workflows.execution.reruns import forget_what_did_not_begin, manifest_of_rerun, put_back, start_over
from workflows.execution.resuming import ResumeCommand, Resuming
from workflows.execution.using_results import note_results, using_results
from workflows.planning.data import ChangedDataError, check_unchanged
from workflows.planning.notes import notes_of
from workflows.planning.plan import Plan, Step, check_inputs, digests_in, make_plan
from workflows.planning.selection import EVERYTHING, Selection
from workflows.records.addresses import address_lines, tracking_place
from workflows.records.checkpoint_card import describe_checkpoint
from workflows.records.examples import example_lines
from workflows.records.final_table import measured_lines, result_rows
from workflows.records.intervals import part_lines
from workflows.records.notice import notify, require_commands
from workflows.records.outcome import StageOutcome
from workflows.records.provenance import command_line, git_state, package_versions
from workflows.records.recording import InvocationRecord, to_register
from workflows.records.repeated_captions import repeated_lines
from workflows.records.tracking import RunRecorder, Tracker
from workflows.records.unrecorded import Unrecorded, killed_invocations
from workflows.results.locks import exclusive, holder_of, patiently, shared
from workflows.results.manifest import Manifest, read_manifest
from workflows.spec.experiment import Experiment
from workflows.spec.secrets import Secrets
from workflows.spec.stage_kinds import kind_of
from workflows.terminal.quiet import chatter_to
from workflows.terminal.reporter import Reporter, StageLine, duration

T = TypeVar("T")


@dataclass(frozen=True)
class RunOptions:
    """Choices of one invocation.

    resume_command: what a person types to resume after a failure. overrides: of the spec, as they were given. variant: those
    that `--sweep` stands for. sweep: a name for it. wait: whether to wait for a result that another run works on.
    forced_before: results that were started over. addresses: lines that say where the results of the last variant are, for the
    end. explained: stages whose interruption was explained. All variants of one invocation share these three and `sweep`.
    """

    force: tuple[str, ...] = ()
    selection: Selection = EVERYTHING
    resume_command: ResumeCommand = field(default_factory=lambda: ResumeCommand(""))
    overrides: tuple[str, ...] = ()
    variant: tuple[str, ...] = ()
    sweep: str = ""
    wait: bool = True
    forced_before: set[Path] = field(default_factory=set)
    addresses: list[str] = field(default_factory=list)
    explained: set[str] = field(default_factory=set)

    def show_addresses(self, lines: Iterable[str], reporter: Reporter) -> None:
        """Print where results are; after the last of several variants, for whose table they wait."""
        self.addresses[:] = lines
        if not self.variant:
            for line in self.addresses:
                reporter.print(line)


def run_experiment(experiment: Experiment, reporter: Reporter, options: RunOptions) -> Plan:
    """Run the stages that have no result yet.

    Raises:
        UserError: it says what is wrong and, if stages ran, how to resume.
    """
    plan = make_plan(
        experiment,
        force=options.force,
        selection=options.selection,
        forced_before=options.forced_before,
        on_read=reporter.reading,
    )
    if plan.missing:
        reporter.plan(plan)
        raise UserError(f"{len(plan.missing)} thing{'s are' if len(plan.missing) > 1 else ' is'} missing; nothing was run")
    check_inputs(plan)
    if not options.wait:
        require_free(plan)
    has_work = bool(plan.to_run) or _is_unrecorded(plan)
    if has_work:
        plan.storage.check_writable()
        require_commands(experiment.section)
    checkpoints = experiment.section.cluster.checkpoint_storage
    trains = any(step.action == "run" and kind_of(step.section).produces == "checkpoint" for step in plan.steps)
    if checkpoints is not None and trains:
        require_writable(checkpoints)
    notes = notes_of(plan)
    put_back(plan)
    start_over(plan, options.forced_before, reporter)
    reporter.plan(plan, notes)
    if not has_work:
        left_out = any(step.action == "left out" for step in plan.steps)
        reporter.print(f"\nNothing to do: every result {'asked for ' if left_out else ''}exists.")
        _show_results(plan, reporter)
        options.show_addresses(address_lines(plan, *_recorded_pages(plan, options.sweep)), reporter)
        note_results(plan, options.sweep)
        return plan
    reporter.print("")
    try:
        _Run(plan, reporter, options).execute()
    finally:
        forget_what_did_not_begin(plan, options.forced_before)
    return plan


def _show_results(plan: Plan, reporter: Reporter) -> None:
    rows = result_rows(plan)
    reporter.metrics(rows)
    for line in (
        *(f"  [dim]{escape(line)}[/]" for line in measured_lines(rows)), *part_lines(plan), *example_lines(plan),
    ):  # fmt: skip
        reporter.print(line)
    for line in repeated_lines(plan):
        reporter.print(line)


def _recorded_pages(plan: Plan, sweep: str) -> tuple[str | None, str | None]:
    """Return MLflow's id of the experiment that made the results of a plan, and the key of the view that compares its runs.

    It is the plan's own, unless that has recorded nothing.
    """
    place = tracking_place(plan.experiment)
    makers = (plan.result_of(step.name).parents[1].name for step in plan.steps if step.fingerprint is not None)
    names = dict.fromkeys((plan.experiment.name, *makers))
    experiment_id = next((found for name in names if (found := place.recorded_experiment(name)) is not None), None)
    return experiment_id, place.recorded_comparison(experiment_id, sweep) if experiment_id is not None else None


def require_free(plan: Plan) -> None:
    """Raise UserError if another run works on a result that this one would make."""
    for step in plan.to_run:
        holder = holder_of(plan.storage.lock_file(str(step.fingerprint)))
        if holder is not None:
            raise UserError(f"stage {step.name} is in progress: {holder}; without --no-wait this run waits for it")


def _is_unrecorded(plan: Plan) -> bool:
    """Return whether MLflow lacks something of finished stages or killed invocations, or a model to be registered."""
    results = [(step, plan.result_of(step.name)) for step in plan.steps if step.action == "skip"]
    return (
        any(killed_invocations(plan.storage.folder))
        or any(Unrecorded.left_in(result) is not None for _, result in results)
        or any(to_register(step, read_manifest(result)) is not None for step, result in results)
    )


class _Run:
    """One invocation."""

    def __init__(self, plan: Plan, reporter: Reporter, options: RunOptions):
        self.plan, self.reporter, self.options = plan, reporter, options
        self.experiment = plan.experiment
        self.started = time.time()
        self.log_file = plan.storage.folder / "logs" / f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{os.getpid()}.log"
        self.cluster = Cluster(
            self.experiment.section.cluster, self._show_dashboard, self._check_nodes, self.experiment.name, reporter.warn
        )
        self.width = max(len(step.name) for step in plan.steps)
        self.git, self.versions = git_state(), package_versions()
        self.resuming = Resuming(plan, options.resume_command, is_forced=bool(options.force))
        self.earlier = {step.name: manifest_of_rerun(plan, step) for step in plan.steps if step.starts_over}

    def _show_dashboard(self, address: str) -> None:
        self.reporter.print(f"  [dim]Ray dashboard: {address} while this runs; its token: {escape(token_command())}[/]")

    def _check_nodes(self) -> None:
        self.reporter.print(f"  [dim]every node looks for storage and data, for at most {ANSWER_SECONDS:.0f} s[/]")
        check_nodes(self.plan.storage.folder.absolute(), shared_paths(self.experiment))

    def execute(self) -> None:
        """Run all steps and clean up, whatever happens. Meanwhile only the reporter writes to the terminal."""
        with (
            chatter_to(self.log_file) as terminal,
            self.log_file.open("a", encoding="utf-8") as log,
            self.reporter.on(terminal, log),
            using_results(self.plan, self.reporter),
        ):
            self._execute()

    def _execute(self) -> None:
        unsent = self.plan.storage.folder / f"unsent-{self.log_file.stem}.jsonl"
        self.tracker = Tracker(tracking_place(self.experiment), unsent, self.reporter)
        self.record = InvocationRecord(
            self.plan, self.tracker, self.log_file.stem, self.options.overrides, self.options.variant, self.options.sweep
        )
        status, failure = "FAILED", None
        try:
            for step in self.plan.steps:
                self._step(step)
            status = "FINISHED"
            note_results(self.plan, self.options.sweep)
        except KeyboardInterrupt:
            status = "KILLED"
            raise
        except Exception as error:
            failure = error
            raise
        finally:
            self.record.ended(status)
            self._finish(status)
            resume = None if status == "FINISHED" else str(self.options.resume_command)
            notify(self.plan, status, time.time() - self.started, failure, resume, self.reporter.warn)

    def _finish(self, status: str) -> None:
        self.tracker.flush(20)
        try:
            if status == "FINISHED":
                self.reporter.print(f"\n[bold]{self.experiment.name}[/] done in {duration(time.time() - self.started)}.")
                _show_results(self.plan, self.reporter)
            comparison = self.record.comparison
            lines = address_lines(self.plan, self.tracker.experiment_id, comparison.key if comparison is not None else None)
            self.options.show_addresses(lines, self.reporter)
        finally:
            try:
                self.cluster.stop()
            finally:  # Whatever becomes of Ray, records are sent, or written to the `unsent` file.
                self.tracker.close()

    def _step(self, step: Step) -> None:
        if step.action == "left out":
            return
        if step.action == "skip":
            self._skip(step, step.reason)
            return
        started = time.time()
        try:
            with ExitStack() as locks:
                self._lock(step, locks)
                found = self._done_meanwhile(step)
                if found is not None:
                    own = found == self.plan.storage.result(step.name, str(step.fingerprint))
                    where = "by another run" if own else f"as {found.parent.relative_to(self.plan.storage.root)}"
                    self._skip(step, f"done meanwhile {where}")
                    return
                with self.reporter.stage(step.name, self.width) as line:
                    outcome = self._run_stage(step, line, started)
        except KeyboardInterrupt:
            self.reporter.print(f"\n  [bold]{step.name}[/] interrupted; {escape(self.resuming.what_remains(step))}")
            self.options.explained.add(step.name)
            raise
        except Exception as error:
            self.reporter.failed(step.name, self.width, time.time() - started)
            raise self.resuming.failure(step, error, self.log_file) from error
        self.reporter.finished(step.name, self.width, time.time() - started, outcome.summary, line.starting_seconds)

    def _done_meanwhile(self, step: Step) -> Path | None:
        """Return the result of a step that another run has made since the plan; None if there is none."""
        found = self.plan.result_of(step.name)
        if step.starts_over and manifest_of_rerun(self.plan, step) == self.earlier[step.name]:
            return None
        return found if read_manifest(found) is not None else None

    def _skip(self, step: Step, reason: str) -> None:
        if step.name in self.plan.selected:
            self.reporter.skipped(step.name, self.width, reason)
        result = self.plan.result_of(step.name)
        self.record.reused(step, read_manifest(result))
        if result == self.plan.storage.result(step.name, str(step.fingerprint)):
            remove_checkpoints(result, self.reporter.warn)  # A run that was killed right after publishing left them.

    def _lock(self, step: Step, locks: ExitStack) -> None:
        """Lock a stage's result for this run, and its inputs against removal; wait while another run works on any of them.

        The result comes last: whoever has it for itself waits for nothing, so that no two runs wait for each other.
        """
        storage = self.plan.storage
        for name, fingerprint in step.inputs.items():
            path, what = storage.lock_file(fingerprint), f"the result of {name}"
            locks.enter_context(self._held(step, partial(shared, path, what), name))
        own = partial(exclusive, storage.lock_file(str(step.fingerprint)), f"the result of {step.name}")
        dead = locks.enter_context(self._held(step, own, "it"))
        if dead is not None and storage.partial(step.name, str(step.fingerprint)).is_dir():
            self.reporter.print(f"  [dim]{step.name}: taken over from {escape(str(dead))}, which ended before it was done[/]")

    def _held(self, step: Step, lock: Callable[[], AbstractContextManager[T]], works_on: str) -> AbstractContextManager[T]:
        """Return a lock that is waited for, unless this run is not to wait."""
        if not self.options.wait:
            return lock()
        how = f"which works on {works_on} (Ctrl-C to leave)"
        return patiently(lock, lambda holder: self.reporter.print(f"  {step.name}: waiting for {escape(holder)}, {how}"))

    def _run_stage(self, step: Step, line: StageLine, started: float) -> StageOutcome:
        assert step.fingerprint is not None
        storage = self.plan.storage
        folder = storage.partial(step.name, step.fingerprint).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        run = self.record.stage_run(step, folder)
        context = StageContext(step, step.section, self.plan, folder, self.cluster, line, run, step.seed)
        began = False
        try:
            self._check_unchanged(step, "since the plan was made")
            context.verify_inputs()
            began = True
            with self.cluster.watched():
                outcome: StageOutcome = kind_of(step.section).run(context)
            self._check_unchanged(step, "while the stage ran, which may have read both")
            line.update("sending records to MLflow")
            self.tracker.flush(20)  # The manifest names MLflow's run, so it has to exist.
            manifest = self._manifest(step, outcome, run, started)
            if outcome.checkpoint is not None:
                describe_checkpoint(outcome.checkpoint, step, self.plan, manifest)
            files = Unrecorded.of(outcome, folder)
            files.write(folder)
            storage.publish(step.name, step.fingerprint, manifest)
        except BaseException as error:
            self.record.failed(step, run, error)
            if began:
                self._keep_from_resuming_if_changed(step)
            raise
        self.record.published(step, run, manifest, files, outcome.other_checkpoints)
        if outcome.remove is not None:
            outcome.remove(storage.result(step.name, step.fingerprint))
        return outcome

    def _check_unchanged(self, step: Step, when: str) -> None:
        digests = digests_in(self.plan.storage, self.reporter.reading)
        try:
            check_unchanged(step.name, step.read, self.experiment, digests, when)
        finally:
            digests.save()

    def _keep_from_resuming_if_changed(self, step: Step) -> None:
        """Set unfinished work aside if its data changed meanwhile: whoever puts them back must not resume what read others."""
        try:
            self._check_unchanged(step, "while the stage ran")
        except ChangedDataError as error:
            aside = self.plan.storage.set_work_aside(step.name, str(step.fingerprint))
            if aside is not None:
                what = str(error).partition(";")[0]
                self.reporter.warn(f"{what}: its unfinished work may have read both, and is not resumed; it is kept in {aside}")
        except UserError:
            return  # The file system fails, which the error that ended the stage says.

    def _manifest(self, step: Step, outcome: StageOutcome, run: RunRecorder, started: float) -> Manifest:
        hidden = Secrets.of_process().hide_in  # The fingerprint was computed from what is not hidden.
        return Manifest(
            experiment=self.experiment.name,
            stage=step.name,
            kind=step.kind,
            kind_version=step.version,
            fingerprint=str(step.fingerprint),
            section=hidden(step.section.model_dump(mode="json")),
            seed=step.seed,
            model=hidden(step.model),
            inputs=step.inputs,
            data=step.data,
            amounts=step.amounts,
            metrics=outcome.metrics,
            baselines=outcome.baselines,
            baseline_names=outcome.baseline_names,
            outputs=outcome.outputs,
            details=hidden(outcome.details),
            mlflow_run_id=run.mlflow_id,
            versions=self.versions,
            git=self.git,
            host=socket.gethostname(),
            command=command_line(),
            started=datetime.fromtimestamp(started, UTC).isoformat(timespec="seconds"),
            seconds=round(time.time() - started, 3),
        )
