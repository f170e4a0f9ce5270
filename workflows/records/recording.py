"""What of an invocation is recorded in MLflow: its parent run, the runs of its stages, their files, registered models."""

from __future__ import annotations

import getpass
import json
import math
import textwrap
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from cosa.checkpoints.locate import NATIVE_WEIGHTS
from cosa.checksums import sha256_of
from cosa.tasks.all_tasks import all_metrics
from workflows.planning.changes import DATA_CHANGED
from workflows.planning.plan import Plan, Step
from workflows.records.datasets_used import dataset_measured_on, datasets_of
from workflows.records.headline import headline
from workflows.records.intervals import INTERVALS, PARTS
from workflows.records.markdown_table import LONGEST_NOTE, NOTE_TAG
from workflows.records.mlflow_store import noted_run
from workflows.records.model_registry import FINGERPRINT, METRIC_MODE, METRIC_NAME, METRIC_VALUE, SHA256, STAGE
from workflows.records.outcome import OtherCheckpoints
from workflows.records.overview import Overview, comparison_of_trials
from workflows.records.provenance import command_line, environment_facts, git_state, source_changes
from workflows.records.resolved_spec import resolved_spec
from workflows.records.run_names import (
    ENVIRONMENT_FILE,
    SPEC_FILE,
    WITHOUT_EFFECT,
    changed_fields,
    changes_of_stage,
    name_of_invocation,
    name_of_run,
    repeats_the_last,
)
from workflows.records.run_table import StageRow
from workflows.records.stage_note import stage_note
from workflows.records.tracking import INVOCATION, STAGE_KIND, SWEEP, RunRecorder, Tracker
from workflows.records.ui_pages import Comparison
from workflows.records.unrecorded import UNKNOWN_TRIAL, Unrecorded, killed_invocations, open_invocation
from workflows.results.layout import CHECKPOINT_FOLDER, RUN_NOTE, UNRECORDED_FILE
from workflows.results.manifest import Manifest
from workflows.spec.secrets import Secrets
from workflows.spec.stage_kinds import kind_of

LONGEST_REASON = 200  # It is in characters, of an error in the table of stages.


def params_of(step: Step, *exclude: str) -> dict[str, Any]:
    """What MLflow shows as parameters of a stage's run: its section but for some fields, seed, and model if it makes one."""
    section = step.section.model_dump(mode="json", exclude={"kind", "description", *exclude})
    return {**section, "seed": step.seed, **({"model": step.model} if step.model is not None else {})}


def to_register(step: Step, manifest: Manifest | None) -> str | None:
    """Name to register the model of a stage under that was done before; None if it is registered, or need not be."""
    name = kind_of(step.section).registers_as(step.section)
    known = manifest.section.get("register_as") if manifest is not None else None
    return name if manifest is not None and name is not None and known != Secrets.of_process().hide(name) else None


def distinguishing_fields(plan: Plan) -> dict[str, Any]:
    """Return what MLflow shows as parameters of an invocation's run: the fields of its spec that are not the usual ones."""
    section = plan.experiment.section.model_dump(mode="json", exclude_defaults=True, exclude={*WITHOUT_EFFECT, "datasets"})
    stages = {
        step.name: {"kind": step.kind, **step.section.model_dump(mode="json", exclude_defaults=True, exclude={"description"})}
        for step in plan.steps
    }
    return {**section, "stages": stages}


def _reasons(plan: Plan) -> list[str]:
    """Say why stages run apart from what the spec says: what is forced, and lines about data that have changed."""
    forced = {step.name: step for step in plan.to_run if step.forced}
    first = [name for name, step in forced.items() if not step.inputs.keys() & forced.keys()]
    data = [change for step in plan.steps for change in step.changes if change.startswith(DATA_CHANGED)]
    return [*([f"forced {', '.join(first)}"] if first else []), *data]


def _source_tags(plan: Plan) -> dict[str, str]:
    """Tags that say where runs come from: ours, and MLflow's own, which its table of runs shows."""
    git = git_state()
    tags = {f"cosa.git_{key}": value for key, value in git.items()} | {"cosa.command": command_line()}
    tags |= {"mlflow.source.name": str(plan.experiment.file), "mlflow.source.type": "LOCAL"}
    if "commit" in git:
        tags["mlflow.source.git.commit"] = git["commit"]
    with suppress(OSError, KeyError):  # A container may run as a user without a name.
        tags["mlflow.user"] = getpass.getuser()
    return tags


def _headline(step: Step, manifest: Manifest) -> str:
    """Return the figures that the table of stages shows."""
    return headline(step.kind, manifest.metrics, kind_of(step.section).measured_on(step.section))


TABLES = ("trials", "orders", INTERVALS, PARTS)  # details that are no text for a tag


def _details(details: Mapping[str, Any]) -> dict[str, str]:
    """Tags of a stage's run for what else it reports."""
    return {f"cosa.{name}": _as_text(value)[:500] for name, value in details.items() if name not in TABLES}


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _end_of(manifest: Manifest) -> float:
    """Return when the work of a stage was done, in seconds since the epoch: who records it again gives it the same time."""
    return datetime.fromisoformat(manifest.started).timestamp() + manifest.seconds if manifest.started else 0.0


class InvocationRecord:
    """The parent run of an invocation, and what hangs on it."""

    def __init__(
        self,
        plan: Plan,
        tracker: Tracker,
        name: str,
        overrides: Sequence[str] = (),
        variant: Sequence[str] = (),
        sweep: str = "",
    ):
        """Record that an invocation begins.

        name: of the files that belong to it. overrides, variant, sweep: as of `RunOptions`.
        """
        self.plan, self.tracker = plan, tracker
        self.experiment = plan.experiment
        self.rows: dict[str, StageRow] = {}
        self.comparison: Comparison | None = None
        specs = plan.storage.folder / "specs"
        spec = resolved_spec(plan)
        reasons = _reasons(plan)
        resumes = any(step.resumes for step in plan.steps)
        is_named_by_reason = reasons and not variant and not resumes and repeats_the_last(spec, specs)
        self.changes = {} if is_named_by_reason else changed_fields(spec, specs, overrides, variant)
        self.overview = Overview(plan, has_earlier=any(specs.glob("*")), sweep=sweep)
        self._source = _source_tags(plan)
        tags = {"cosa.spec": str(self.experiment.file), STAGE_KIND: INVOCATION, **self._source}
        tags |= {SWEEP: sweep} if sweep else {}
        self._open = open_invocation(plan.storage.folder, name)
        self.parent = tracker.new_run(name_of_invocation(self.experiment.name, self.changes, reasons), tags=tags)
        self.parent.params(distinguishing_fields(plan))
        for file, process in killed_invocations(plan.storage.folder):
            tracker.close_killed(str(process))
            self.parent.forget(file)
        for file in self._files(specs / name, spec):
            self.parent.artifact(file)

    def _files(self, folder: Path, spec: Mapping[str, Any]) -> list[Path]:
        """What ran and where, as files: the resolved spec (editing the YAML meanwhile changes nothing), the surroundings, and
        changes of the source that no commit has."""
        folder.mkdir(parents=True, exist_ok=True)
        secrets = Secrets.of_process()
        texts = {
            SPEC_FILE: json.dumps(spec, indent=2) + "\n",
            ENVIRONMENT_FILE: json.dumps(environment_facts(self.experiment.section.seed, secrets), indent=2) + "\n",
            "source.patch": source_changes(secrets),
        }
        for name, text in texts.items():
            if text is not None:
                (folder / name).write_text(text, encoding="utf-8")
        return [folder / name for name, text in texts.items() if text is not None]

    # -- one stage -----------------------------------------------------------------------------------------------------

    def reused(self, step: Step, manifest: Manifest | None) -> None:
        """Link the run of a stage that was done before, and register its model if the spec asks for that since."""
        if manifest is None:
            return
        run_id = manifest.mlflow_run_id
        if run_id is not None:
            self.parent.tags({f"cosa.reused.{step.name}": run_id})
        if run_id is not None and kind_of(step.section).produces == "checkpoint":
            self.parent.shows_model_of(self.tracker.known_run(run_id))
        self._show_outcome(step, manifest)
        self._show(StageRow(step.name, step.kind, "reused", _headline(step, manifest), known_run=run_id))
        result = self.plan.result_of(step.name).absolute()
        is_own = result == self.plan.storage.result(step.name, str(step.fingerprint)).absolute()
        left = Unrecorded.left_in(result) if is_own else None  # Another experiment records its own results.
        if left is not None:
            self._finish(step, manifest, left.taken_over(result))
        name = to_register(step, manifest)
        if name is not None:
            run = self.parent if run_id is None else self.tracker.known_run(run_id)
            folder = CHECKPOINT_FOLDER if run_id is not None else f"{CHECKPOINT_FOLDER}-{step.name}"
            run.register(
                result / CHECKPOINT_FOLDER, folder, name, self._version_tags(step, manifest, result / CHECKPOINT_FOLDER)
            )
            replace(manifest, section={**manifest.section, "register_as": Secrets.of_process().hide(name)}).write(result)

    def stage_run(self, step: Step, folder: Path) -> RunRecorder:
        """A run for a stage that starts; the same one again if the stage was interrupted."""
        run = self._run_of(step, folder)
        self._show(StageRow(step.name, step.kind, "running", local_run=run.local_id))
        return run

    def _run_of(self, step: Step, folder: Path) -> RunRecorder:
        tags = {"cosa.stage": step.name, STAGE_KIND: step.kind, FINGERPRINT: str(step.fingerprint), **self._source}
        name = name_of_run(step.name, changes_of_stage(self.changes, step.name))
        run = self.tracker.new_run(name, self.parent, tags, folder / RUN_NOTE)
        run.params(params_of(step))
        run.datasets(datasets_of(self.plan, step))
        return run

    def published(
        self, step: Step, run: RunRecorder, manifest: Manifest, files: Unrecorded, others: Sequence[OtherCheckpoints]
    ) -> None:
        """Record a result: its figures, and its files from the place where they stay, which a server may fetch much later.

        others: whose checkpoints `files.others` are, in the same order: the server may not have given their runs ids yet.
        """
        self._result(step, run, manifest, files, [other.run or run for other in others])
        self._show_outcome(step, manifest)
        self._show(StageRow(step.name, step.kind, "run", _headline(step, manifest), local_run=run.local_id))

    def _finish(self, step: Step, manifest: Manifest, files: Unrecorded) -> None:
        """Record the result of a stage whose invocation was killed when the result was there already."""
        result = self.plan.result_of(step.name).absolute()
        run = self._run_of(step, result)
        self._result(step, run, manifest, files, [self._run_behind(run, result / folder, id_) for folder, id_ in files.others])

    def _result(
        self, step: Step, run: RunRecorder, manifest: Manifest, files: Unrecorded, behind: Sequence[RunRecorder | None]
    ) -> None:
        """Record figures and files. behind: the run of each of `files.others`; None leaves them out."""
        ended = _end_of(manifest)
        run.metrics({f"final/{name}": value for name, value in manifest.metrics.items()}, seconds=ended)
        run.metrics({f"baseline/{name}": value for name, value in manifest.baselines.items()}, seconds=ended)
        run.tags(_details(manifest.details))
        note = stage_note(step, manifest)
        if note:
            run.note(note, comparison_of_trials(step))
        result = self.plan.result_of(step.name).absolute()
        for path in files.artifacts:
            run.artifact(result / path)
        if files.checkpoint is not None:
            self._checkpoint(step, run, manifest, result / files.checkpoint)
            for (folder, _), owner in zip(files.others, behind, strict=True):
                if owner is not None:
                    owner.artifact(result / folder, "checkpoints")
        self._metrics_of_model(step, run, manifest)
        run.end("FINISHED")
        for note in (UNRECORDED_FILE, RUN_NOTE):
            run.forget(result / note)

    def _checkpoint(self, step: Step, run: RunRecorder, manifest: Manifest, checkpoint: Path) -> None:
        """Record the model that a stage made."""
        tags = {"cosa.checkpoint_path": str(checkpoint), SHA256: sha256_of(checkpoint / NATIVE_WEIGHTS)}
        run.tags(tags)
        chosen = {name: manifest.details.get(f"best_{name}") for name in kind_of(step.section).swept(step.section)}
        params = {**params_of(step, "sweep"), **chosen}
        known = {"cosa.experiment": self.experiment.name, FINGERPRINT: str(step.fingerprint), **tags}
        has_checkpoints = self.experiment.section.tracking.has_checkpoints
        run.model(self.parent, step.name, params, known, checkpoint if has_checkpoints else None)
        if has_checkpoints:
            run.artifact(checkpoint, CHECKPOINT_FOLDER)
        name = kind_of(step.section).registers_as(step.section)
        if name is not None:
            run.register(checkpoint, CHECKPOINT_FOLDER, name, self._version_tags(step, manifest, checkpoint))

    def _metrics_of_model(self, step: Step, run: RunRecorder, manifest: Manifest) -> None:
        """Record metrics with the model that they were measured of: the stage's own, or that of an earlier stage."""
        kind = kind_of(step.section)
        lineage = kind.lineage(step.section)
        if kind.produces == "checkpoint":
            made_by: RunRecorder | None = run
        else:
            made_by = self._run_named(lineage.starts_from) if lineage is not None else None
        if made_by is not None:
            dataset = dataset_measured_on(self.plan, step)
            of_tasks = {metric.name for metric in all_metrics()}
            for on in (dataset, None):  # Loss and speed are about no dataset.
                values = {
                    f"final/{name}": value
                    for name, value in manifest.metrics.items()
                    if math.isfinite(value) and (name.rpartition("/")[2] in of_tasks) == (on is not None)
                }
                run.metrics_of_model(made_by, values, on, _end_of(manifest))

    def _show_outcome(self, step: Step, manifest: Manifest) -> None:
        """Record with the invocation what came out of a stage and what it read: its row in a table of runs shows it."""
        figures = self.overview.add(step, manifest)
        if figures:
            self.parent.metrics(figures)
            self.parent.datasets(datasets_of(self.plan, step))

    def _run_named(self, stage: str | None) -> RunRecorder | None:
        """Return the run of an earlier stage of this invocation, or the one that its result was made by."""
        row = self.rows.get(stage or "")
        if row is None:
            return None
        if row.local_run is not None:
            return RunRecorder(self.tracker, row.local_run)
        return self.tracker.known_run(row.known_run) if row.known_run is not None else None

    def _run_behind(self, run: RunRecorder, folder: Path, known: str | None) -> RunRecorder | None:
        """Find whose checkpoints a killed invocation has left in a folder; None if nobody can say any more.

        run: of the stage. known: what the invocation knew of the run (`Unrecorded`).
        """
        if known is None:
            return run
        trial = noted_run(folder.parent / RUN_NOTE) if known == UNKNOWN_TRIAL else known
        if trial is None:
            self.tracker.reporter.warn(
                f"the checkpoints in {folder} are not sent to MLflow: their invocation was killed before the server had given "
                "their trial a run"
            )
        return self.tracker.known_run(trial) if trial is not None else None

    def ended(self, status: str) -> None:
        """The end of the invocation: FINISHED, FAILED or KILLED."""
        self.comparison = self.overview.comparison(self.rows)
        is_whole = status == "FINISHED" and self.overview.is_whole
        self.tracker.page(self.overview.columns, self.comparison, replaces=is_whole)
        self.parent.end(status)
        self.parent.forget(self._open)

    def failed(self, step: Step, run: RunRecorder, error: BaseException) -> None:
        """A stage that did not come to its end, and why."""
        is_interrupted = isinstance(error, KeyboardInterrupt)
        reason = "" if is_interrupted else str(error).strip() or type(error).__name__
        if reason:
            run.tags({NOTE_TAG: reason[:LONGEST_NOTE]})
        run.end("KILLED" if is_interrupted else "FAILED")
        became = "interrupted" if is_interrupted else "failed"
        shown = textwrap.shorten(reason, LONGEST_REASON, placeholder=" ...")
        self._show(StageRow(step.name, step.kind, became, shown, local_run=run.local_id))

    def _version_tags(self, step: Step, manifest: Manifest, checkpoint: Path) -> dict[str, str]:
        """Tags of a registered model's version."""
        tags = {
            "cosa.experiment": manifest.experiment,  # Another one than this may have made it.
            STAGE: manifest.stage,
            STAGE_KIND: step.kind,
            FINGERPRINT: str(step.fingerprint),
            SHA256: sha256_of(checkpoint / NATIVE_WEIGHTS),
        }
        metric = manifest.details.get("selected_by")
        if metric is not None:
            tags |= {METRIC_NAME: metric, METRIC_VALUE: repr(manifest.metrics[metric])}
            tags[METRIC_MODE] = manifest.details["selected_mode"]
        return tags

    def _show(self, row: StageRow) -> None:
        self.rows[row.stage] = row
        self.parent.table(self.rows.values(), self.overview.results)
