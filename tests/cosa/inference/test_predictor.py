"""Captions, answers, embeddings and matches: those of an evaluation, whatever form media have."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import cosa
from cosa.data.dataset_files import DatasetFiles
from cosa.data.media_reader import PartOfVideo
from cosa.errors import DataError, UserError
from cosa.inference.predictor import Predictor
from tests.cosa.inference.models import saved, videos

QUESTIONS = ["what is it?", "who sings on the stage at night?"]


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("here")
    saved(folder / "checkpoint")
    videos(folder / "clips", 5)
    return folder


@pytest.fixture(scope="module")
def model(here: Path) -> Predictor:
    return cosa.load(here / "checkpoint", device="cpu")


@pytest.fixture(scope="module")
def clips(here: Path) -> list[Path]:
    return sorted((here / "clips").iterdir())


@pytest.fixture(scope="module")
def dataset(here: Path, clips: list[Path]) -> DatasetFiles:
    texts = [{"video_id": clip.stem, "desc": f"the cat number {n} sleeps" + " a lot" * n} for n, clip in enumerate(clips)]
    asked = [{"video_id": clip.stem, "question": QUESTIONS, "answer": ["a cat", "nobody"]} for clip in clips]
    (here / "texts.json").write_text(json.dumps(texts))
    (here / "asked.json").write_text(json.dumps(asked))
    files = {"test": {"captions": str(here / "texts.json"), "questions": str(here / "asked.json")}}
    return cosa.extract(DatasetFiles("clips", "video", str(here / "clips"), None, files), here / "frames", fps=5)


def test_all_is_as_in_an_evaluation(model: Predictor, clips: list[Path], dataset: DatasetFiles) -> None:
    found = cosa.evaluate(model, dataset, tasks=["captioning", "question_answering", "retrieval"], caption_metrics=("cider",))
    assert [one["caption"] for one in found["captioning"].predictions] == model.caption(clips)
    answers = [one["answer"] for one in found["question_answering"].predictions]
    assert answers == [text for texts in model.answer(clips, [QUESTIONS] * len(clips)) for text in texts]
    texts = [one["text"] for one in found["retrieval"].predictions]
    probabilities = model.match(texts, clips)
    similarities = model.embed_text(texts) @ model.embed_video(clips).T
    names = [clip.stem for clip in clips]
    for row, one in enumerate(found["retrieval"].predictions):
        best = np.argsort(-similarities[row], kind="stable")[: model.settings.rerank]
        ranked = sorted(best, key=lambda place: -probabilities[row, place])
        assert one["ranked"][: len(ranked)] == [names[place] for place in ranked]
        assert one["scores"][: len(ranked)] == [round(probabilities[row, place], 4) for place in ranked]


def test_one_alone_is_like_one_of_many(model: Predictor, clips: list[Path]) -> None:
    captions = model.caption(clips)
    assert model.caption(clips[3]) == captions[3]
    assert model.caption(str(clips[3])) == captions[3]
    answers = model.answer(clips, [QUESTIONS] * len(clips))
    assert model.answer(clips[1], QUESTIONS) == answers[1]
    assert model.answer(clips[1], QUESTIONS[1]) == answers[1][1]
    assert model.answer(clips, [QUESTIONS[0]] * len(clips)) == [texts[0] for texts in answers]
    vectors = model.embed_video(clips)
    assert vectors.shape == (len(clips), 16)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(model.embed_video(clips[2]), vectors[2], atol=1e-6)
    np.testing.assert_allclose(model.embed_text("rain"), model.embed_text(["the cat sleeps", "rain"])[1], atol=1e-6)
    matches = model.match(QUESTIONS, clips)
    assert matches.shape == (2, len(clips))
    np.testing.assert_allclose(model.match(QUESTIONS[0], clips), matches[0], atol=1e-6)
    np.testing.assert_allclose(model.match(QUESTIONS, clips[4]), matches[:, 4], atol=1e-6)
    assert float(model.match(QUESTIONS[0], clips[4])) == pytest.approx(matches[0, 4], abs=1e-6)


def test_tensors_hold_the_same_numbers(model: Predictor, clips: list[Path]) -> None:
    for array, tensor in (
        (model.embed_video(clips), model.embed_video(clips, as_tensor=True)),
        (model.embed_text("rain"), model.embed_text("rain", as_tensor=True)),
        (model.match(QUESTIONS, clips), model.match(QUESTIONS, clips, as_tensor=True)),
    ):
        assert isinstance(tensor, torch.Tensor)
        assert np.array_equal(array, tensor.numpy())


@pytest.mark.parametrize("size", [1, 2, 7])
def test_the_batch_size_changes_no_text(model: Predictor, clips: list[Path], size: int) -> None:
    assert model.caption(clips, batch_size=size) == model.caption(clips)
    asked = [QUESTIONS] * len(clips)
    assert model.answer(clips, asked, batch_size=size) == model.answer(clips, asked)
    np.testing.assert_allclose(model.match(QUESTIONS, clips, batch_size=size), model.match(QUESTIONS, clips), atol=1e-6)


def test_media_of_all_forms_together(model: Predictor, clips: list[Path], tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    Image.fromarray(picture).save(tmp_path / "p.png")
    media = [clips[0], tmp_path / "p.png", PartOfVideo(clips[1], 0.2, 0.9), picture, clips[2]]
    captions = model.caption(media)
    assert captions == [model.caption(one) for one in media]
    assert captions[1] == captions[3]


def test_what_cannot_be_read_is_left_out_if_it_is_reported(model: Predictor, clips: list[Path], tmp_path: Path) -> None:
    media = [clips[0], tmp_path / "gone.mp4", clips[1]]
    with pytest.raises(DataError, match=r"gone\.mp4 is missing"):
        model.caption(media)
    reported: list[tuple[object, str]] = []

    def tell(one: object, error: DataError) -> None:
        reported.append((one, str(error)))

    assert model.caption(media, on_error=tell) == [*model.caption(clips[:1]), None, *model.caption(clips[1:2])]
    assert model.answer(media, ["what?"] * 3, on_error=tell)[1] is None
    assert np.isnan(model.embed_video(media, on_error=tell)).any(axis=1).tolist() == [False, True, False]
    assert np.isnan(model.match(["rain"], media, on_error=tell)).tolist() == [[False, True, False]]
    assert [one for one, _ in reported] == [media[1]] * 4


def test_nothing_gives_nothing(model: Predictor) -> None:
    assert model.caption([]) == []
    assert model.answer([], []) == []
    assert model.embed_video([]).shape == (0, 16)
    assert model.embed_text([]).shape == (0, 16)
    assert model.match(["rain"], []).shape == (1, 0)
    assert model.match([], []).shape == (0, 0)


def test_a_batch_has_at_least_one(model: Predictor, clips: list[Path]) -> None:
    for size in (0, -1):
        with pytest.raises(UserError, match="eval_batch_size: Input should be greater than 0"):
            model.embed_text(["rain"], batch_size=size)
        with pytest.raises(UserError, match="eval_batch_size: Input should be greater than 0"):
            model.caption(clips, batch_size=size)


def test_one_question_for_several_media_is_refused(model: Predictor, clips: list[Path]) -> None:
    with pytest.raises(UserError, match="one question for several media; give a list"):
        model.answer(clips[:2], "ab")


def test_a_file_that_the_system_refuses_is_left_out_too(model: Predictor, clips: list[Path], tmp_path: Path) -> None:
    (tmp_path / "loop.mp4").symlink_to(tmp_path / "loop.mp4")
    reported: list[str] = []
    media = [tmp_path / "loop.mp4", clips[0], tmp_path / f"{'x' * 300}.mp4"]
    captions = model.caption(media, on_error=lambda one, error: reported.append(str(error)))
    assert captions == [None, model.caption(clips[0]), None]
    assert len(reported) == 2


def test_what_is_no_medium_and_no_device_is_refused(here: Path, model: Predictor) -> None:
    with pytest.raises(UserError, match="media of type NoneType; expected paths, arrays or parts of videos"):
        model.caption(None)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="is a Image; expected a path, an array or a part of a video"):
        model.caption([Image.new("RGB", (8, 8))])  # type: ignore[list-item]
    with pytest.raises(UserError, match="media of type bytes; expected paths, arrays or parts of videos"):
        model.caption(b"clips/v0.mp4")  # type: ignore[arg-type]
    for texts, kind in ((3, "int"), (b"a dog", "bytes"), (None, "NoneType")):
        for use in (model.embed_text, model.note_of_cut):
            with pytest.raises(UserError, match=f"texts of type {kind}; expected words, or a list of texts"):
                use(texts)  # type: ignore[operator]
    for device in ("gpu", "cuda:99"):
        with pytest.raises(UserError, match=f"device '{device}' cannot be used here"):
            cosa.load(here / "checkpoint", device=device)


def test_settings_that_would_fill_the_memory_are_refused(tmp_path: Path) -> None:
    saved(tmp_path / "own", train_frames=10**9)
    with pytest.raises(UserError, match=r"settings\.json: train_frames: Input should be less than or equal to 4096"):
        cosa.load(tmp_path / "own", device="cpu")


def test_a_configuration_without_frame_positions_is_refused(tmp_path: Path) -> None:
    saved(tmp_path / "own")
    (tmp_path / "own" / "config.json").write_text("{}")
    with pytest.raises(UserError, match=r"config\.json: frame_positions is missing; make the checkpoint again"):
        cosa.load(tmp_path / "own", device="cpu")


def test_lists_have_to_fit(model: Predictor, clips: list[Path]) -> None:
    with pytest.raises(UserError, match="5 media and questions for 2; expected a question, or a list, for each"):
        model.answer(clips, QUESTIONS)


def test_settings_are_those_of_the_checkpoint_unless_others_are_given(here: Path, clips: list[Path]) -> None:
    own = cosa.load(here / "checkpoint", device="cpu")
    assert own.reader().read(clips[0]).shape == (2, 3, 32, 32)
    other = cosa.load(here / "checkpoint", device="cpu", eval_frames=3, resolution=64, beam_size=1)
    assert other.reader().read(clips[0]).shape == (3, 3, 64, 64)
    long, short = own.caption(clips[0]), own.caption(clips[0], max_caption_tokens=2)
    assert len(short.split()) <= 2 < len(long.split())
    with pytest.raises(UserError, match="beam_size: Input should be greater than 0, found 0"):
        own.caption(clips[0], beam_size=0)
    with pytest.raises(UserError, match="beems: Extra inputs are not permitted"):
        cosa.load(here / "checkpoint", beems=3)


def test_a_checkpoint_that_does_not_say_how_many_frames(tmp_path: Path, clips: list[Path]) -> None:
    saved(tmp_path / "own", train_frames=None)
    silent = cosa.load(tmp_path / "own", device="cpu")
    with pytest.raises(UserError, match=r"does not say how many frames .* give eval_frames \(--frames\)"):
        silent.caption(clips[0])
    assert cosa.load(tmp_path / "own", device="cpu", eval_frames=2).caption(clips[0]) is not None


def test_one_text_alone_may_be_longer_than_the_model_reads(model: Predictor) -> None:
    assert model.note_of_cut("rain " * 100) == model.note_of_cut(["rain " * 100])
    assert "has 300 tokens, and the model reads the first 38" in str(model.note_of_cut("rain " * 100))
    assert model.note_of_cut("rain") is None
