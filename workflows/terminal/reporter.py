"""Prints what a person sees in the terminal: one live line per stage, and tables. It decides nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from cosa.evaluation.metric import Metric
from cosa.message_text import as_written
from cosa.tasks.all_tasks import label_of
from workflows.planning.drawing import tree
from workflows.planning.plan import Plan
from workflows.terminal.console import PlainConsole, table
from workflows.terminal.plain_text import printable

SYMBOLS = {
    "run": "[yellow]run[/]", "skip": "[green]skip[/]", "blocked": "[red]blocked[/]", "left out": "[dim]left out[/]",
}  # fmt: skip
CHANGES_SHOWN = 6  # A plan shows at most this many changes of a stage; `plan --json` has all.
SECONDS_BETWEEN_READINGS = 5.0  # While media are read before a plan, a line says this often how far it is.
STARTING = "starting"  # how the activities begin in which Ray and workers start
LONG_START_SECONDS = 5.0  # From here on a finished stage says how much of its time that was.
SECONDS_BETWEEN_LINES = 30.0  # A running stage prints a line this often where there is no terminal for a live line.


def duration(seconds: float) -> str:
    """Write a duration as 3.2 s, 2 m 05 s or 1 h 02 m."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} m {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} m"


def rate(samples_per_second: float) -> str:
    """Write a speed with two digits, or with all before the point: 0.35, 4.2 or 128 samples/s."""
    return f"{samples_per_second:.0f} samples/s" if samples_per_second >= 10 else f"{samples_per_second:.2g} samples/s"


def _as_in_yaml(value: Any) -> str:
    """Write a value of a field as in a spec: null and true, not None and True."""
    return value if isinstance(value, str) else as_written(value)


class StageLine:
    """The live line of one stage. It shows what the stage does, how far it is, how fast, and how long it will take.

    width: characters that the name is padded to. log: prints the line now and then where there is no terminal.
    starting_seconds: how long Ray and the workers took to start so far.
    """

    def __init__(self, name: str, width: int, log: Callable[[Text], None] | None = None):
        self.name, self.width, self.log = name, width, log
        self.logged = time.monotonic()
        self.started = time.monotonic()
        self.activity, self._activity_since = STARTING, self.started
        self.starting_seconds = 0.0
        self.done = self.total = 0
        self.figures: dict[str, float] = {}
        self.figures_of = ""
        self._since = (self.started, 0)  # when what is being counted began, and with how much of it done
        self._ends: float | None = None  # as estimated when something was done last: until then it only comes nearer

    def update(
        self, activity: str, done: int = 0, total: int = 0, figures: Mapping[str, float] | None = None, figures_of: str = ""
    ) -> None:
        """Show what the stage is doing now. figures_of: names what the figures are of, if not of the stage."""
        now = time.monotonic()
        if activity != self.activity:
            self._changed(now)
        if not self.total or done < self.done:
            self._since, self._ends = (now, done), None
        since, first = self._since
        if total and done > first and (done, total) != (self.done, self.total):
            self._ends = now + (now - since) / (done - first) * (total - done)
        self.activity, self.done, self.total = activity, done, total
        self.figures, self.figures_of = dict(figures or {}), figures_of
        self._log_if_due(now)

    def _changed(self, now: float) -> None:
        """Take down that an activity has ended. What took long is logged, not what comes after it."""
        self._log_if_due(now)
        if self.activity.startswith(STARTING):
            self.starting_seconds += now - self._activity_since
        self._activity_since = now

    def _log_if_due(self, now: float) -> None:
        if self.log is not None and now - self.logged > SECONDS_BETWEEN_LINES:
            self.logged = now
            self.log(self.__rich__())

    def __rich__(self) -> Text:
        activity = printable(self.activity)
        parts = [f"{activity} {self.done}/{self.total}" if self.total else activity]
        if "loss" in self.figures:
            whose = f"{printable(self.figures_of)}: " if self.figures_of else ""
            parts.append(f"{whose}loss {self.figures['loss']:.3f}")
        if "samples_per_second" in self.figures:
            parts.append(rate(self.figures["samples_per_second"]))
        left = self._ends - time.monotonic() if self.total and self._ends is not None else 0.0
        if left > 0:  # An estimate that has passed says nothing until there is a new one.
            parts.append(f"{duration(left)} left")
        line = Text(f"  {self.name:<{self.width}}  ", style="bold")
        line.append("… ", style="yellow")
        line.append("  ".join(parts), style="not bold")
        line.append(f"  ({duration(time.monotonic() - self.started)})", style="not bold dim")
        return line


class Reporter:
    """Prints a run. On a terminal the running stage is a live line; in a file it is a line now and then."""

    def __init__(self, console: PlainConsole | None = None):
        self.console = console or PlainConsole()
        self._log: PlainConsole | None = None
        self._read_since: float | None = None

    @contextmanager
    def on(self, file: TextIO, log: TextIO | None = None) -> Iterator[None]:
        """Print to another file for a while, and to a log all but live lines."""
        before = self.console
        self.console, self._log = PlainConsole(file), None if log is None else PlainConsole(log, force_terminal=False)
        try:
            yield
        finally:
            self.console, self._log = before, None

    def _show(self, shown: Any = "", *, soft_wrap: bool = False) -> None:
        """Print something."""
        self.console.print(shown, soft_wrap=soft_wrap)
        self._note(shown)

    def _note(self, shown: Any) -> None:
        """Write something into the log only."""
        if self._log is not None:
            with suppress(OSError):  # Its disk may be full, which must not end the run.
                self._log.print(shown, soft_wrap=True)

    def plan(self, plan: Plan, notes: Iterable[str] = ()) -> None:
        """Print the plan as a tree in a table: stage, kind, run or skip, why, and the fields that changed; then notes."""
        shown = table("  stage", "kind", "", "why")
        for branches, step in tree(plan):
            shown.add_row(f"  [dim]{branches}[/]{step.name}", step.kind, SYMBOLS[step.action], escape(step.reason))
            further = step.changes[1:] if step.action == "run" else ()
            for change in further[: CHANGES_SHOWN - 1]:
                shown.add_row("", "", "", f"[dim]{escape(change)}[/]")
            if len(further) >= CHANGES_SHOWN:
                shown.add_row("", "", "", f"[dim]and {len(further) - CHANGES_SHOWN + 1} more: see plan --json[/]")
            if step.reuses:
                shown.add_row("", "", "", f"[dim]{escape(step.reuses)}[/]")
        self._show(f"[bold]{plan.experiment.name}[/]  ({escape(str(plan.experiment.file))})", soft_wrap=True)
        self._show(shown)
        for warning in (*plan.experiment.warnings, *notes):
            self.print(f"[yellow]note:[/] {escape(warning)}")
        for line in plan.missing:
            self.print(f"[red]missing:[/] {escape(line)}")

    def reading(self, folder: Path, done: int, total: int) -> None:
        """Print every few seconds how many bytes of a folder of media have been read, apart from what programs parse."""
        if self._read_since is None:
            self._read_since = time.monotonic()
        if time.monotonic() - self._read_since > SECONDS_BETWEEN_READINGS:
            self._read_since = time.monotonic()
            text = f"reading {folder} once, to know when it changes: {done / 1e9:.1f} of {total / 1e9:.1f} GB"
            PlainConsole(stderr=True).print(escape(text), soft_wrap=True)

    def print(self, text: str) -> None:
        """Print a line in rich's markup. Text that comes from elsewhere must be escaped.

        A terminal breaks it between words, but one with a longer address where it likes: then the address can be copied.
        """
        longest = max(map(len, Text.from_markup(text).plain.split()), default=0)
        self._show(text, soft_wrap=not self.console.is_terminal or longest > self.console.width)

    def warn(self, text: str) -> None:
        """Print a line that should not be overlooked."""
        self.print(f"[yellow]warning:[/] {escape(text)}")

    @contextmanager
    def stage(self, name: str, width: int) -> Iterator[StageLine]:
        """Show the live line while a stage runs."""
        is_live = self.console.is_terminal and not self.console.is_dumb_terminal
        line = StageLine(name, width, None if is_live else self._print_line)
        if is_live:
            # Other output goes to the log, where rich would bring it back to the terminal.
            with Live(
                line,
                console=self.console,
                refresh_per_second=4,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            ):
                yield line
        else:
            yield line

    def _print_line(self, line: Text) -> None:
        self._show(line, soft_wrap=True)

    def finished(self, name: str, width: int, seconds: float, summary: str, starting_seconds: float = 0.0) -> None:
        """Print a finished stage. starting_seconds: of `StageLine`."""
        start = f", {duration(starting_seconds)} of it to start" if starting_seconds >= LONG_START_SECONDS else ""
        self._stage_line(name, width, f"[green]✓[/] {escape(summary)}", f"[dim]({duration(seconds)}{start})[/]")

    def skipped(self, name: str, width: int, reason: str) -> None:
        """Print a skipped stage."""
        self._stage_line(name, width, f"[green]=[/] [dim]{escape(reason)}[/]")

    def failed(self, name: str, width: int, seconds: float) -> None:
        """Print a failed stage."""
        self._stage_line(name, width, "[red]✗ failed[/]", f"[dim]({duration(seconds)})[/]")

    def _stage_line(self, name: str, width: int, what: str, took: str = "") -> None:
        """Print a line about a stage. Where a terminal is too narrow, `what` continues in the next line, below itself."""
        cells = [f"  [bold]{name:<{width}}[/]", what, *([took] if took else [])]
        if not self.console.is_terminal:
            self._show("  ".join(cells), soft_wrap=True)
            return
        self._note("  ".join(cells))
        line = Table.grid(padding=(0, 2))
        for cell in cells:
            line.add_column(no_wrap=cell != what, overflow="fold")
        line.add_row(*cells)
        self.console.print(line)

    def trials(self, fields: Sequence[str], metric: Metric, rows: Iterable[Mapping[str, Any]]) -> None:
        """Print the trials of a sweep, the best first: values of the swept fields, the best deciding metric, and its step."""
        numbers = [*map(escape, fields), escape(metric.label or metric.name), "at step"]
        shown = table("  trial", *numbers, "", right=numbers)
        for row in rows:
            reached = row.get(metric.name)
            figures = ["", ""] if reached is None else [metric.format(reached), f"{row['step']}/{row['steps']}"]
            shown.add_row(
                f"  {escape(row['trial'])}", *(escape(_as_in_yaml(row[name])) for name in fields), *figures, row["state"]
            )
        self._show(shown)

    def comparison(self, variants: Sequence[str], rows: Iterable[tuple[str, str, Sequence[float | None]]]) -> None:
        """Print metrics of several variants side by side. rows: stage, metric, and a value (or None) for each variant."""
        names = list(map(escape, variants))
        shown, previous = table("  stage", "metric", *names, right=names), None
        for stage, metric, values in rows:
            figures = ["" if value is None else f"{value:.1f}" for value in values]
            shown.add_row(f"  {stage}" if stage != previous else "", metric, *figures)
            previous = stage
        self._show()
        self._show(shown)

    def metrics(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Print final metrics beside their baselines. rows: with stage, metric, value, baseline, baseline_name, published."""
        rows = list(rows)
        if not rows:
            return
        published = any(row.get("published") is not None for row in rows)
        numbers = ("value", "baseline", "published")
        shown = table("  stage", "metric", "value", "baseline", "", *(("published",) if published else ()), right=numbers)
        previous = None
        for row in rows:
            baseline = row.get("baseline")
            cells = [
                f"  {row['stage']}" if row["stage"] != previous else "",
                label_of(row["metric"]),
                f"[bold]{row['value']:.1f}[/]",
                "" if baseline is None else f"{baseline:.1f}",
                f"[dim]{row.get('baseline_name') or ''}[/]",
            ]
            if published:
                cells.append("" if row.get("published") is None else f"{row['published']:.1f}")
            shown.add_row(*cells)
            previous = row["stage"]
        self._show()
        self._show(shown)
