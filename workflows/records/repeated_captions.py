"""Notes below the table of results that a model says the same of most clips: a score alone does not show that."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from textwrap import shorten

from rich.markup import escape

from workflows.planning.plan import Plan
from workflows.records.examples import LONGEST, PREDICTIONS
from workflows.results.manifest import read_manifest
from workflows.terminal.plain_text import printable

FEWEST = 4  # Of fewer clips, many are equal by chance.
CAPTION = "caption"  # the field of a prediction that holds one


def repeated_lines(plan: Plan) -> Iterator[str]:
    """Yield a line, in rich's markup, for each evaluation in which half of the captions or more are the same sentence."""
    for step in plan.steps:
        if step.fingerprint is None or step.name not in plan.selected:
            continue
        result = plan.result_of(step.name)
        manifest = read_manifest(result)
        for output, name in manifest.outputs.items() if manifest is not None else ():
            captions = _captions(result / name) if output.startswith(PREDICTIONS) else []
            said, times = Counter(captions).most_common(1)[0] if captions else ("", 0)
            if len(captions) >= FEWEST and 2 * times >= len(captions):
                text = escape(printable(shorten(said, LONGEST)))
                yield (
                    f"  [yellow]note:[/] {escape(step.name)} says the same of {times} of {len(captions)} clips ({text!r}): the "
                    "model has not learned to tell them apart"
                )


def _captions(file: Path) -> list[str]:
    """Return the captions in a file of predictions; none if it holds others, or is gone."""
    with suppress(OSError, ValueError, AttributeError, TypeError):
        return [prediction[CAPTION] for prediction in json.loads(file.read_text(encoding="utf-8")) if CAPTION in prediction]
    return []
