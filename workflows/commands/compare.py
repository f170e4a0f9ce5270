"""`cosa compare A B...` shows what differs between results in spec, data, code and metrics, side by side."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from string import ascii_uppercase

from rich.markup import escape

from cosa.errors import UserError
from workflows.commands.naming import Named, results_named
from workflows.reports.compared import Column
from workflows.reports.compared_metrics import MetricRow
from workflows.reports.comparison import Comparison, StageComparison, compare, plain
from workflows.reports.comparison_page import comparison_page, difference_text, interval_text, p_text
from workflows.results.atomic import write_atomically
from workflows.spec.problems import UsageError
from workflows.spec.secrets import Secrets
from workflows.terminal.console import PlainConsole, print_fields, table

MOST_COLUMNS = len(ascii_uppercase)


def show_comparison(names: Sequence[str], storage: Path | None, *, as_json: bool = False, html: Path | None = None) -> None:
    """Print a comparison, or write it as a page.

    Args:
        names: of experiments, stages, results or specs. One name alone means all results of its stage.
        storage: folder of results; None means the usual one, and of specs their own.
        as_json: whether to print everything, for programs.
        html: file of the page; None prints instead.

    Raises:
        UsageError: a name means nothing, or there are too few or too many.
        UserError: the results have no stage in common.
    """
    columns = _columns([results_named(name, storage) for name in names])
    if len(columns) < 2:
        raise UsageError(f"{names[0]} is one result; name what to compare it with")
    if len(columns) > MOST_COLUMNS:
        raise UsageError(f"{len(columns)} results are too many for one table; name at most {MOST_COLUMNS}")
    comparison = compare(columns)
    if not any(cell is not None and cell.result is not None for stage in comparison.stages for cell in stage.cells):
        raise UserError(f"{' and '.join(names)} have no results yet; run their specs first")
    if html is not None:
        write_page(html, comparison_page(comparison))
    if as_json:
        print(json.dumps(Secrets.of_process().hide_in(plain(comparison)), indent=2))
    elif html is None:
        console = PlainConsole()
        if console.is_terminal:
            _show(console, comparison)
        else:
            print_fields(_lines(comparison))


def write_page(file: Path, content: str) -> None:
    """Write an HTML page, and say where it is.

    Raises:
        UserError: there is no such folder.
    """
    if file.is_dir() or not file.absolute().parent.is_dir():
        raise UserError(f"{file} cannot be written: expected a file in a folder that exists, such as report.html")
    write_atomically(file, content)
    PlainConsole(stderr=True).print(f"wrote {escape(str(file))} ({len(content.encode()) / 1000:.0f} kB)", soft_wrap=True)


def _columns(named: Sequence[Named]) -> list[Column]:
    """Return the columns of a comparison; a single name of a stage stands for all of its results."""
    if len(named) == 1 and named[0].is_single:
        [one] = named
        found = [*one.results.values(), *one.others]
        return [
            Column(f"{result.name} {result.fingerprint}", one.text, one.inventory, {result.stage: result}, is_single=True)
            for result in found
        ]
    columns = [Column(one.text, one.text, one.inventory, one.results, one.steps, one.absent, one.is_single) for one in named]
    labels = [column.label for column in columns]
    return [
        replace(column, label=f"{column.label} ({labels[: place + 1].count(column.label)})")
        if labels.count(column.label) > 1
        else column
        for place, column in enumerate(columns)
    ]


def _show(console: PlainConsole, comparison: Comparison) -> None:
    """Print a comparison for people; letters stand for the columns, whose names may be long."""
    letters = ascii_uppercase[: len(comparison.columns)]
    for letter, column in zip(letters, comparison.columns, strict=True):
        only = [result.fingerprint for result in column.results.values()] if column.is_single else []
        known = [fingerprint for fingerprint in only if fingerprint not in column.label]
        console.print(f"[bold]{letter}[/]  {escape(column.label)}" + (f"  [dim]{known[0]}[/]" if known else ""))
    same = [stage.stage for stage in comparison.stages if stage.is_same]
    if same:
        console.print(f"\nthe same results: {escape(', '.join(same))}")
    for stage in comparison.stages:
        if not stage.is_same:
            console.print(f"\n[bold]{escape(stage.stage)}[/]  [dim]{escape(stage.kind)}[/]")
            _show_metrics(console, stage, letters)
            _show_rest(console, stage, letters)


def _show_metrics(console: PlainConsole, stage: StageComparison, letters: str) -> None:
    """Print metrics, the best with a star, and the tests."""
    has_baseline = any(row.baseline is not None for row in stage.metrics)
    has_published = any(row.published is not None for row in stage.metrics)
    titles = [*letters, *(["baseline"] if has_baseline else []), *(["published"] if has_published else [])]
    if stage.metrics:
        shown = table("", "metric", *titles, right=titles)
        for row in stage.metrics:
            cells = [_figure(row, place) for place in range(len(letters))]
            cells += [row.text(row.baseline)] if has_baseline else []
            cells += [row.text(row.published)] if has_published else []
            shown.add_row("", escape(row.label), *cells)
        console.print(shown)
        if any(row.best for row in stage.metrics):
            has_interval = any(interval is not None for row in stage.metrics for interval in row.intervals)
            console.print(f"  [dim]* the best{'; in parentheses 95 % intervals over samples' if has_interval else ''}[/]")
    if stage.tests:
        numbers = ("difference", "95 % interval", "p", "samples")
        shown = table("", "paired test", "", *numbers, right=numbers)
        for test in stage.tests:
            found = test.found
            interval = f"{difference_text(test, found.low)} to {difference_text(test, found.high)}"
            colour = {True: "[green]", False: "[red]", None: "[default]"}[test.is_better]
            difference = f"{colour}{difference_text(test, found.difference)}[/]"
            shown.add_row(
                "",
                escape(test.label),
                f"{letters[test.column]} - {letters[0]}",
                difference,
                interval,
                p_text(found.p),
                str(found.samples),
            )
        console.print(shown)


def _figure(row: MetricRow, place: int) -> str:
    """Return a value with its interval below it, in rich's markup."""
    value = row.text(row.values[place])
    mark = "[bold]*[/]" if place in row.best else ""
    interval = interval_text(row, row.intervals[place])
    return f"{mark}{value}" + (f"\n[dim]{interval}[/]" if interval else "")


def _show_rest(console: PlainConsole, stage: StageComparison, letters: str) -> None:
    """Print fields, data and code that differ, and notes."""
    for decides, title in ((True, "field"), (False, "no effect by itself")):
        rows = [row for row in stage.fields if row.decides == decides]
        if rows:
            shown = table("", title, *letters)
            for row in rows:
                shown.add_row("", escape(row.name), *map(escape, row.shown))
            console.print(shown)
    differing = [row for row in stage.data if row.differs]
    if differing:
        shown = table("", "data", *letters)
        for one in differing:
            shown.add_row("", escape(one.name), *map(escape, one.shown))
        console.print(shown)
    if stage.code:
        shown = table("", "code", *letters)
        for fact in stage.code:
            shown.add_row("", escape(fact.name), *map(escape, fact.shown))
        console.print(shown)
    for line in (*stage.data_changes, *stage.notes):
        console.print(f"  [yellow]note:[/] {escape(line)}")


def _lines(comparison: Comparison) -> Iterator[tuple[str, ...]]:
    """Yield lines for other programs: stage, part, name, and a value for each column."""
    yield ("stage", "part", "name", *(column.label for column in comparison.columns))
    for stage in comparison.stages:
        folders = [str(cell.result.folder) if cell is not None and cell.result is not None else "" for cell in stage.cells]
        yield (stage.stage, "result", "folder", *folders)
        for row in stage.metrics:
            yield (stage.stage, "metric", row.name, *("" if value is None else repr(value) for value in row.values))
            if any(row.intervals):
                bounds = ("" if one is None else f"{one.low!r} {one.high!r}" for one in row.intervals)
                yield (stage.stage, "interval", row.name, *bounds)
            if row.best:
                yield (stage.stage, "best", row.name, *("best" if n in row.best else "" for n in range(len(row.values))))
            for part, value in (("baseline", row.baseline), ("published", row.published)):
                if value is not None:
                    yield (stage.stage, part, row.name, repr(value))
        for test in stage.tests:
            found = test.found
            figures = (
                f"difference {found.difference!r}",
                f"{found.low!r} {found.high!r}",
                f"p {found.p!r}",
                f"{found.samples} samples",
            )
            yield (stage.stage, "test", test.name, comparison.columns[test.column].label, *figures)
        yield from ((stage.stage, "field", field.name, *field.shown) for field in stage.fields)
        yield from ((stage.stage, "data", data.name, *data.shown) for data in stage.data)
        yield from ((stage.stage, "code", fact.name, *fact.shown) for fact in stage.code)
        yield from ((stage.stage, "note", line) for line in (*stage.data_changes, *stage.notes))
