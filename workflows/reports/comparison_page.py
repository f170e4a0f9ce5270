"""Writes a comparison as an HTML page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from string import ascii_uppercase

from workflows.reports.compared_metrics import MetricRow, PairedRow
from workflows.reports.comparison import Comparison, StageComparison
from workflows.reports.page import Markup, element, html_table, joined, page
from workflows.reports.sample_scores import Interval


def comparison_page(comparison: Comparison) -> str:
    """Return the page."""
    labels = list(ascii_uppercase[: len(comparison.columns)])  # They stand for the columns, whose names may be long.
    title = f"Comparison: {', '.join(column.label for column in comparison.columns)}"
    same = [stage.stage for stage in comparison.stages if stage.is_same]
    names = ([letter, column.label] for letter, column in zip(labels, comparison.columns, strict=True))
    content = [element("h1", "Comparison"), html_table(["", ""], names)]
    if same:
        content.append(element("p", f"The same results: {', '.join(same)}"))
    for stage in comparison.stages:
        if not stage.is_same:
            content += [element("h2", stage.stage, " ", element("span", stage.kind, kind="dim")), *_stage(stage, labels)]
    return page(title, *content)


def _stage(stage: StageComparison, labels: Sequence[str]) -> Iterator[Markup]:
    numbers = range(1, len(labels) + 3)
    yield html_table(
        ["", *labels],
        [
            [
                "fingerprint",
                *(cell.result.fingerprint if cell is not None and cell.result is not None else "" for cell in stage.cells),
            ]
        ],
    )
    yield from (element("p", note, kind="bad") for note in stage.notes)
    if stage.metrics:
        extra = [name for name in ("baseline", "published") if any(getattr(row, name) is not None for row in stage.metrics)]
        yield element("h3", "Metrics")
        yield html_table(["metric", *labels, *extra], (_metric_cells(row, extra) for row in stage.metrics), numbers)
        if any(interval is not None for row in stage.metrics for interval in row.intervals):
            yield element("p", "In parentheses: 95 % intervals over samples (bootstrap, clips are drawn).", kind="dim")
    if stage.tests:
        yield element("h3", "Paired tests on the same samples")
        yield html_table(
            ["metric", "", "difference", "95 % interval", "p", "samples"],
            (_test_cells(row, labels) for row in stage.tests),
            (2, 3, 4, 5),
        )
    for decides, heading in ((True, "Fields that differ"), (False, "Fields that differ and have no effect by themselves")):
        rows = [row for row in stage.fields if row.decides == decides]
        if rows:
            yield element("h3", heading)
            yield html_table(["field", *labels], ([row.name, *row.shown] for row in rows))
    differing = [row for row in stage.data if row.differs]
    if differing or stage.data_changes:
        yield element("h3", "Data that differ")
        yield html_table(["data", *labels], ([row.name, *row.shown] for row in differing))
        yield from (element("p", line) for line in stage.data_changes)
    yield element("h3", "Code, machine and cost")
    yield html_table(["", *labels], ([row.name, *row.shown] for row in stage.code))


def _metric_cells(row: MetricRow, extra: Sequence[str]) -> list[object]:
    cells: list[object] = [row.label]
    for place, (value, interval) in enumerate(zip(row.values, row.intervals, strict=True)):
        shown = element("span", row.text(value), kind="best" if place in row.best else "")
        cells.append(joined((shown, " ", element("span", interval_text(row, interval), kind="dim"))))
    return [*cells, *(row.text(getattr(row, name)) for name in extra)]


def interval_text(row: MetricRow, interval: Interval | None) -> str:
    """Write an interval; nothing for None."""
    return "" if interval is None else f"({row.text(interval.low)} to {row.text(interval.high)})"


def _test_cells(row: PairedRow, labels: Sequence[str]) -> list[object]:
    found, write = row.found, difference_text
    kind = {True: "best", False: "bad", None: ""}[row.is_better]
    interval = f"{write(row, found.low)} to {write(row, found.high)}"
    difference = element("span", write(row, found.difference), kind=kind)
    return [row.label, f"{labels[row.column]} - {labels[0]}", difference, interval, p_text(found.p), found.samples]


def difference_text(row: PairedRow, value: float) -> str:
    """Write a difference with its sign."""
    digits = row.metric.digits if row.metric is not None else 3
    return f"{value:+.{digits}f}"


def p_text(p: float) -> str:
    """Write a p value with as many digits as mean something."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"
