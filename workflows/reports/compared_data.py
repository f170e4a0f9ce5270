"""Compares what stages read: results of other stages, files of the user's own, clips, and texts, as far as records tell."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cosa.data.stored_frames import StoredFrames
from cosa.errors import DataError
from cosa.message_text import some_of
from cosa.regular_files import read_regular
from workflows.reports.compared import NOTHING, Cell, Column
from workflows.results.contents import Contents
from workflows.results.inventory import StoredResult
from workflows.results.layout import clips_list
from workflows.spec.stage_kinds import STAGE_KINDS

DIGITS = 8  # of digests and fingerprints
PREDICTIONS = "predictions_"  # how the names of such outputs begin
GIVEN = ("text", "references", "question", "question_id", "expected")  # what a prediction repeats of the annotations


@dataclass(frozen=True)
class DataRow:
    """Something that stages read. values: a short digest and an amount for each column. differs: whether they do."""

    name: str
    values: tuple[str | None, ...]
    differs: bool

    @property
    def shown(self) -> list[str]:
        """Return the values for a table."""
        return [NOTHING if value is None else value for value in self.values]


def data_rows(cells: Sequence[Cell | None]) -> list[DataRow]:
    """Return everything that stages read, what differs first. A stage that has no result yet is known by its plan."""
    read = [None if cell is None else {**_inputs(cell), **_data(cell)} for cell in cells]
    known = [found for found in read if found is not None]
    names = dict.fromkeys(name for found in known for name in found)
    rows = []
    for name in names:
        differs = len({found.get(name, ("", ""))[0] for found in known}) > 1
        values = [None if found is None or name not in found else _shown(*found[name]) for found in read]
        rows.append(DataRow(name, tuple(values), differs))
    return sorted(rows, key=lambda row: not row.differs)


def _shown(digest: str, amount: str) -> str:
    return f"{digest[:DIGITS]} ({amount})" if amount else digest[:DIGITS]


def _inputs(cell: Cell) -> dict[str, tuple[str, str]]:
    """Return the fingerprints of the results that a stage was made from, by what people call them."""
    inputs = cell.manifest.inputs if cell.manifest is not None else cell.step.inputs if cell.step is not None else {}
    return {f"result of {stage}": (fingerprint, "") for stage, fingerprint in inputs.items()}


def _data(cell: Cell) -> dict[str, tuple[str, str]]:
    """Return digests and amounts of files of the user's own."""
    of = cell.manifest if cell.manifest is not None else cell.step
    return {} if of is None else {name: (digest, of.amounts.get(name, "")) for name, digest in of.data.items()}


def data_changes(cells: Sequence[Cell | None], columns: Sequence[Column]) -> list[str]:
    """Return sentences about which clips, files and texts each further column has otherwise than the first one."""
    first, first_column = cells[0], columns[0]
    if first is None or first.result is None:
        return []
    lines = []
    for cell, column in zip(cells[1:], columns[1:], strict=True):
        if cell is not None and cell.result is not None and cell.result.folder != first.result.folder:
            found = _differences((first.result, first_column), (cell.result, column))
            lines += [f"{column.label}, compared with {first_column.label}: {text}" for text in found]
    return lines


def _differences(first: tuple[StoredResult, Column], second: tuple[StoredResult, Column]) -> Iterator[str]:
    clips = _changed(_clips(*first), _clips(*second))
    if clips:
        yield f"clips: {clips}"
    files = _changed(_dataset_files(*first), _dataset_files(*second))
    if files:
        yield f"files of the dataset: {files}"
    now = _texts(second[0])
    for output, before in _texts(first[0]).items():
        texts = _changed(before, now.get(output, {}))
        if texts:
            yield f"clips by what {output.removeprefix(PREDICTIONS)} compares predictions with: {texts}"


def _changed(before: Mapping[str, str], now: Mapping[str, str]) -> str:
    """Say which entries are new, changed or gone; nothing if one side has none."""
    if not before or not now:
        return ""
    groups = {
        "new": [name for name in now if name not in before],
        "changed": [name for name, content in now.items() if before.get(name, content) != content],
        "gone": [name for name in before if name not in now],
    }
    return ", ".join(f"{len(names)} {what} ({some_of(names)})" for what, names in groups.items() if names)


def _read_results(result: StoredResult, column: Column) -> list[StoredResult]:
    """Return a result and those that it was made from directly."""
    return [result, *(found[0] for found in column.inventory.inputs_of(result).values() if found)]


def _clips(result: StoredResult, column: Column) -> dict[str, str]:
    """Return the digests of the clips whose frames a result is, or was made from."""
    found: dict[str, str] = {}
    for one in _read_results(result, column):
        listed = clips_list(one.folder)
        if listed is not None:
            try:
                found.update(StoredFrames.read(listed).clips.pairs())
            except (DataError, OSError):  # `cosa verify` reports it; here it is only compared.
                continue
    return found


def _dataset_files(result: StoredResult, column: Column) -> dict[str, str]:
    """Return the digests of the files of datasets that other stages made, and this result was made from."""
    found: dict[str, str] = {}
    for one in _read_results(result, column):
        kind = one.manifest.kind if one.manifest is not None else ""
        if one.manifest is not None and kind in STAGE_KINDS and STAGE_KINDS[kind].produces == "dataset":
            found |= {name: digest for name, (_, digest) in Contents.listed(one.folder, one.manifest.contents).items()}
    return found


def _texts(result: StoredResult) -> dict[str, dict[str, str]]:
    """Return what annotations say of every clip, as text, by the output whose predictions repeat it."""
    outputs = result.manifest.outputs if result.manifest is not None else {}
    return {name: _given(result.folder / file) for name, file in outputs.items() if name.startswith(PREDICTIONS)}


def _given(predictions: Path) -> dict[str, str]:
    """Return what annotations say of every clip that a file has predictions for; nothing if it cannot be read."""
    texts: dict[str, list[str]] = {}
    try:
        for one in json.loads(read_regular(predictions)):
            given = {key: one[key] for key in GIVEN if key in one}
            texts.setdefault(str(one["video_id"]), []).append(json.dumps(given, sort_keys=True))
    except (OSError, ValueError, LookupError, TypeError):
        return {}
    return {video: "\n".join(sorted(found)) for video, found in texts.items()}
