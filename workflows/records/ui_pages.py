"""Pages of MLflow's UI: what they open on, and their addresses.

A saved view is a tag of the experiment, in a format that only the UI's own code defines (MLflow 3.17). A UI that does not
understand it shows its usual page.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import quote

EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development"}  # The UI then opens on runs, not on chat traces.
VIEW_TAG = "mlflow.sharedViewState."
CLASSIC = "workflowType=machine_learning"  # Without it, a fresh browser shows menus for chat traces.
RESULTS_VIEW = "cosa-results"
COMPARISON_VIEW = "cosa-compare"
MOST_COLUMNS = 12  # A view may have 20,000 characters.
COLUMN_WIDTH = 200  # pixels
NAMESPACE = uuid.UUID("b1d8f0a8-3c9e-4b6c-9a3e-0c05a0c05a00")  # for the ids of charts, which are the same in every run


@dataclass(frozen=True)
class Comparison:
    """What a page compares: runs of one kind.

    name: of the view. key: of its address. search: MLflow's filter that finds the runs, in which {run} stands for the id of the
    run `parent`. finals: metrics with one value a run, as bars. curves: metrics over steps, as lines. fields: parameters in
    which the runs differ. order: the metric whose best value comes first; None puts the newest run first. ascending: its best
    value is the lowest.
    """

    name: str
    key: str
    search: str
    finals: tuple[str, ...] = ()
    curves: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()
    order: str | None = None
    ascending: bool = False
    parent: str | None = None

    def plain(self) -> dict[str, Any]:
        """Return it as JSON-ready data."""
        return asdict(self)


def results_view(metrics: Sequence[str], now: int) -> tuple[str, str]:
    """Return the tag with the view of an experiment's table of runs, with columns of metrics. now: milliseconds."""
    state = {**_state(""), **_columns([], metrics)}
    return f"{VIEW_TAG}{RESULTS_VIEW}", _view("Results", state, now)


def comparison_view(comparison: Mapping[str, Any], parent: str | None, now: int) -> tuple[str, str]:
    """Return the tag with the view that compares runs in charts.

    Args:
        comparison: `Comparison.plain()`.
        parent: MLflow's id of the run that stands for {run} in its filter.
        now: milliseconds.
    """
    search = comparison["search"].replace("{run}", parent or "")
    section = _id("section")
    cards: list[dict[str, Any]] = []
    if comparison["fields"] and comparison["finals"]:
        fields, finals = list(comparison["fields"]), list(comparison["finals"][:3])
        cards.append({"type": "PARALLEL", "selectedParams": fields, "selectedMetrics": finals, "showAllRuns": False})
    cards += [{"type": "BAR", "metricKey": name} for name in comparison["finals"]]
    cards += [_line(name) for name in comparison["curves"]]
    same = {"metricSectionId": section, "deleted": False, "isGenerated": False, "runsCountToCompare": 20}
    state = {
        **_state(search),
        **_columns(comparison["fields"], comparison["finals"]),
        "compareRunCharts": [{**card, **same, "uuid": _id(str(number))} for number, card in enumerate(cards)],
        "compareRunSections": [
            {"uuid": section, "name": comparison["name"], "display": True, "isReordered": False, "deleted": False}
        ],
        "isAccordionReordered": True,  # Otherwise the UI sorts the sections, and this one would not be the first.
    }
    if comparison["order"] is not None:  # Runs in the order of a metric are no tree, in which trials would be folded away.
        state |= {"orderByKey": f"metrics.`{comparison['order']}`", "orderByAsc": comparison["ascending"]}
    return f"{VIEW_TAG}{comparison['key']}", _view(comparison["name"], state, now)


def _line(name: str) -> dict[str, Any]:
    return {
        "type": "LINE",
        "metricKey": name,
        "selectedMetricKeys": [name],
        "xAxisKey": "step",
        "useGlobalXaxisKey": True,
        "useGlobalLineSmoothing": True,
    }


def _columns(fields: Sequence[str], metrics: Sequence[str]) -> dict[str, Any]:
    columns = [*(f"params.`{name}`" for name in fields), *(f"metrics.`{name}`" for name in metrics[:MOST_COLUMNS])]
    return {"selectedColumns": columns, "columnOrder": columns, "columnWidths": dict.fromkeys(columns, COLUMN_WIDTH)}


def _state(search: str) -> dict[str, Any]:
    return {
        "searchFilter": search,
        "orderByKey": "attributes.start_time",
        "orderByAsc": False,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "modelVersionFilter": "All Runs",
        "datasetsFilter": [],
        "runsHiddenMode": "FIRST_20_RUNS",
        "hideEmptyCharts": True,
        "groupBy": None,
    }


def _view(name: str, state: Mapping[str, Any], now: int) -> str:
    return json.dumps({"name": name, "createdAt": now, "updatedAt": now, "state": json.dumps(state)})


def _id(name: str) -> str:
    return str(uuid.uuid5(NAMESPACE, name))


# -- addresses ----------------------------------------------------------------------------------------------------------


def start_url(base: str) -> str:
    """Return the address of the list of experiments."""
    return f"{base}/#/experiments?{CLASSIC}"


def experiment_url(base: str, experiment_id: str) -> str:
    """Return the address of an experiment's table of runs, with its columns of metrics."""
    return f"{base}/#/experiments/{quote(experiment_id)}/runs?viewStateShareKey={RESULTS_VIEW}&{CLASSIC}"


def comparison_url(base: str, experiment_id: str, key: str) -> str:
    """Return the address of a view that compares runs, opened on its charts."""
    return f"{base}/#/experiments/{quote(experiment_id)}/runs?viewStateShareKey={quote(key)}&compareRunsMode=CHART&{CLASSIC}"
