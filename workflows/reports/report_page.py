"""Writes the report of an experiment as one HTML page that needs no network."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from workflows.reports.comparison_page import interval_text
from workflows.reports.experiment_report import ExperimentReport, StageReport
from workflows.reports.page import Markup, element, html_table, joined, page, picture
from workflows.reports.svg_chart import WIDTH, draw_chart
from workflows.reports.svg_graph import draw_graph
from workflows.results.sizes import bytes_text
from workflows.terminal.reporter import duration

LARGEST_GALLERY = 8_000_000  # bytes of a page of predictions that is put into the report; to a larger one it has a link


def report_page(report: ExperimentReport, folder: Path) -> str:
    """Return the page. folder: where it will be, from which links lead to what is not in it."""
    made, total = report.made, len(report.stages)
    head = [element("h1", report.name)]
    if report.description:
        head.append(element("p", report.description))
    times = [stage.result.started for stage in made if stage.result is not None]
    started = _when(report) if times else "nothing has run yet"
    head.append(element("p", f"{len(made)} of {total} stages have results; {started}", kind="dim"))
    head += [element("p", note, kind="bad") for note in report.notes]
    content = [
        *head,
        element("h2", "Results"),
        *_results(report),
        element("h2", "Stages"),
        element("div", draw_graph(report.nodes), kind="wide"),
        *_section("Training", _curves(report)),
        *_section("Predictions", _predictions(report, folder)),
        *_section("Cost", _cost(report)),
        *_section("Make it again", _commands(report)),
    ]
    return page(f"{report.name}: report", *content)


def _section(title: str, content: Iterator[Markup]) -> list[Markup]:
    """Return a section with its heading; nothing if it is empty."""
    parts = list(content)
    return [element("h2", title), *parts] if parts else []


def _when(report: ExperimentReport) -> str:
    manifests = [
        stage.result.manifest for stage in report.made if stage.result is not None and stage.result.manifest is not None
    ]
    times = sorted(manifest.started for manifest in manifests if manifest.started)
    seeds = sorted({manifest.seed for manifest in manifests if manifest.seed})
    text = f"the last one of {times[-1].replace('T', ' ')[:16]} UTC" if times else ""
    return ", ".join(filter(None, (text, f"seed {', '.join(map(str, seeds))}" if seeds else "")))


def _results(report: ExperimentReport) -> Iterator[Markup]:
    """Yield the metrics of evaluations beside what they are compared with."""
    rows: list[list[object]] = []
    evaluated = [stage for stage in report.made if stage.is_evaluation]
    has_published = any(row.published is not None for stage in evaluated for row in stage.metrics)
    for stage in evaluated:
        for number, row in enumerate(stage.metrics):
            interval = element("span", interval_text(row, row.intervals[0]), kind="dim")
            cells = [stage.name if number == 0 else "", row.label, row.text(row.values[0]), interval, row.text(row.baseline)]
            rows.append([*cells, _baseline_name(stage, row.name), *([row.text(row.published)] if has_published else [])])
    titles = ["stage", "metric", "value", "95 % interval", "baseline", "", *(["published"] if has_published else [])]
    if rows:
        yield html_table(titles, rows, (2, 3, 4, 6))
        yield from (element("p", f"{stage.name} on {stage.on}", kind="dim") for stage in evaluated if stage.on)
        if not any(interval is not None for stage in evaluated for row in stage.metrics for interval in row.intervals):
            yield element("p", "No intervals: the evaluations have no scores of single samples.", kind="dim")
    else:
        yield element("p", "No evaluation has a result yet.")


def _baseline_name(stage: StageReport, metric: str) -> Markup:
    names = stage.result.manifest.baseline_names if stage.result is not None and stage.result.manifest is not None else {}
    return element("span", names.get(metric, ""), kind="dim")


def _curves(report: ExperimentReport) -> Iterator[Markup]:
    for stage in report.made:
        drawn = [element("figure", chart) for one in stage.charts if (chart := draw_chart(one.title, one.lines))]
        drawn += [picture(path, f"{stage.name}: {path.stem}", WIDTH) for path in stage.training_pictures]
        if drawn:
            yield element("h3", stage.name, " ", element("span", stage.headline, kind="dim"))
            yield element("div", *drawn)


def _predictions(report: ExperimentReport, folder: Path) -> Iterator[Markup]:
    for stage in report.made:
        parts = [*(_gallery(path, folder) for path in stage.galleries)]
        if not parts:  # An older version made no gallery.
            parts += [picture(path, f"{stage.name}: {path.stem.replace('-', ' ')}") for path in stage.pictures]
            parts += [element("ul", *(element("li", line) for line in stage.examples))] if stage.examples else []
        if parts:
            yield element("h3", stage.name)
            yield from parts


def _gallery(path: Path, folder: Path) -> Markup:
    """Return a page of predictions inside of a frame, where it cannot reach the rest, or a link to a large one."""
    if path.stat().st_size > LARGEST_GALLERY:
        link = element("a", path.name, href=Path(os.path.relpath(path.absolute(), folder.absolute())).as_posix())
        return element("p", link, f" ({bytes_text(path.stat().st_size)}, not part of this page)")
    inside = path.read_text(encoding="utf-8", errors="replace")
    frame = element("iframe", srcdoc=inside, sandbox="allow-scripts", loading="lazy", title=path.name)
    return element("details", element("summary", path.name), frame)


def _cost(report: ExperimentReport) -> Iterator[Markup]:
    rows: list[list[object]] = []
    costs = [(stage, stage.cost) for stage in report.made if stage.cost is not None]
    for stage, cost in costs:
        samples = "" if cost.samples is None else f"{cost.samples:,}"
        figures = [duration(cost.seconds), cost.workers, f"{cost.device_hours:.3f}", samples, bytes_text(stage.size)]
        rows.append([stage.name, stage.kind, *figures])
    if rows:
        hours, samples_seen = sum(cost.device_hours for _, cost in costs), sum(cost.samples or 0 for _, cost in costs)
        seconds, size = sum(cost.seconds for _, cost in costs), sum(stage.size for stage, _ in costs)
        total = ["all", "", duration(seconds), "", f"{hours:.3f}", f"{samples_seen:,}", bytes_text(size)]
        titles = ["stage", "kind", "time", "workers", "device-hours", "samples trained on", "size"]
        yield html_table(titles, [*rows, [element("b", cell) for cell in total]], range(2, 7))
        yield element(
            "p",
            "Device-hours are the time of all workers, each of which has one GPU, or a share of the processors; of a sweep, "
            "that of its trials. Results that another experiment made count here, too.",
            kind="dim",
        )


def _commands(report: ExperimentReport) -> Iterator[Markup]:
    if report.commits:
        yield element("p", "Code: ", element("code", ", ".join(report.commits)))
    if report.commands:
        yield element("pre", "\n".join(report.commands))
    if report.again:
        rows = ([name, element("code", command)] for name, command in report.again.items())
        yield element("details", element("summary", "A single stage"), html_table(["stage", "command"], rows))
    if report.spec is not None and report.spec.is_file():
        text = report.spec.read_text(encoding="utf-8", errors="replace")
        summary = f"The spec as it ran, with all fields ({report.spec})"
        yield element("details", element("summary", summary), element("pre", joined([text])))
