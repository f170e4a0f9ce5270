"""Writes the tables on the page of an invocation in MLflow: what came out, and every stage, whether it ran or was reused, and
where its run is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from cosa.tasks.all_tasks import label_of
from workflows.records.final_table import measured_lines
from workflows.records.markdown_table import LONGEST_NOTE, number, table_head, table_row
from workflows.records.ui_pages import run_path


@dataclass(frozen=True)
class StageRow:
    """A stage of an invocation.

    became: run, reused, failed, ... result: the metric that says most. local_run: the Tracker's id of its run, if the stage
    ran. known_run: MLflow's id of an earlier run.
    """

    stage: str
    kind: str
    became: str
    result: str = ""
    local_run: str | None = None
    known_run: str | None = None

    def plain(self) -> dict[str, Any]:
        """Return the row as JSON-ready data."""
        return asdict(self)


def markdown(
    rows: Sequence[Mapping[str, Any]],
    results: Sequence[Mapping[str, Any]],
    mlflow_ids: Mapping[str, str],
    experiment_of: Callable[[str], str | None],
) -> str:
    """Write the tables in Markdown. Stages at the end that do not fit are left out, and a line says how many.

    Args:
        rows: `StageRow.plain()`.
        results: `final_table.rows_of`, of all stages.
        mlflow_ids: MLflow's ids by the Tracker's.
        experiment_of: the experiment that a run is in; None if this server does not have the run.
    """
    text = _results(results) + table_head(("stage", "kind", "state", "result", "MLflow run"))
    for done, row in enumerate(rows):
        run_id = mlflow_ids.get(row["local_run"] or "") or row["known_run"]
        line = table_row(row["stage"], row["kind"], row["became"], row["result"], _link(run_id, experiment_of))
        if len(text) + len(line) + len(_left_out(len(rows))) > LONGEST_NOTE:
            return text + _left_out(len(rows) - done)
        text += line
    return text


def _results(rows: Sequence[Mapping[str, Any]]) -> str:
    """Write the table of results; those that would leave the stages no room are left out, and a line says how many."""
    if not rows:
        return ""
    published = any(row["published"] is not None for row in rows)
    titles = ("results of", "metric", "value", "baseline", *(("published",) if published else ()))
    text = table_head(titles)
    for done, row in enumerate(rows):
        baseline = f"{number(row['baseline'])} {row['baseline_name'] or ''}".strip()
        cells = (row["stage"], label_of(row["metric"]), number(row["value"]), baseline)
        line = table_row(*cells, *((number(row["published"]),) if published else ()))
        if len(text) + len(line) > LONGEST_NOTE / 2:
            return f"{text}\n{len(rows) - done} more results are left out; the metrics of this run have them.\n\n"
        text += line
    return f"{text}\n" + "".join(f"{line}\n\n" for line in measured_lines(rows))


def _left_out(rows: int) -> str:
    return f"\n{rows} more stages are left out, because MLflow shows no longer text; their runs are below this one.\n"


def _link(run_id: str | None, experiment_of: Callable[[str], str | None]) -> str:
    if run_id is None:
        return ""
    experiment = experiment_of(run_id)
    if experiment is None:
        return f"{run_id} (not on this server)"
    return f"[{run_id[:8]}]({run_path(experiment, run_id)})"
