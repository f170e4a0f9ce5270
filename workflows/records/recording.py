"""What of an invocation is recorded in MLflow: its parent run, the runs of its stages, their files, registered models."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cosa.checkpoints.locate import NATIVE_WEIGHTS
from cosa.checksums import sha256_of
from workflows.planning.plan import Plan, Step
from workflows.records.headline import headline
from workflows.records.mlflow_store import noted_run
from workflows.records.model_registry import FINGERPRINT, METRIC_MODE, METRIC_NAME, METRIC_VALUE, SHA256
from workflows.records.outcome import OtherCheckpoints, StageOutcome
from workflows.records.provenance import command_line, environment_facts, git_state, source_changes
from workflows.records.run_table import StageRow
from workflows.records.tracking import STAGE_KIND, RunRecorder, Tracker
from workflows.records.unrecorded import UNKNOWN_TRIAL, Unrecorded, killed_invocations, open_invocation
from workflows.results.layout import CHECKPOINT_FOLDER, RUN_NOTE, UNRECORDED_FILE
from workflows.results.manifest import Manifest
from workflows.spec.secrets import Secrets
from workflows.spec.stage_kinds import kind_of


def params_of(step: Step, seed: int, *exclude: str) -> dict[str, Any]:
    """What MLflow shows as parameters of a stage's run: its section but for some fields, seed, and model if it makes one."""
    section = step.section.model_dump(mode="json", exclude={"kind", "description", *exclude})
    return {**section, "seed": seed, **({"model": step.model} if step.model is not None else {})}


def to_register(step: Step, manifest: Manifest | None) -> str | None:
    """Name to register the model of a stage under that was done before; None if it is registered, or need not be."""
    name = kind_of(step.section).registers_as(step.section)
    known = manifest.section.get("register_as") if manifest is not None else None
    return name if manifest is not None and name is not None and known != Secrets.of_process().hide(name) else None


def _details(details: Mapping[str, Any]) -> dict[str, str]:
    """Tags of a stage's run for what else it reports."""
    return {f"cosa.{name}": str(value)[:500] for name, value in details.items() if name != "trials"}


class InvocationRecord:
    """The parent run of an invocation, and what hangs on it."""

    def __init__(self, plan: Plan, tracker: Tracker, name: str):
        """name: of the files that belong to it."""
        self.plan, self.tracker = plan, tracker
        self.experiment = plan.experiment
        self.rows: dict[str, StageRow] = {}
        self._source = {f"cosa.git_{key}": value for key, value in git_state().items()} | {"cosa.command": command_line()}
        tags = {"cosa.spec": str(self.experiment.file), **self._source}
        self._open = open_invocation(plan.storage.folder, name)
        self.parent = tracker.new_run(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}", tags=tags)
        for file, process in killed_invocations(plan.storage.folder):
            tracker.close_killed(str(process))
            self.parent.forget(file)
        for file in self._files(plan.storage.folder / "specs" / name):
            self.parent.artifact(file)

    def _files(self, folder: Path) -> list[Path]:
        """What ran and where, as files: the resolved spec (editing the YAML meanwhile changes nothing), the surroundings, and
        changes of the source that no commit has."""
        folder.mkdir(parents=True, exist_ok=True)
        secrets = Secrets.of_process()
        stages = {step.name: step.section.model_dump(mode="json") for step in self.plan.steps}
        spec = {**self.experiment.section.model_dump(mode="json"), "stages": stages}
        texts = {
            "spec.json": json.dumps(secrets.hide_in(spec), indent=2) + "\n",
            "environment.json": json.dumps(environment_facts(self.experiment.section.seed, secrets), indent=2) + "\n",
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
        self._show(StageRow(step.name, step.kind, "reused", headline(step.kind, manifest.metrics), known_run=run_id))
        result = self.plan.result_of(step.name).absolute()
        is_own = result == self.plan.storage.result(step.name, str(step.fingerprint)).absolute()
        left = Unrecorded.left_in(result) if is_own else None  # Another experiment records its own results.
        if left is not None:
            self._finish(step, manifest, left.taken_over(result), result)
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
        run = self.tracker.new_run(step.name, self.parent, tags, folder / RUN_NOTE)
        run.params(params_of(step, self.experiment.section.seed))
        return run

    def figures(self, run: RunRecorder, outcome: StageOutcome) -> None:
        """Final metrics and details of a stage whose work is done."""
        if outcome.metrics:
            run.metrics({f"final/{name}": value for name, value in outcome.metrics.items()})
        if outcome.baselines:
            run.metrics({f"baseline/{name}": value for name, value in outcome.baselines.items()})
        run.tags(_details(outcome.details))

    def published(
        self, step: Step, run: RunRecorder, manifest: Manifest, files: Unrecorded, others: Sequence[OtherCheckpoints]
    ) -> None:
        """Files of a stage, from the place where they stay: a server that is slow or away may fetch them much later.

        others: whose checkpoints `files.others` are, in the same order: the server may not have given their runs ids yet.
        """
        self._files_of(step, run, manifest, files, [other.run or run for other in others])
        self._show(StageRow(step.name, step.kind, "run", headline(step.kind, manifest.metrics), local_run=run.local_id))

    def _finish(self, step: Step, manifest: Manifest, files: Unrecorded, result: Path) -> None:
        """Record the rest of a stage whose invocation was killed when the result was there already."""
        run = self._run_of(step, result)
        if manifest.metrics:
            run.metrics({f"final/{name}": value for name, value in manifest.metrics.items()})
        if manifest.baselines:
            run.metrics({f"baseline/{name}": value for name, value in manifest.baselines.items()})
        run.tags(_details(manifest.details))
        self._files_of(
            step, run, manifest, files, [self._run_behind(run, result / folder, id_) for folder, id_ in files.others]
        )

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

    def _files_of(
        self, step: Step, run: RunRecorder, manifest: Manifest, files: Unrecorded, behind: Sequence[RunRecorder | None]
    ) -> None:
        """Record files of a result. behind: the run of each of `files.others`; None leaves them out."""
        result = self.plan.result_of(step.name).absolute()
        for path in files.artifacts:
            run.artifact(result / path)
        if files.checkpoint is not None:
            checkpoint = result / files.checkpoint
            run.tags({"cosa.checkpoint_path": str(checkpoint), SHA256: sha256_of(checkpoint / NATIVE_WEIGHTS)})
            if self.experiment.section.tracking.has_checkpoints:
                run.artifact(checkpoint, CHECKPOINT_FOLDER)
            for (folder, _), owner in zip(files.others, behind, strict=True):
                if owner is not None:
                    owner.artifact(result / folder, "checkpoints")
            name = kind_of(step.section).registers_as(step.section)
            if name is not None:
                run.register(checkpoint, CHECKPOINT_FOLDER, name, self._version_tags(step, manifest, checkpoint))
        run.end("FINISHED")
        for note in (UNRECORDED_FILE, RUN_NOTE):
            run.forget(result / note)

    def ended(self, status: str) -> None:
        """The end of the invocation: FINISHED, FAILED or KILLED."""
        self.parent.end(status)
        self.parent.forget(self._open)

    def failed(self, step: Step, run: RunRecorder, status: str) -> None:
        """A stage that did not come to its end: FAILED or KILLED."""
        run.end(status)
        became = "interrupted" if status == "KILLED" else "failed"
        self._show(StageRow(step.name, step.kind, became, local_run=run.local_id))

    def _version_tags(self, step: Step, manifest: Manifest, checkpoint: Path) -> dict[str, str]:
        """Tags of a registered model's version."""
        tags = {
            "cosa.experiment": self.experiment.name,
            "cosa.stage": step.name,
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
        self.parent.table(self.rows.values())
