"""Training and evaluation in one call each."""

import json
from pathlib import Path

import pytest

import cosa
from cosa.data.dataset_files import DatasetFiles
from cosa.errors import DataError, UserError
from tests.cosa.inference.models import videos
from tests.support import CAPTIONS, tiny_config

SMALL = {
    "batch_size": 4,
    "train_frames": 2,
    "device": "cpu",
    "model": tiny_config().model_copy(update={"frame_positions": None}),
}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> DatasetFiles:
    folder = tmp_path_factory.mktemp("data")
    clips = videos(folder / "clips", 8)
    (folder / "train.json").write_text(
        json.dumps([{"video_id": c.stem, "desc": t} for c, t in zip(clips, CAPTIONS, strict=True)])
    )
    (folder / "asked.json").write_text(json.dumps([{"video_id": c.stem, "question": "what?", "answer": "rain"} for c in clips]))
    splits = {"train": {"captions": str(folder / "train.json"), "questions": str(folder / "asked.json")}}
    return DatasetFiles("clips", "video", str(folder / "clips"), None, {**splits, "test": splits["train"]})


@pytest.fixture(scope="module")
def extracted(dataset: DatasetFiles, tmp_path_factory: pytest.TempPathFactory) -> DatasetFiles:
    return cosa.extract(dataset, tmp_path_factory.mktemp("frames") / "f", fps=5)


def test_frames_are_extracted_once_and_in_one_way(extracted: DatasetFiles, dataset: DatasetFiles) -> None:
    assert extracted.frames is not None
    folders = sorted(path.name for path in Path(extracted.frames).iterdir())
    assert folders == [f"v{n}" for n in range(8)]
    before = (Path(extracted.frames) / "v0" / "frame_0001.jpg").stat().st_mtime_ns
    assert cosa.extract(dataset, extracted.frames, fps=5) == extracted
    assert (Path(extracted.frames) / "v0" / "frame_0001.jpg").stat().st_mtime_ns == before
    with pytest.raises(DataError, match=r"holds frames of clip v0 that extraction .* made"):
        cosa.extract(dataset, extracted.frames, fps=2)
    with pytest.raises(UserError, match="fbs: Extra inputs are not permitted"):
        cosa.extract(dataset, extracted.frames, fbs=2)


@pytest.mark.parametrize("task", ["retrieval", "captioning", "question_answering"])
def test_a_trained_model_knows_what_it_needs(task: str, extracted: DatasetFiles, tmp_path: Path) -> None:
    seen: list[int] = []
    own = {"max_caption_tokens": 5} if task == "captioning" else {}
    model = cosa.train(
        task, extracted, tmp_path / "out", epochs=2, on_log=lambda step, record: seen.append(step), log_every=1, **SMALL, **own
    )
    assert seen == [1, 2, 3, 4]
    assert model.settings.task == task
    assert model.settings.extraction.fps == 5
    assert model.settings.train_frames == 2
    again = cosa.load(tmp_path / "out", device="cpu")
    found = cosa.evaluate(again, extracted, **({"caption_metrics": ("cider",)} if task == "captioning" else {}))
    assert list(found) == [task]
    assert found[task].metrics
    more = cosa.train(task, extracted, tmp_path / "more", init_from=tmp_path / "out", **{**SMALL, "model": None}, **own)
    assert more.settings.task == task


def test_the_same_seed_gives_the_same_weights(extracted: DatasetFiles, tmp_path: Path) -> None:
    for name in ("one", "two"):
        cosa.train("retrieval", extracted, tmp_path / name, seed=3, **SMALL)
    one, two = (tmp_path / name / "model.safetensors" for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()


def test_mistakes_are_reported_before_training(extracted: DatasetFiles, dataset: DatasetFiles, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    for task, data, out, options, says in (
        ("retrival", extracted, "out", {}, "no task 'retrival'; expected one of retrieval, captioning, question_answering"),
        ("retrieval", extracted, "there", {}, "there exists; choose another folder"),
        ("retrieval", extracted, "out", {"learning_rat": 1}, "learning_rat: Extra inputs are not permitted"),
        ("retrieval", extracted, "out", {"init_from": tmp_path / "gone"}, "gone does not exist"),
        ("retrieval", extracted, "out", {"device": "gpu"}, "device 'gpu' cannot be used here"),
        ("retrieval", dataset, "out", {}, "has no folder of extracted frames; extract them"),
    ):
        with pytest.raises(UserError, match=says):
            cosa.train(task, data, tmp_path / out, **{**SMALL, **options})
    assert not (tmp_path / "out").exists()


def test_a_task_has_to_be_known_to_evaluate(extracted: DatasetFiles, tmp_path: Path) -> None:
    model = cosa.train("retrieval", extracted, tmp_path / "out", **SMALL)
    (tmp_path / "out" / "settings.json").write_text('{"train_frames": 2}')
    with pytest.raises(UserError, match=r"does not say what it was finetuned for; give tasks, such as \['retrieval'\]"):
        cosa.evaluate(tmp_path / "out", extracted, device="cpu")
    assert cosa.evaluate(model, extracted, tasks=["retrieval"], rerank=2)["retrieval"].metrics["text_to_video_r1"] >= 0
