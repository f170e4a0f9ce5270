"""What stages read, and which clips, files and texts differ."""

import json
from pathlib import Path

from tests.workflows.reports.cells import cells_of, columns_of
from tests.workflows.results.stored import stored
from workflows.reports.compared_data import data_changes, data_rows


def test_digests_and_amounts_what_differs_first(tmp_path: Path) -> None:
    first = stored(
        tmp_path,
        "demo/a",
        "abc",
        inputs={"data": "fff"},
        data={"images": "1" * 32, "train": "2" * 32},
        amounts={"train": "3 captions"},
    )
    second = stored(tmp_path, "demo/b", "def", inputs={"data": "fff"}, data={"images": "1" * 32, "train": "3" * 32})
    rows = data_rows(cells_of(columns_of(tmp_path, first, second)))
    assert [(row.name, row.values, row.differs) for row in rows] == [
        ("train", ("22222222 (3 captions)", "33333333"), True),
        ("result of data", ("fff", "fff"), False),
        ("images", ("11111111", "11111111"), False),
    ]


def test_clips_of_frames_that_they_were_made_from(tmp_path: Path) -> None:
    stored(tmp_path, "demo/frames", "f1", clips={"v1": "aa", "v2": "bb", "v3": "cc"})
    stored(tmp_path, "demo/frames", "f2", clips={"v1": "aa", "v2": "dd", "v4": "ee", "v5": "ff"})
    first = stored(tmp_path, "demo/a", "abc", inputs={"frames": "f1"})
    second = stored(tmp_path, "demo/b", "def", inputs={"frames": "f2"})
    columns = columns_of(tmp_path, first, second)
    assert data_changes(cells_of(columns), columns) == [
        "B, compared with A: clips: 2 new (v4, v5), 1 changed (v2), 1 gone (v3)"
    ]


def test_files_of_prepared_datasets_and_texts_in_predictions(tmp_path: Path) -> None:
    def corpus(fingerprint: str, captions: bytes) -> None:
        stored(tmp_path, "demo/corpus", fingerprint, kind="prepare", files={"train.json": captions, "test.json": b"same"})

    def tested(name: str, corpus: str, references: str, caption: str) -> Path:
        predictions = [{"video_id": "v1", "caption": caption, "references": [references]}, {"video_id": "v2", "caption": "x"}]
        files = {"predictions_captioning.json": json.dumps(predictions).encode()}
        outputs = {"predictions_captioning": "predictions_captioning.json"}
        return stored(tmp_path, f"demo/{name}", name * 3, inputs={"corpus": corpus}, files=files, outputs=outputs)

    corpus("c1", b"one")
    corpus("c2", b"two")
    columns = columns_of(tmp_path, tested("a", "c1", "a dog", "a cat"), tested("b", "c2", "a big dog", "a cow"))
    assert data_changes(cells_of(columns), columns) == [
        "B, compared with A: files of the dataset: 1 changed (train.json)",
        "B, compared with A: clips by what captioning compares predictions with: 1 changed (v1)",
    ]
    same = [columns[0], columns_of(tmp_path, tested("c", "c1", "a dog", "another prediction"))[0]]
    assert data_changes(cells_of(same), same) == []
    questions = stored(tmp_path, "demo/d", "ddd", inputs={"corpus": "c1"}, outputs={"predictions_question_answering": "p.json"},
                       files={"p.json": json.dumps([{"video_id": "v1", "question": "what"}]).encode()})  # fmt: skip
    others = [columns[0], columns_of(tmp_path, questions)[0]]
    assert data_changes(cells_of(others), others) == [], "another task asks other things"


def test_what_cannot_be_read_is_not_compared(tmp_path: Path) -> None:
    for name in ("f1", "f2"):
        folder = stored(tmp_path, "demo/frames", name, clips={"v1": name})
    (folder / "clips.arrow").write_text("{")
    first = stored(tmp_path, "demo/a", "abc", inputs={"frames": "f1"})
    second = stored(tmp_path, "demo/b", "def", inputs={"frames": "f2", "gone": "g"})
    columns = columns_of(tmp_path, first, second)
    assert data_changes(cells_of(columns), columns) == []
