"""The corpus in which only the order of events tells clips apart."""

import json
from collections import defaultdict
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from cosa.datasets.demo_scenes import COLORS, SHAPES
from cosa.datasets.event_orders import generate_event_orders
from cosa.datasets.event_orders_options import EventOrdersOptions

OPTIONS = EventOrdersOptions(images=80, events=3, train_clips=4, validation_sets=2, test_sets=3, workers=1)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    assert generate_event_orders(folder, OPTIONS) == {"images": 80, "train_clips": 4, "validation_clips": 12, "test_clips": 18}
    return folder


def read(folder: Path, name: str) -> Any:
    return json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))


def objects(text: str) -> tuple[tuple[str, str], ...]:
    """The (color, shape) pairs that a paragraph names, in its order."""
    words = text.split()
    return tuple((words[i], words[i + 1]) for i in range(len(words) - 1) if words[i] in COLORS and words[i + 1] in SHAPES)


def test_a_set_has_a_clip_for_each_order(corpus: Path) -> None:
    for split in ("validation", "test"):
        sets = defaultdict(list)
        for entry in read(corpus, f"clips_{split}"):
            sets[entry["video_id"].partition("/")[0]].append(objects(entry["desc"]))
            assert (corpus / "clips" / f"{entry['video_id']}.mp4").is_file()
        for orders in sets.values():
            assert sorted(orders) == sorted(permutations(orders[0]))
            assert len(orders[0]) == OPTIONS.events


def test_no_events_are_in_two_sets(corpus: Path) -> None:
    seen: dict[frozenset[tuple[str, str]], str] = {}
    for split in ("train", "validation", "test"):
        for entry in read(corpus, f"clips_{split}"):
            name = entry["video_id"].partition("/")[0]
            assert seen.setdefault(frozenset(objects(entry["desc"])), name) == name


def test_images_show_one_object(corpus: Path) -> None:
    entries = read(corpus, "images_train")
    assert len(entries) == len(list((corpus / "images").glob("*.jpg"))) == 80
    assert all(len(objects(entry["desc"])) == 1 for entry in entries)
    assert {objects(entry["desc"])[0] for entry in entries} == {(color, shape) for color in COLORS for shape in SHAPES}


def test_questions_are_answered_by_the_order(corpus: Path) -> None:
    texts = {entry["video_id"]: objects(entry["desc"]) for entry in read(corpus, "clips_test")}
    for entry in read(corpus, "questions_test"):
        for question, answer in zip(entry["question"], entry["answer"], strict=True):
            named = texts[entry["video_id"]]
            if "first" in question or "last" in question:
                assert answer in named[0 if "first" in question else -1], question
            else:
                before = next(i for i, (_, shape) in enumerate(named) if shape in question.split())
                assert answer in named[before + 1], question


def test_the_same_options_give_the_same_files(corpus: Path, tmp_path: Path) -> None:
    generate_event_orders(tmp_path, OPTIONS.model_copy(update={"workers": 2}))
    files = sorted(path.relative_to(corpus) for path in corpus.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file())
    assert all((corpus / file).read_bytes() == (tmp_path / file).read_bytes() for file in files)
