"""`cosa list` shows specs with a line about each, converters, and results: for people, for other programs, or as JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.padding import Padding

from cosa.datasets.converters import CONVERTERS
from cosa.regular_files import read_regular
from workflows.planning.telling_apart import telling_apart
from workflows.records.headline import headline
from workflows.results.manifest import Manifest, read_manifest
from workflows.results.storage import Storage, complete
from workflows.spec.fragments import is_fragment
from workflows.spec.problems import UsageError, did_you_mean
from workflows.spec.secrets import Secrets
from workflows.spec.stage_kinds import kind_of, recorded_section
from workflows.terminal.console import PlainConsole, table
from workflows.terminal.plain_text import printable
from workflows.terminal.reporter import duration


@dataclass(frozen=True)
class ListedResult:
    """A result.

    started: an ISO 8601 time with its zone. headline: its main metrics, for people. differs: by which fields, or what it read,
    from other results of its stage. damage: what is wrong with it.
    """

    experiment: str
    stage: str
    folder: str
    kind: str = ""
    started: str = ""
    seconds: float = 0.0
    headline: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    differs: str = ""
    damage: str = ""

    @property
    def minute(self) -> str:
        """When it was started, to the minute."""
        return self.started.replace("T", " ")[:16]


PARTS = ("results", "specs", "converters")


def show_listing(experiments: Path, storage: Path, *, only: str | None = None, as_json: bool = False) -> None:
    """Print the results in a storage folder, specs below a folder, and converters; or only one of these.

    In a file or a pipe each is a line of fields that tabs separate: what it is (result, spec or converter), its name, and more.

    Raises:
        UsageError: `only` is none of these.
    """
    if only is not None and only not in PARTS:
        raise UsageError(f"list {only}: expected one of {', '.join(PARTS)}{did_you_mean(only, PARTS)}")
    parts = PARTS if only is None else (only,)
    files = sorted(experiments.rglob("*.yaml")) if "specs" in parts else []
    specs = [(str(path), header_of(path)) for path in files if not is_fragment(path)]
    known = CONVERTERS.items() if "converters" in parts else ()
    converters = [(name, converter.description) for name, converter in known]
    results = list(listed_results(storage)) if "results" in parts else []
    console = PlainConsole()
    if as_json:
        found = _as_json(specs, converters, results)
        print(json.dumps({name: found[name] for name in found if name in parts}, indent=2))
    elif console.is_terminal:
        if "results" in parts:
            _show_results(console, storage, results)
        if "specs" in parts:
            _show_specs(console, experiments, specs)
        if "converters" in parts:
            _show_converters(console, converters)
    else:
        for line in _lines(specs, converters, results):
            print("\t".join(printable(Secrets.of_process().hide(part)).replace("\t", " ") for part in line))


def _as_json(
    specs: Sequence[tuple[str, str]], converters: Sequence[tuple[str, str]], results: Sequence[ListedResult]
) -> dict[str, Any]:
    return {
        "specs": [{"spec": path, "about": about} for path, about in specs],
        "converters": [{"converter": name, "about": about} for name, about in converters],
        "results": [asdict(result) for result in results],
    }


def _lines(
    specs: Sequence[tuple[str, str]], converters: Sequence[tuple[str, str]], results: Sequence[ListedResult]
) -> Iterator[tuple[str, ...]]:
    for one in results:
        yield (
            "result", one.folder, one.experiment, one.stage, one.kind, one.minute, f"{one.seconds:g}", one.headline,
            one.differs, one.damage,
        )  # fmt: skip
    yield from (("spec", *spec) for spec in specs)
    yield from (("converter", *converter) for converter in converters)


def _show_results(console: PlainConsole, storage: Path, results: Sequence[ListedResult]) -> None:
    console.print(f"[bold]Results[/] in {escape(str(storage))}")
    for one in results:
        what = f"[red]{escape(one.damage)}[/]" if one.damage else escape(one.headline)
        took = f"  {duration(one.seconds)}" if one.seconds else ""
        console.print(Padding.indent(f"[bold]{escape(one.experiment)}/{escape(one.stage)}[/]  {one.minute}{took}  {what}", 2))
        console.print(Padding.indent(f"[dim]{escape(Path(one.folder).name)}[/]  {escape(one.differs)}", 6))
    if not results:
        console.print("  none yet")
    console.print()


def _show_specs(console: PlainConsole, experiments: Path, specs: Sequence[tuple[str, str]]) -> None:
    console.print("[bold]Specs[/]")
    shown = table("  spec", "purpose", unbroken=("  spec",))
    for path, about in specs:
        shown.add_row(f"  {escape(path)}", escape(about))
    console.print(shown if specs else f"  none in {escape(str(experiments.absolute()))}; `cosa init` copies one to start from")
    console.print()


def _show_converters(console: PlainConsole, converters: Sequence[tuple[str, str]]) -> None:
    console.print("[bold]Converters[/] (stages of kind prepare)")
    listed = table("  converter", "what it makes", unbroken=("  converter",))
    for name, about in converters:
        listed.add_row(f"  {escape(name)}", escape(about))
    console.print(listed)


def header_of(path: Path) -> str:
    """Find the sentence in a spec's opening comment that says its purpose, or else the paper's figures, or what to expect."""
    try:
        text = read_regular(path).decode()
    except (OSError, UnicodeDecodeError):
        return "(cannot be read)"
    said: dict[str, str] = {}
    title = ""
    for line in text.splitlines():
        if line and not line.startswith("#"):
            break
        begins = re.match(r"# (\w+): +(.*)", line)
        if begins is not None:
            title = begins[1]
            said.setdefault(title, begins[2].strip())
        elif title and line.startswith("#    "):
            said[title] += f" {line.removeprefix('#').strip()}"
        else:
            title = ""
    found = next((said[title] for title in ("Purpose", "Paper", "Expect") if title in said), "")
    return found.partition(". ")[0]


def listed_results(storage: Path) -> Iterator[ListedResult]:
    """Yield all results of a storage folder, by experiment and stage, the oldest first."""
    folders = complete(sorted(storage.glob("[!.]*/[!.]*/*")))
    for (experiment, stage), group in groupby(folders, key=lambda folder: folder.parts[-3:-1]):
        found = [(folder, *_read(storage, experiment, stage, folder)) for folder in group]
        found.sort(key=lambda one: one[1].started if one[1] is not None else "")
        known = [manifest for _, manifest, _ in found if manifest is not None]
        differing = dict(zip((manifest.fingerprint for manifest in known), telling_apart(known), strict=True))
        for folder, manifest, damage in found:
            if manifest is None:
                yield ListedResult(experiment, stage, str(folder), damage=damage)
            else:
                yield ListedResult(
                    experiment, stage, str(folder), manifest.kind, manifest.started, manifest.seconds,
                    _headline(manifest), manifest.metrics, differing[manifest.fingerprint],
                )  # fmt: skip


def _headline(manifest: Manifest) -> str:
    section = recorded_section(manifest.kind, manifest.section)
    return headline(manifest.kind, manifest.metrics, None if section is None else kind_of(section).measured_on(section))


def _read(storage: Path, experiment: str, stage: str, folder: Path) -> tuple[Manifest | None, str]:
    damage = Storage(storage, experiment).damage_of(stage, folder)
    return (read_manifest(folder), "") if damage is None else (None, damage)
