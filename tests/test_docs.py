"""What the documents name exists."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

from tests.end_to_end.commands import ROOT

DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
_FILE = re.compile(r"`((?:tests|docs|benchmarks|deploy)/[\w./-]+[\w/])`")  # not "tests/cosa/...", which means all below
_LINK = re.compile(r"\]\((?!https?:)([\w./-]+\.\w+)[)#]")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_files_that_a_document_names_exist(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    named = [ROOT / name for name in _FILE.findall(text)]
    linked = [document.parent / name for name in _LINK.findall(text)]
    assert [path for path in (*named, *linked) if not path.exists()] == []


def test_the_citation_is_of_this_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert (citation["version"], citation["license"]) == (project["version"], project["license"])
