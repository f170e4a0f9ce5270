"""Notes which results of an experiment the newest complete run uses, so that superseded ones are known."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from cosa.regular_files import read_regular
from workflows.results.atomic import write_atomically
from workflows.results.layout import CURRENT_FILE


@dataclass(frozen=True)
class Current:
    """Which results the newest run of an experiment that came to its end uses.

    results: fingerprints by stage, of all variants of a `--sweep`, the last one first. sweep: names what the variants share;
    empty if there was no `--sweep`. spec: the file, as the command named it. noted: when the run ended, in seconds since the
    epoch.
    """

    results: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    sweep: str = ""
    spec: str = ""
    noted: float = 0.0

    @classmethod
    def read(cls, folder: Path) -> Current:
        """Read what an experiment's folder says; nothing is current by that if no run has noted anything."""
        try:
            found = json.loads(read_regular(folder / CURRENT_FILE))
            results = {str(stage): tuple(map(str, listed)) for stage, listed in found["results"].items()}
            return cls(results, str(found["sweep"]), str(found["spec"]), float(found["noted"]))
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            return cls()

    def after(self, results: Mapping[str, str], sweep: str, spec: str) -> Current:
        """Return what is current after a run that uses some results. Variants of one `--sweep` are current together, and stages
        that a run leaves out stay as they are."""
        variants = self.results if sweep and sweep == self.sweep else {}
        listed = {stage: (fingerprint, *variants.get(stage, ())) for stage, fingerprint in results.items()}
        now = {stage: tuple(dict.fromkeys(found)) for stage, found in listed.items()}
        return Current({**self.results, **now}, sweep, spec, time.time())


def note_current(folder: Path, results: Mapping[str, str], sweep: str, spec: str) -> None:
    """Note in the folder of an experiment which results a run that has come to its end uses.

    results: fingerprints by stage. An experiment without a folder has made no result itself, and one that cannot be written is
    only read: in both the newest results count.
    """
    if folder.is_dir():
        with suppress(OSError):
            write_atomically(
                folder / CURRENT_FILE, json.dumps(asdict(Current.read(folder).after(results, sweep, spec)), indent=2) + "\n"
            )
