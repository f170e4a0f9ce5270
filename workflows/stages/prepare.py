"""Declares the prepare stage, which generates the demo corpus or converts a dataset author's own files."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from cosa.datasets.converters import CONVERTERS
from cosa.extensions import MODULE_PREFIX
from workflows.spec.converter_options import option_problems
from workflows.spec.problems import did_you_mean
from workflows.spec.read import Read
from workflows.spec.reads import FileRead
from workflows.spec.sections import DatasetSection, StageSection
from workflows.spec.source_read import SourceRead
from workflows.spec.stage_kind import Report, StageKind

if TYPE_CHECKING:
    from workflows.execution.context import StageContext
    from workflows.records.outcome import StageOutcome


class PrepareSection(StageSection):
    """Make a dataset: generate the demo corpus, or convert a dataset author's own files."""

    kind: Literal["prepare"]
    converter: str = Field(description="name of a converter; see `cosa list`")
    options: dict[str, Any] = Field(default_factory=dict, description="the converter's own options")


class Prepare(StageKind[PrepareSection]):
    """Runs a converter. It ignores the experiment's seed, because options of converters hold seeds of their own."""

    name = "prepare"
    section = PrepareSection
    version = 1
    produces = "dataset"
    is_seeded = False

    def uses_extensions(self, section: PrepareSection) -> bool:
        """Return whether an extension defines the converter."""
        return CONVERTERS[section.converter].function.startswith(MODULE_PREFIX)

    def version_of(self, section: PrepareSection) -> int:
        """Combine the versions of the kind and of the converter, since each converter changes by itself."""
        return self.version * 1000 + CONVERTERS[section.converter].version

    def reads(self, section: PrepareSection, datasets: Mapping[str, DatasetSection]) -> Iterable[Read]:
        """Yield the files and folders that the converter's options name."""
        del datasets
        converter = CONVERTERS.get(section.converter)
        for need in converter.needs(section.options) if converter is not None else ():
            field = ("options", need.option)
            if need.files:
                yield SourceRead(field, need.path, tuple(need.files))
            else:
                yield FileRead(field, need.path, need.wanted, suffixes=need.suffixes)

    def smoke_fields(self, data: Mapping[str, Any], spec: Mapping[str, Any], folder: Path) -> dict[str, Any]:
        """Return the converter's options for a smoke test."""
        del spec
        converter, options = CONVERTERS.get(str(data.get("converter"))), data.get("options", {})
        return (
            {"options": converter.smoke_options(options, folder)} if converter is not None and isinstance(options, dict) else {}
        )

    def check(self, name: str, section: PrepareSection, datasets: Mapping[str, DatasetSection], report: Report) -> None:
        """Report an unknown converter, and options that it does not have."""
        del datasets
        where = ("stages", name)
        converter = CONVERTERS.get(section.converter)
        if converter is None:
            report(f"no converter {section.converter!r}{did_you_mean(section.converter, CONVERTERS)}", *where, "converter")
            return
        for field, message in option_problems(converter, section.options):
            report(message, *where, "options", *field)

    def run(self, context: StageContext[PrepareSection]) -> StageOutcome:
        """Run the converter in the stage's folder. An interrupted conversion starts again, because it is quick."""
        from workflows.records.outcome import StageOutcome
        from workflows.results.layout import RUN_NOTE

        converter = CONVERTERS[context.section.converter]
        folder = context.folder
        shutil.rmtree(folder)
        folder.mkdir()
        context.line.update(f"{context.section.converter}: {converter.description}")
        counts = converter.run(folder, context.section.options)
        summary = ", ".join(f"{count} {what.replace('_', ' ')}" for what, count in counts.items())
        if remarks := converter.report(folder, counts).get("remarks"):
            context.run.tracker.reporter.warn(f"{context.section.converter}:\n  " + "\n  ".join(remarks))
        made = [path for path in sorted(folder.glob("*.json")) if path.name != RUN_NOTE]  # The runner removes its note.
        return StageOutcome(summary, details={"counts": counts}, artifacts=made)
