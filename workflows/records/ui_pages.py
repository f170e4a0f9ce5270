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
VARIANTS_VIEW = f"{COMPARISON_VIEW}-variants"
LONGEST_TAG = 20_000  # MLflow takes so many characters of an experiment's tag, and so of a view.
MOST_SHOWN = 12  # The UI itself adds charts of the other metrics below those of a view.
MOST_AXES = 3
COLUMN_WIDTH = 200  # This is in pixels.
COLOR_TAG = "mlflow.runColor"  # By itself, the UI gives two of three runs the same color now and then.
COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#8C564B", "#7F7F7F", "#BCBD22", "#5B2C6F")
NAMESPACE = uuid.UUID("b1d8f0a8-3c9e-4b6c-9a3e-0c05a0c05a00")  # Charts have the same ids in every run.


@dataclass(frozen=True)
class Comparison:
    """What a page compares: runs of one kind.

    name: of the view. key: of its address. search: MLflow's filter that finds the runs, in which {run} stands for the id of
    the run `filtered_by`, MLflow's or the Tracker's. finals: metrics with one value a run, as bars. curves: metrics
    over steps, as lines. fields: parameters in which the runs differ. order: the metric whose best value comes first; None puts
    the newest run first. ascending: its best value is the lowest.
    """

    name: str
    key: str
    search: str
    finals: tuple[str, ...] = ()
    curves: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()
    order: str | None = None
    ascending: bool = False
    filtered_by: str | None = None

    def plain(self) -> dict[str, Any]:
        """Return it as JSON-ready data."""
        return asdict(self)


def results_view(metrics: Sequence[str], now: int) -> tuple[str, str]:
    """Return the tag with the view of an experiment's table of runs, with columns of metrics. now: milliseconds."""
    state = {**_state(""), **_columns([], metrics[:MOST_SHOWN])}
    return f"{VIEW_TAG}{RESULTS_VIEW}", _view("Results", state, now)


def comparison_view(comparison: Comparison, run_id: str, now: int) -> tuple[str, str]:
    """Return the tag with the view that compares runs in charts.

    Args:
        comparison: what is compared.
        run_id: MLflow's id of the run `filtered_by`.
        now: milliseconds.
    """
    views = (_view(comparison.name, _charts(comparison, run_id, most), now) for most in range(MOST_SHOWN, -1, -1))
    return f"{VIEW_TAG}{comparison.key}", next(view for view in views if len(view) <= LONGEST_TAG)


def _charts(comparison: Comparison, run_id: str, most: int) -> dict[str, Any]:
    """Return the state of the page that compares runs. most: how many metrics and fields of each kind it shows."""
    section = _id("section")
    same = {"metricSectionId": section, "deleted": False, "isGenerated": False, "runsCountToCompare": 20}
    state = {
        **_state(comparison.search.replace("{run}", run_id)),
        **_columns(comparison.fields[:most], comparison.finals[:most]),
        "compareRunCharts": [
            {**card, **same, "uuid": _id(str(number))} for number, card in enumerate(_cards(comparison, most))
        ],
        "compareRunSections": [
            {"uuid": section, "name": comparison.name, "display": True, "isReordered": False, "deleted": False}
        ],
        "isAccordionReordered": True,  # Otherwise the UI sorts the sections, and this one would not be the first.
    }
    if comparison.order is not None:  # Runs in the order of a metric are no tree, in which trials would be folded away.
        state |= {"orderByKey": f"metrics.`{comparison.order}`", "orderByAsc": comparison.ascending}
    return state


def _cards(comparison: Comparison, most: int) -> list[dict[str, Any]]:
    """Return the charts of a comparison, without what all charts have."""
    finals, fields = comparison.finals[:most], list(comparison.fields[:most])
    bars = [{"type": "BAR", "metricKey": name} for name in finals]
    lines = [_line(name) for name in comparison.curves[:most]]
    if not fields or not finals:
        return [*bars, *lines]
    axes = {"selectedParams": fields, "selectedMetrics": list(finals[:MOST_AXES]), "showAllRuns": False}
    return [{"type": "PARALLEL", **axes}, *bars, *lines]


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
    figures = [*(f"params.`{name}`" for name in fields), *(f"metrics.`{name}`" for name in metrics)]
    columns = [*figures, "attributes.`Dataset`", "attributes.`Models`"]
    return {"selectedColumns": columns, "columnOrder": columns, "columnWidths": dict.fromkeys(figures, COLUMN_WIDTH)}


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


def updated_at(view: str) -> int:
    """Return when a view was made, in milliseconds; 0 if it is none that this module has made."""
    try:
        return int(json.loads(view)["updatedAt"])
    except (ValueError, TypeError, LookupError):
        return 0


def shows_all_of(view: str, earlier: str) -> bool:
    """Return whether a view shows all columns of an earlier one, or other runs than that."""
    try:
        new, old = (json.loads(json.loads(text)["state"]) for text in (view, earlier))
        return new["searchFilter"] != old["searchFilter"] or set(old["selectedColumns"]) <= set(new["selectedColumns"])
    except (ValueError, TypeError, LookupError):  # It is none that this module has made.
        return True


def saved_comparison(tags: Mapping[str, str], sweep: str = "") -> str | None:
    """Return the key of the view that compares most of what an experiment has run; None if its tags hold none.

    sweep: what the variants of a `--sweep` share, whose comparison comes first. Then come that of invocations, and the newest
    one of trials.
    """
    views = {tag.removeprefix(VIEW_TAG): view for tag, view in tags.items() if tag.startswith(VIEW_TAG + COMPARISON_VIEW)}
    variants = views.pop(VARIANTS_VIEW, "")
    if sweep and sweep in variants:
        return VARIANTS_VIEW
    return COMPARISON_VIEW if COMPARISON_VIEW in views else max(views, key=lambda key: updated_at(views[key]), default=None)


def _view(name: str, state: Mapping[str, Any], now: int) -> str:
    return json.dumps({"name": name, "createdAt": now, "updatedAt": now, "state": json.dumps(state)})


def _id(name: str) -> str:
    return str(uuid.uuid5(NAMESPACE, name))


# -- addresses ----------------------------------------------------------------------------------------------------------


def color_of_run(number: int) -> str:
    """Return the color in charts of the run of a number, among runs that are compared."""
    return COLORS[number % len(COLORS)]


def run_path(experiment_id: str, run_id: str) -> str:
    """Return the address of a run's page, below that of any server."""
    return f"#/experiments/{quote(experiment_id)}/runs/{quote(run_id)}?{CLASSIC}"


def start_url(base: str) -> str:
    """Return the address of the list of experiments."""
    return f"{base}/#/experiments?{CLASSIC}"


def experiment_url(base: str, experiment_id: str) -> str:
    """Return the address of an experiment's table of runs, with its columns of metrics."""
    return f"{base}/#/experiments/{quote(experiment_id)}/runs?viewStateShareKey={RESULTS_VIEW}&{CLASSIC}"


def comparison_path(experiment_id: str, key: str) -> str:
    """Return the address of a view that compares runs, opened on its charts, below that of any server."""
    return f"#/experiments/{quote(experiment_id)}/runs?viewStateShareKey={quote(key)}&compareRunsMode=CHART&{CLASSIC}"


def comparison_url(base: str, experiment_id: str, key: str) -> str:
    """Return the full address of a view that compares runs."""
    return f"{base}/{comparison_path(experiment_id, key)}"
