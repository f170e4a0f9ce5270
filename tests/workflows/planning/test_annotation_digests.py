"""The digest of what annotations say does not depend on how it is written."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cosa.data.annotations import load_captions, load_questions
from cosa.errors import DataError
from workflows.planning.annotation_digests import digest_of_annotations

TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1, max_size=8).filter(str.strip)
IDS = st.text("ab01", min_size=1, max_size=3)
CAPTIONS = st.lists(st.fixed_dictionaries({"video_id": IDS, "desc": TEXT | st.lists(TEXT, min_size=1, max_size=3)}), max_size=4)
QUESTIONS = st.lists(st.fixed_dictionaries({"video_id": IDS, "question": TEXT, "answer": TEXT}), max_size=4)


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
        digest, ids, amount = digest_of_annotations(first, kind)
        assert digest_of_annotations(again, kind) == (digest, ids, amount)
        assert amount == sum(len(entry["desc"]) if isinstance(entry.get("desc"), list) else 1 for entry in one)
        assert ids == list(dict.fromkeys(entry["video_id"] for entry in one))
        assert (digest_of_annotations(second, kind).digest == digest) == (said(first) == said(second))

    check()


def test_captions_are_no_questions(tmp_path: Path) -> None:
    path = written(tmp_path / "a.json", [{"video_id": "a", "desc": "b"}], "spaced")
    with pytest.raises(DataError):
        digest_of_annotations(path, "questions")
    assert digest_of_annotations(path, "captions").digest != digest_of_annotations(path, "references").digest
