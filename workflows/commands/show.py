"""`cosa show RESULT` prints everything about one result."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from rich.markup import escape

from cosa.model_config import ModelConfig
from workflows.commands.naming import result_named
from workflows.records.local_database import recorded_experiments
from workflows.records.mlflow_store import DATABASE
from workflows.records.ui_address import UiAddress
from workflows.records.ui_pages import run_path
from workflows.reports.compared import Cell
from workflows.reports.compared_metrics import MetricRow, metric_rows
from workflows.reports.comparison_page import interval_text
from workflows.reports.reproducing import command_again, recorded_spec, tracking_uri
from workflows.results.inventory import Inventory, StoredResult
from workflows.results.manifest import Manifest
from workflows.results.sizes import bytes_text, size_of
from workflows.spec.secrets import Secrets, without_password
from workflows.spec.stage_kinds import recorded_section
from workflows.terminal.console import PlainConsole, print_fields, table
from workflows.terminal.reporter import duration

COPIED = ("command", "again", "spec", "MLflow")  # Where these do not fit beside their names, they stand in a line of their own.
LIST_INSIDE = 20  # Of a folder with more files, only their number is shown.


@dataclass(frozen=True)
class Part:
    """A file of a result, or all files of a folder. files: how many."""

    name: str
    files: int
    size: int


def show_result(name: str, storage: Path | None, *, as_json: bool = False) -> None:
    """Print everything about a result.

    Args:
        name: of the result, as `result_named` finds it.
        storage: folder of results; None means the usual one.
        as_json: whether to print it for programs.

    Raises:
        UsageError: nothing is called so, or several results are.
    """
    result, inventory = result_named(name, storage)
    if as_json:
        print(json.dumps(Secrets.of_process().hide_in(_plain(result, inventory)), indent=2))
        return
    console = PlainConsole()
    if console.is_terminal:
        _Shown(console, result, inventory).show()
    else:
        print_fields(_lines(result, inventory))


def _facts(result: StoredResult, manifest: Manifest, inventory: Inventory) -> Iterator[tuple[str, str]]:
    """Yield what a person wants to know of how a result was made."""
    commit = manifest.git.get("commit", "")[:10] or "of no git repository"
    dirty = " with changes" if manifest.git.get("dirty") == "yes" else ""
    yield "made", f"{manifest.started.replace('T', ' ')[:16]} in {duration(manifest.seconds)} on {manifest.host}"
    yield "code", f"{commit}{dirty}; {manifest.kind} version {manifest.kind_version}; seed {manifest.seed}"
    yield "command", manifest.command
    if again := command_again(result):
        yield "again", again
    if (spec := recorded_spec(result)) is not None:
        yield "spec", f"{spec} (as it ran; it can be run, too)"
    yield "MLflow", mlflow_address(result, inventory.root)
    yield from ((name.replace("_", " "), str(value)) for name, value in manifest.details.items() if _is_single(value))
    yield "versions", ", ".join(f"{name} {version}" for name, version in manifest.versions.items())


def _is_single(value: Any) -> bool:
    return isinstance(value, str | int | float)


def mlflow_address(result: StoredResult, root: Path) -> str:
    """Return where MLflow shows the run that made a result, and how to get there."""
    run = result.manifest.mlflow_run_id if result.manifest is not None else None
    if run is None:
        return "not recorded"
    uri = tracking_uri(recorded_spec(result))
    if uri is not None and uri.startswith("http"):
        return f"run {run} at {without_password(uri, keep_user=False)}"
    number = recorded_experiments(root / DATABASE).get(result.manifest.experiment if result.manifest is not None else "")
    if number is None:
        return f"run {run}"
    ui = UiAddress.of(root)
    return f"{ui.base}/{run_path(number, run)}{'' if ui.is_open else ' (first: cosa ui)'}"


def fields_set(manifest: Manifest) -> dict[str, Any]:
    """Return the fields of a result's section and model that are not the defaults; all of one that nobody can read any more."""
    section = recorded_section(manifest.kind, manifest.section)
    found = manifest.section if section is None else section.model_dump(mode="json", exclude_defaults=True)
    fields = {name: value for name, value in found.items() if name != "kind"}
    if manifest.model is not None:
        model: Mapping[str, Any] = manifest.model
        with suppress(ValidationError):  # An extension that is gone may have brought its family.
            model = ModelConfig.model_validate(manifest.model).model_dump(mode="json", exclude_defaults=True)
        fields["model"] = model
    return fields


def files_of(folder: Path) -> list[Part]:
    """Return the files of a result with their sizes; folders with many files as one."""
    parts = []
    for path in sorted(folder.iterdir()):
        inside = [file for file in path.rglob("*") if file.is_file()] if path.is_dir() and not path.is_symlink() else []
        if not path.is_dir() or len(inside) > LIST_INSIDE:
            parts.append(Part(path.name + ("/" if path.is_dir() else ""), max(len(inside), 1), size_of(path)))
        else:
            parts += [Part(str(file.relative_to(folder)), 1, size_of(file)) for file in sorted(inside)]
    return parts


class _Shown:
    """Prints a result for people."""

    def __init__(self, console: PlainConsole, result: StoredResult, inventory: Inventory):
        self.console, self.result, self.inventory = console, result, inventory

    def show(self) -> None:
        """Print everything."""
        result, mark = self.result, "  [green]current[/]" if self.inventory.is_current(self.result) else ""
        kind = result.manifest.kind if result.manifest is not None else ""
        self.console.print(f"[bold]{escape(result.name)}[/]  {result.fingerprint}  [dim]{escape(kind)}[/]{mark}")
        self.console.print(f"{escape(str(result.folder))}  {bytes_text(size_of(result.folder))}", soft_wrap=True)
        if result.damage:
            self.console.print(f"[red]{escape(result.damage)}[/]", soft_wrap=True)
        if result.manifest is not None:
            self._facts(result.manifest)
            self._metrics()
            self._fields(result.manifest)
            self._origin(result.manifest)
        self._files()

    def _facts(self, manifest: Manifest) -> None:
        self.console.print()
        for name, value in _facts(self.result, manifest, self.inventory):
            if name in COPIED and len(value) + 20 > self.console.width:
                self.console.print(f"  [dim]{name}[/]")
                self.console.print(f"    {escape(value)}", soft_wrap=True)
            else:
                self._line(name, escape(value))

    def _line(self, name: str, value: str) -> None:
        shown = table("", "", header=False, unbroken=("",))
        shown.columns[0].width = 18
        shown.columns[1].no_wrap = False
        shown.add_row(f"  [dim]{name}[/]", value)
        self.console.print(shown)

    def _metrics(self) -> None:
        rows = metric_rows([Cell(self.result.stage, self.result)])
        if not rows:
            return
        self.console.print("\n[bold]Metrics[/]")
        columns = [name for name in ("interval", "baseline", "published") if any(_extra(row, name) for row in rows)]
        shown = table("  metric", "value", *columns, right=("value", *columns))
        for row in rows:
            shown.add_row(f"  {escape(row.label)}", row.text(row.values[0]), *(_extra(row, name) for name in columns))
        self.console.print(shown)
        manifest = self.result.manifest
        names = (
            dict.fromkeys(manifest.baseline_names.get(name, "") for name in manifest.baselines) if manifest is not None else {}
        )
        if "baseline" in columns and any(names):
            self.console.print(f"  [dim]baseline: {escape(', '.join(filter(None, names)))}[/]")

    def _fields(self, manifest: Manifest) -> None:
        fields = dict(_dotted(fields_set(manifest)))
        if fields:
            self.console.print("\n[bold]Fields that are not the defaults[/]")
            shown = table("", "", header=False)
            for name, value in fields.items():
                shown.add_row(f"  {escape(name)}", escape(value))
            self.console.print(shown)

    def _origin(self, manifest: Manifest) -> None:
        inputs = self.inventory.inputs_of(self.result)
        users = self.inventory.users_of(self.result)
        for title, rows in (
            ("Made from", [(name, manifest.inputs[name], _where(found)) for name, found in inputs.items()]),
            ("Files of your own", [(n, digest[:16], manifest.amounts.get(n, "")) for n, digest in manifest.data.items()]),
            ("Used by", [(one.name, one.fingerprint, "") for one in users]),
        ):
            if rows:
                self.console.print(f"\n[bold]{title}[/]")
                shown = table("", "", "", header=False)
                for row in rows:
                    shown.add_row(f"  {escape(row[0])}", row[1], f"[dim]{escape(row[2])}[/]")
                self.console.print(shown)

    def _files(self) -> None:
        self.console.print("\n[bold]Files[/]")
        shown = table("", "", "", header=False)
        shown.columns[1].justify = "right"
        for part in files_of(self.result.folder):
            shown.add_row(f"  {escape(part.name)}", bytes_text(part.size), f"{part.files} files" if part.files > 1 else "")
        self.console.print(shown)


def _where(found: Sequence[StoredResult]) -> str:
    return found[0].name if found else "(gone)"


def _extra(row: MetricRow, name: str) -> str:
    return interval_text(row, row.intervals[0]) if name == "interval" else row.text(getattr(row, name))


def _dotted(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield fields by dotted names, as a spec would have their values."""
    if isinstance(value, Mapping) and value:
        for key, inside in value.items():
            yield from _dotted(inside, f"{path}.{key}" if path else str(key))
    else:
        yield path, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _plain(result: StoredResult, inventory: Inventory) -> dict[str, Any]:
    """Return everything as JSON-ready data."""
    known: dict[str, Any] = {
        "name": result.name,
        "fingerprint": result.fingerprint,
        "folder": str(result.folder),
        "current": inventory.is_current(result),
        "size": size_of(result.folder),
        "damage": result.damage,
        "files": [asdict(part) for part in files_of(result.folder)],
        "used_by": [str(one.folder) for one in inventory.users_of(result)],
    }
    if result.manifest is None:
        return known
    rows = metric_rows([Cell(result.stage, result)])
    spec = recorded_spec(result)
    return {
        **known,
        "again": command_again(result),
        "spec": None if spec is None else str(spec),
        "mlflow": mlflow_address(result, inventory.root),
        "fields_set": fields_set(result.manifest),
        "intervals": {row.name: asdict(interval) for row in rows if (interval := row.intervals[0]) is not None},
        "published": {row.name: row.published for row in rows if row.published is not None},
        "made_from": {name: [str(one.folder) for one in found] for name, found in inventory.inputs_of(result).items()},
        "manifest": asdict(result.manifest),
    }


def _lines(result: StoredResult, inventory: Inventory) -> Iterator[tuple[str, ...]]:
    """Yield lines for other programs: what part of the result, a name, and values."""
    yield "result", result.name, result.fingerprint, str(result.folder), str(size_of(result.folder))
    yield "current", "yes" if inventory.is_current(result) else "no"
    if result.damage:
        yield "damage", result.damage
    manifest = result.manifest
    if manifest is not None:
        yield from (("fact", *fact) for fact in _facts(result, manifest, inventory))
        for row in metric_rows([Cell(result.stage, result)]):
            extra = (*([repr(row.baseline)] if row.baseline is not None else [""]), _extra(row, "interval"))
            yield "metric", row.name, repr(row.values[0]), *extra
        yield from (("field", *field) for field in _dotted(fields_set(manifest)))
        for name, found in inventory.inputs_of(result).items():
            yield "made from", name, manifest.inputs[name], str(found[0].folder) if found else ""
        yield from (("data", name, digest, manifest.amounts.get(name, "")) for name, digest in manifest.data.items())
    yield from (("used by", one.name, one.fingerprint, str(one.folder)) for one in inventory.users_of(result))
    yield from (("file", part.name, str(part.size), str(part.files)) for part in files_of(result.folder))
