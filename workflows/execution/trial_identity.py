"""Says which trials of earlier sweeps are those of a later one. Plans ask this, so it imports no torch, Ray or MLflow."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from workflows.execution.trials import Trial, TrialBook
from workflows.planning.fingerprint import Basis, digest_of_identity, identity_of, result_fields
from workflows.planning.implied import initial_model
from workflows.planning.step import Step
from workflows.results.layout import TRIALS_FOLDER, TRIALS_TABLE
from workflows.results.storage import Storage, complete


def identities_of(step: Step, basis: Basis, trials: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the identities of a sweep's trials: digests of everything that decides what each of them gives.

    Args:
        step: of a stage with a sweep.
        basis: what the stage reads.
        trials: values of the swept fields.
    """
    section: Any = step.section
    alone = section.model_copy(update={"sweep": None})
    base = identity_of(replace(step, section=alone), basis)
    judged = {"metric": section.sweep.metric, "scheduler": section.sweep.scheduler}
    plain, model = section.model_dump(exclude={"sweep"}), initial_model(section, basis.spec)
    named = result_fields(alone, model).keys() - base["section"].keys()  # They only name what is read.
    found = []
    for parameters in trials:
        fields = result_fields(type(section).model_validate({**plain, **parameters}), model)
        own = {name: value for name, value in fields.items() if name not in named}
        found.append(digest_of_identity({**base, "section": {**base["section"], **own}, **judged}))
    return found


@dataclass(frozen=True)
class FinishedSweep:
    """The result of a sweep, with those of its trials that are wanted, the best one first. steps: that counted of each."""

    result: Path
    trials: tuple[Trial, ...]
    steps: tuple[int, ...]


def finished_sweeps(storage: Storage, wanted: Collection[str]) -> Iterator[FinishedSweep]:
    """Yield results of sweeps that have trials of wanted identities.

    Of all its trials a result keeps only the checkpoint of the best: the others are known to be worse, so they are of use with
    it, and never without.
    """
    for result in complete(storage.root.glob("[!.]*/[!.]*/*")):
        if not (result / TRIALS_TABLE).is_file() or storage.damage_of(result.parent.name, result) is not None:
            continue
        ran = {trial.name: trial for trial in TrialBook.read(result / TRIALS_FOLDER).done if trial.identity in wanted}
        rows = json.loads((result / TRIALS_TABLE).read_text(encoding="utf-8"))  # the best trial first
        counted = [(ran[row["trial"]], row["step"]) for row in rows if "step" in row and row["trial"] in ran]
        if counted and counted[0][0].name == rows[0]["trial"]:
            yield FinishedSweep(result, tuple(trial for trial, _ in counted), tuple(step for _, step in counted))


def count_finished(step: Step, basis: Basis, storage: Storage, trials: Sequence[Mapping[str, Any]]) -> int:
    """Return how many trials of a sweep earlier ones have run."""
    wanted = set(identities_of(step, basis, trials))
    return len({trial.identity for sweep in finished_sweeps(storage, wanted) for trial in sweep.trials})
