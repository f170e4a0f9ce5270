"""Samples over columns are those of a list, whichever of them count."""

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cosa.data.annotations import load_captions
from cosa.data.batches import STREAM_ORDER, random_stream
from cosa.data.dataset_files import DatasetFiles, caption_entries, caption_samples, evaluated_clips, question_samples
from cosa.data.sample import Sample
from cosa.data.samples import Samples
from cosa.data.split_reading import SplitReading
from cosa.errors import DataError, UserError

SAMPLES = [Sample(f"v{i % 3}", caption=f"caption {i}", question="who?" if i else "", answer=f"{i}") for i in range(7)]
MEDIA = st.sampled_from(["a", "b", "c", "d/e"])
ENTRIES = st.lists(st.tuples(MEDIA, st.lists(st.sampled_from(["one", "two", "drei ä"]), min_size=1, max_size=3)), min_size=1)


def dataset(folder: Path, entries: list[dict[str, Any]], kind: str = "captions", **more: Any) -> DatasetFiles:
    (folder / "a.json").write_text(json.dumps(entries))
    return DatasetFiles("own", "image", "", None, {"train": {kind: str(folder / "a.json")}}, **more)


def test_samples_of_a_list() -> None:
    samples = Samples.of(SAMPLES)
    assert Samples.of(samples) is samples
    assert list(samples) == [samples[i] for i in range(7)] == SAMPLES == samples
    assert samples[-1] == SAMPLES[-1] and samples[2:5] == SAMPLES[2:5] and samples[np.uint8(3)] == SAMPLES[3]
    with pytest.raises(IndexError):
        samples[7]
    assert list(samples.media_ids()) == ["v0", "v1", "v2"]
    assert samples.identities_of(np.arange(len(samples))).tolist() == [0, 1, 2, 0, 1, 2, 0]
    assert [samples.first_without(field) for field in ("caption", "question", "answer")] == [None, "v0", None]
    assert list(Samples.of([])) == [] and Samples.of([]).first_without("caption") is None
    assert pickle.loads(pickle.dumps(samples)) == SAMPLES


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ENTRIES, st.sets(MEDIA | st.just("of-no-entry")), st.none() | st.integers(1, 5))
def test_samples_of_a_file_are_those_of_its_entries(
    tmp_path: Path, entries: list[tuple[str, list[str]]], unreadable: set[str], limit: int | None
) -> None:
    own = dataset(
        tmp_path, [{"video_id": media_id, "desc": texts} for media_id, texts in entries],
        unreadable=frozenset(unreadable), reading={"train": SplitReading(limit=limit)},
    )  # fmt: skip
    named = own.named_media(["captions"])
    assert named == [one for one in dict.fromkeys(media_id for media_id, _ in entries) if one in named]
    assert len(named) == min(limit or 9, len({media_id for media_id, _ in entries}))
    left = [one for one in load_captions(tmp_path / "a.json") if one.video_id in named and one.video_id not in unreadable]
    assert caption_entries(own, "train") == left
    samples = caption_samples(own, "train")
    assert samples == [Sample(one.video_id, text) for one in left for text in one.captions]
    assert [samples[i] for i in range(len(samples))] == list(samples)
    assert list(samples.media_ids()) == list(dict.fromkeys(one.video_id for one in left))
    numbers = dict(zip((one.media_id for one in samples), samples.identities_of(np.arange(len(samples))).tolist(), strict=True))
    assert len(set(numbers.values())) == len(numbers)
    assert samples.identities_of(np.arange(len(samples))).tolist() == [numbers[one.media_id] for one in samples]


def test_entries_over_several_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("annotation_columns", "column_building", "media_numbering"):
        monkeypatch.setattr(f"cosa.data.{module}.BLOCK", 3)
    own = dataset(tmp_path, [{"video_id": f"v{i % 4}", "desc": [f"{i} {k}" for k in range(1 + i % 5)]} for i in range(20)])
    assert caption_entries(own, "train") == load_captions(tmp_path / "a.json")
    assert next(one.captions for one in evaluated_clips(own, "train")) == tuple(
        f"{i} {k}" for i in range(0, 20, 4) for k in range(1 + i % 5)
    )


def test_the_first_answer_counts_and_texts_that_lack_are_named(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [{"video_id": "a", "question": "who?", "answer": ["x", "y"]}]
    assert question_samples(dataset(tmp_path, rows, "questions"), "train") == [Sample("a", "", "who?", "x")]
    rows.append({"video_id": "b", "question": "who?"})
    with pytest.raises(DataError, match=r'a\.json, line 1 \(entry 2\): field "answer" is missing'):
        question_samples(dataset(tmp_path, rows, "questions"), "train")


@pytest.mark.parametrize("count", [1, 200, 256, 70_000])
def test_the_order_of_an_epoch_is_that_of_numpys_permutation(count: int) -> None:
    order = np.arange(count, dtype=np.min_scalar_type(count))
    random_stream(3, STREAM_ORDER, 0, 1).shuffle(order)
    assert (order == random_stream(3, STREAM_ORDER, 0, 1).permutation(count)).all()


def test_a_part_is_the_same_in_all_files_and_grows(tmp_path: Path) -> None:
    entries = [{"video_id": f"v{i}", "desc": f"caption {i}", "question": "?", "answer": "!"} for i in range(1000)]

    def chosen(kind: str, entries: list[dict[str, Any]], **how: Any) -> list[str]:
        own = dataset(tmp_path, entries, kind, reading={"train": SplitReading(**how)})
        return own.named_media([kind])  # type: ignore[list-item]

    hundred = chosen("captions", entries, limit=100)
    assert hundred == chosen("questions", entries, fraction=0.1) != [f"v{i}" for i in range(100)]
    assert set(hundred) < set(chosen("captions", entries, limit=200))
    assert sorted(hundred) == sorted(chosen("captions", entries[::-1], limit=100))
    more = [*entries, *({"video_id": f"new{i}", "desc": "x"} for i in range(100))]
    assert 80 <= len(set(hundred) & set(chosen("captions", more, limit=100))) < 100
    assert len(chosen("captions", entries, limit=5000)) == len(chosen("captions", entries, fraction=1.0)) == 1000
    assert len(chosen("captions", entries[:3], fraction=0.01)) == 1
    assert hundred[:3] == ["v5", "v19", "v34"]  # The choice is part of published figures: it stays.


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"limit": 3, "fraction": 0.5}, "limit and fraction exclude each other"),
        ({"limit": 0}, "limit: 0 leaves no clip"),
        ({"fraction": 1.5}, "fraction: 1.5 is no share"),
        ({"fraction": 0.0}, "fraction: 0.0 is no share"),
    ],
)
def test_parts_that_cannot_be(how: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        SplitReading(**how)
