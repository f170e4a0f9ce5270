"""The digest of what annotations say does not depend on how it is written."""

import json
from pathlib import Path
from typing import Any

import pytest
import xxhash
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cosa.data import annotation_columns, column_building, media_numbering
from cosa.data.annotation_columns import AnnotationSource
from cosa.data.annotations import load_captions, load_questions, load_references
from cosa.data.column_cache import columns_of
from cosa.data.split_reading import SplitReading
from cosa.errors import DataError
from workflows.planning import annotation_digests
from workflows.planning.annotation_digests import ReadAnnotations, digest_of_annotations

TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1, max_size=8).filter(str.strip)
IDS = st.text("ab01", min_size=1, max_size=3)
CAPTIONS = st.lists(st.fixed_dictionaries({"video_id": IDS, "desc": TEXT | st.lists(TEXT, min_size=1, max_size=3)}), max_size=4)
QUESTIONS = st.lists(st.fixed_dictionaries({"video_id": IDS, "question": TEXT, "answer": TEXT}), max_size=4)


def read(path: Path, kind: Any) -> ReadAnnotations:
    return digest_of_annotations(columns_of(AnnotationSource(path, kind)))


def as_results_know_it(path: Path, kind: Any) -> str:
    """The digest as it has been computed since the first results, entry by entry."""
    if kind == "questions":
        every = [(e.video_id, e.question, str(e.question_id), *e.answers) for e in load_questions(path, require_answers=False)]
    elif kind == "references":
        every = [(media_id, *captions) for media_id, captions in load_references(path).items()]
    else:
        every = [(e.video_id, *e.captions) for e in load_captions(path, require_captions=False)]
    digest = xxhash.xxh3_128(kind.encode())
    for parts in every:
        for part in parts:
            digest.update(b"%d:" % len(part.encode()) + part.encode())
        digest.update(b"\n")
    return digest.hexdigest()


def written(path: Path, entries: list[dict[str, Any]], form: str) -> Path:
    if form == "lines":
        path.write_text("".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in entries), encoding="utf-8")
    elif form == "spaced":
        path.write_text(json.dumps([dict(reversed(entry.items())) for entry in entries], indent=3))
    else:
        path.write_text(json.dumps([{**entry, "source": "somewhere", "n": 3} for entry in entries]))
    return path


@pytest.mark.parametrize(("kind", "strategy", "load"), [
    ("captions", CAPTIONS, load_captions), ("questions", QUESTIONS, load_questions)])  # fmt: skip
def test_equal_if_and_only_if_the_same_is_read(tmp_path: Path, kind: Any, strategy: Any, load: Any) -> None:
    def said(path: Path) -> list[Any]:
        return [{**{name: getattr(e, name) for name in e.__dataclass_fields__}, "line": 0} for e in load(path)]

    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(strategy, strategy, st.sampled_from(["lines", "spaced", "more"]))
    def check(one: list[dict[str, Any]], other: list[dict[str, Any]], form: str) -> None:
        if not one or not other:
            return
        first = written(tmp_path / "one.json", one, "spaced")
        again, second = written(tmp_path / "again.json", one, form), written(tmp_path / "other.json", other, form)
        digest, amount = read(first, kind)
        assert read(again, kind) == (digest, amount)
        assert digest == as_results_know_it(first, kind)
        if kind == "captions":
            assert read(first, "references").digest == as_results_know_it(first, "references")
        assert amount == sum(len(entry["desc"]) if isinstance(entry.get("desc"), list) else 1 for entry in one)
        assert (read(second, kind).digest == digest) == (said(first) == said(second))

    check()


def test_captions_are_no_questions(tmp_path: Path) -> None:
    path = written(tmp_path / "a.json", [{"video_id": "a", "desc": "b"}], "spaced")
    with pytest.raises(DataError):
        read(path, "questions")
    assert read(path, "captions").digest != read(path, "references").digest


def test_entries_without_texts_and_over_several_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (annotation_digests, annotation_columns, column_building, media_numbering):
        monkeypatch.setattr(module, "BLOCK", 3)
    entries: list[dict[str, Any]] = [{"video_id": f"v{i % 5}", "desc": [f"a{i}", "ä"][: 1 + i % 2]} for i in range(11)]
    path = written(tmp_path / "a.json", entries, "lines")
    for kind in ("captions", "references"):
        assert read(path, kind) == (as_results_know_it(path, kind), 16)
    path = written(tmp_path / "b.json", [*entries, {"video_id": "none"}, *entries], "lines")
    assert read(path, "captions") == (as_results_know_it(path, "captions"), 32)


@pytest.mark.parametrize("kind", ["captions", "references", "questions"])
def test_a_part_has_the_digest_of_a_file_with_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Any) -> None:
    for module in (annotation_digests, annotation_columns, column_building, media_numbering):
        monkeypatch.setattr(module, "BLOCK", 3)
    entries: list[dict[str, Any]] = [
        {"video_id": f"v{i % 7}", "desc": [f"a{i}", "b"], "question": f"{i}?", "answer": "x"} for i in range(30)
    ]
    path = written(tmp_path / "a.json", entries, "lines")
    columns = columns_of(AnnotationSource(path, kind, SplitReading(limit=4)))
    chosen = set(columns.media_ids())
    assert len(chosen) == 4
    rest = written(tmp_path / "b.json", [entry for entry in entries if entry["video_id"] in chosen], "lines")
    assert digest_of_annotations(columns) == read(rest, kind)
    assert digest_of_annotations(columns).digest == as_results_know_it(rest, kind)
