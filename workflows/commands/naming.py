"""Finds the results that a person means by an experiment, a stage, a fingerprint, an MLflow run, a folder or a spec.

`cosa compare`, `report`, `show` and `clean` take such names.
"""

from __future__ import annotations

import difflib
import json
import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from workflows.planning.plan import Plan, make_plan
from workflows.planning.step import Step
from workflows.records.mlflow_store import DATABASE
from workflows.results.inventory import Inventory, StoredResult
from workflows.results.layout import MANIFEST
from workflows.spec.load import load_spec
from workflows.spec.problems import UsageError

Form = Literal["experiment", "stage", "result", "run", "spec"]
DEFAULT_STORAGE = Path("storage")
SHORTEST = 4  # characters of a fingerprint or a run's id that name it, if they are unique
RUN_ID = re.compile(r"[0-9a-f]{4,32}")
FORMS = "expected an experiment, experiment/stage, a fingerprint, an MLflow run id, a result's folder or a spec file"


@dataclass(frozen=True)
class Named:
    """What a name means.

    text: as it was given. form: what it is the name of. inventory: of the storage folder. experiment: whose results these are.
    results: the current one of each stage, or the one that is named. others: further results of a single stage that the name
    means as well, the newest first. steps: of a spec. absent: why stages of a spec have no result.
    """

    text: str
    form: Form
    inventory: Inventory
    experiment: str
    results: Mapping[str, StoredResult]
    others: tuple[StoredResult, ...] = ()
    plan: Plan | None = None
    absent: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_single(self) -> bool:
        """Return whether it names one stage, not an experiment."""
        return self.form in ("stage", "result", "run") and len(self.results) == 1

    @property
    def steps(self) -> Mapping[str, Step]:
        """Return the steps of a spec's plan by stage; none of anything else."""
        return {step.name: step for step in self.plan.steps} if self.plan is not None else {}


def results_named(text: str, storage: Path | None = None) -> Named:
    """Find results by a name.

    Args:
        text: the name.
        storage: folder of results; None means the usual one, and of a spec its own.

    Raises:
        UsageError: nothing is called so, or several things are.
        SpecError: a spec is wrong.
    """
    if Path(text).suffix in (".yaml", ".yml", ".json") and Path(text).is_file():
        return _of_spec(text, storage)
    root = storage or DEFAULT_STORAGE
    if (named := _of_folder(text, root)) is not None:
        return named
    inventory = Inventory.of(root)
    for find in (_of_experiment, _of_stage, _of_fingerprint, _of_run):
        if (found := find(text, inventory)) is not None:
            return found
    raise UsageError(_unknown(text, inventory))


def result_named(text: str, storage: Path | None = None) -> tuple[StoredResult, Inventory]:
    """Find the one result that a name means, and the results of its storage folder.

    Raises:
        UsageError: nothing is called so, or it is the name of several.
    """
    named = results_named(text, storage)
    if len(named.results) != 1:
        some = ", ".join(f"{named.experiment}/{stage}" for stage in named.results)
        raise UsageError(f"{text} has several results; name one of them: {some}" if some else f"{text} has no result yet")
    return next(iter(named.results.values())), named.inventory


def _of_spec(text: str, storage: Path | None) -> Named:
    """Return the results that a run of a spec would use."""
    plan = make_plan(load_spec(Path(text), [f"storage={json.dumps(str(storage))}"] if storage is not None else []))
    inventory = Inventory.of(plan.storage.root)
    results: dict[str, StoredResult] = {}
    absent: dict[str, str] = {}
    for step in plan.steps:
        if step.action == "skip":
            results[step.name] = StoredResult.at(plan.result_of(step.name))
        else:
            absent[step.name] = step.reason
    return Named(text, "spec", inventory, plan.experiment.name, results, plan=plan, absent=absent)


def _of_folder(text: str, root: Path) -> Named | None:
    """Return what a folder holds: a result, or one of the folders of a storage in which results are."""
    path = Path(text).expanduser()
    folder = next((one for one in (path, *path.absolute().parents) if (one / MANIFEST).is_file()), None)
    if path.exists() and folder is not None and len(folder.absolute().parents) > 2:
        folder = folder if len(folder.parts) > 3 else folder.absolute()
        return _single(text, "result", Inventory.of(folder.parents[2]), folder)
    inside = path.absolute().is_relative_to(root.absolute()) and path.is_dir()
    parts = path.absolute().relative_to(root.absolute()).parts if inside else ()
    if len(parts) not in (1, 2):
        return None
    inventory = Inventory.of(root)
    return (_of_experiment if len(parts) == 1 else _of_stage)("/".join(parts), inventory)


def _single(text: str, form: Form, inventory: Inventory, folder: Path) -> Named:
    result = next((one for one in inventory.results if one.folder.absolute() == folder.absolute()), StoredResult.at(folder))
    return Named(text, form, inventory, result.experiment, {result.stage: result})


def _of_experiment(text: str, inventory: Inventory) -> Named | None:
    stages = inventory.experiments.get(text)
    if stages is None:
        return None
    results = {stage: found[0] for stage in stages if (found := inventory.current(text, stage))}
    return Named(text, "experiment", inventory, text, results)


def _of_stage(text: str, inventory: Inventory) -> Named | None:
    experiment, _, rest = text.strip("/").partition("/")
    stage, _, fingerprint = rest.partition("/")
    if stage not in inventory.experiments.get(experiment, ()):
        return None
    if fingerprint:
        return _of_fingerprint(fingerprint, inventory, f"{experiment}/{stage}")
    current = inventory.current(experiment, stage)[0]
    others = [one for one in reversed(inventory.of_stage(experiment, stage)) if one.folder != current.folder]
    return Named(text, "stage", inventory, experiment, {stage: current}, tuple(others))


def _of_fingerprint(text: str, inventory: Inventory, name: str | None = None) -> Named | None:
    """Return the result with a fingerprint, or the only one whose fingerprint begins so. name: of its stage, if it is given."""
    among = [one for one in inventory.results if name in (None, one.name)]
    found = {one.fingerprint: one for one in among if one.fingerprint.startswith(text) and len(text) >= SHORTEST}
    return _only(text, "result", inventory, list(found.values()))


def _of_run(text: str, inventory: Inventory) -> Named | None:
    """Return the result of an MLflow run: of a stage, or of the stage whose trial it is; of an invocation all results."""
    if RUN_ID.fullmatch(text) is None:
        return None
    runs = {str(one.manifest.mlflow_run_id): one for one in inventory.results if one.manifest and one.manifest.mlflow_run_id}
    found = {run: one for run, one in runs.items() if run.startswith(text)}
    if found:
        return _only(text, "run", inventory, list(found.values()))
    recorded = {runs[run].stage: runs[run] for run in _recorded_with(inventory.root / DATABASE, text) if run in runs}
    experiment = next((one.experiment for one in recorded.values()), "")
    return Named(text, "run", inventory, experiment, recorded) if recorded else None


def _only(text: str, form: Form, inventory: Inventory, found: Sequence[StoredResult]) -> Named | None:
    if len(found) > 1:
        some = ", ".join(f"{one.fingerprint} ({one.name})" for one in found)
        raise UsageError(f"{text} is the beginning of several: {some}; write more of it")
    return _single(text, form, inventory, found[0].folder) if found else None


_RELATED = """
    SELECT run_uuid FROM tags WHERE key = 'mlflow.parentRunId' AND value = :run
    UNION SELECT value FROM tags WHERE key = 'mlflow.parentRunId' AND run_uuid = :run
    UNION SELECT value FROM tags WHERE key LIKE 'cosa.reused.%' AND run_uuid = :run
"""


def _recorded_with(database: Path, run: str) -> Iterator[str]:
    """Yield ids of the runs of stages that belong to a run of an invocation or a trial, as far as a local database says it."""
    if not database.is_file():
        return
    try:
        with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            yield from (str(row[0]) for row in connection.execute(_RELATED, {"run": run}))
    except sqlite3.Error:
        return


def _unknown(text: str, inventory: Inventory) -> str:
    """Say that nothing has a name, and what may be meant."""
    if Path(text).suffix in (".yaml", ".yml"):
        specs = [str(path) for path in sorted(Path(text).parent.glob("*.y*ml"))] if Path(text).parent.is_dir() else []
        return f"{text} does not exist{_suggested(text, specs)}"
    if not inventory.results:
        return f"no result is called {text}: {inventory.root.absolute()} holds no results; name another folder with --storage"
    stages = [f"{experiment}/{stage}" for experiment, found in inventory.experiments.items() for stage in found]
    same = [name for name in stages if name.partition("/")[2] == text]
    if same:
        return f"{text} is a stage; write {' or '.join(same)}"
    return f"no result is called {text}{_suggested(text, [*inventory.experiments, *stages])} ({FORMS})"


def _suggested(text: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(text, known, n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(known[:20])}" if known else ""
