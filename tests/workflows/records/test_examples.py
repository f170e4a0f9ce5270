"""A few predictions are shown, and where all of them are."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.workflows.planning.planned import finish, lay_out, plan
from workflows.records.examples import example_lines
from workflows.results.manifest import read_manifest


def test_predictions_are_shown_in_a_line_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lay_out(tmp_path, monkeypatch)
    finish(plan())
    assert list(example_lines(plan())) == []
    folder = plan().result_of("captions")
    manifest = read_manifest(folder)
    assert manifest is not None
    details = {"examples": ["v1: a [red] square", f"v2: {'word ' * 100}\x1b"]}
    outputs = {"predictions_captioning": "p.json", "gallery_captioning": "g.html", "other": "o.json"}
    replace(manifest, details=details, outputs=outputs).write(folder)
    first, *examples, last = example_lines(plan())
    assert first == f"\n  captions says, for example [dim](all: {folder / 'p.json'})[/]"
    assert examples[0] == "    v1: a \\[red] square"
    assert last == f"    [dim]gallery:[/] {folder / 'g.html'}"
    assert len(examples[1]) < 220
    assert "\x1b" not in examples[1]
