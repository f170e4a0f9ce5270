"""The generated demo corpus: same options, same bytes; nothing held out is trained; questions have one answer."""

import json
import re
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydantic import ValidationError

from cosa.datasets.demo import generate_demo
from cosa.datasets.demo_captions import MOTION_PHRASES, SIZE_WORDS, clip_captions, clip_questions, image_caption
from cosa.datasets.demo_drawing import draw_clip
from cosa.datasets.demo_options import DemoOptions
from cosa.datasets.demo_scenes import (
    COLORS,
    MOTIONS,
    SHAPES,
    SIZES,
    HoldOut,
    Scene,
    Scenes,
    Split,
    plan_demo,
)
from cosa.errors import DataError

SMALL = DemoOptions(images=130, train_clips=24, validation_clips=6, test_clips=8, workers=1)
VOCABULARY = Path(__file__).parents[3] / "cosa" / "assets" / "bert-base-uncased-vocab.txt"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo")
    generate_demo(folder, SMALL)
    return folder


def load(folder: Path, name: str) -> Any:
    return json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))


def read_scenes(caption: str) -> Scenes:
    """The scenes a caption tells, read by rules of the test's own."""
    found = []
    phrases = {phrase: motion for motion, variants in MOTION_PHRASES.items() for phrase in variants}
    sizes = {word: size for size, words in SIZE_WORDS.items() for word in words}
    for sentence in re.split(r"(?:^first | then | and then | and after that | and finally )", caption):
        if not sentence:
            continue
        article, size, color, shape, phrase = sentence.removesuffix(" and").split(" ", 4)
        assert article == "a"
        found.append(Scene(shape, color, sizes[size], phrases[phrase]))
    return tuple(found)


def only(answers: list[Any]) -> Any:
    assert len(answers) == 1, f"{len(answers)} answers fit"
    return answers[0]


def solve(scenes: Scenes, question: str) -> str:
    """Answer a question from the scenes alone; fails where none or several answers fit."""
    words = question.split()
    wants_color = question.startswith("what color")
    if question.startswith("how many"):
        return ("one", "two", "three")[len(scenes) - 1]
    if words[-1] in ("first", "last"):
        scene = scenes[0 if words[-1] == "first" else -1]
        return scene.color if wants_color else scene.shape
    if "after" in words:
        follower = scenes[only([position for position, s in enumerate(scenes) if s.shape in words]) + 1]
        return follower.color if wants_color else follower.shape
    if wants_color:
        return only([s.color for s in scenes if s.shape == words[-1]])
    if question.startswith("which shape is"):
        return only([s.shape for s in scenes if s.color == words[-1]])
    if question.endswith("big or small"):
        return only([s.size for s in scenes if s.shape == words[2]])
    return only([MOTION_PHRASES[s.motion][0] for s in scenes if [s.color, s.shape] == words[3:5]])


def is_held_out(hold_out: HoldOut, scenes: Scenes) -> bool:
    pairs = {(scene.color, scene.shape) for scene in scenes}
    return bool(pairs & hold_out.pairs or set(pairwise(s.shape for s in scenes)) & hold_out.successions)


def decode(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return np.stack(frames)


def object_pixels(frame: np.ndarray) -> np.ndarray:
    """Where a frame differs clearly from its background, as (pixels, 2) rows and columns."""
    background = np.median(frame.reshape(-1, 3), axis=0)
    return np.argwhere(np.abs(frame - background).max(axis=-1) > 40)


# --- files ------------------------------------------------------------------------------------------------------------


def test_counts_and_layout(tmp_path: Path) -> None:
    counts = generate_demo(tmp_path / "new" / "demo", SMALL)
    folder = tmp_path / "new" / "demo"
    assert counts == {
        "images": 130,
        "train_clips": 24,
        "validation_clips": 6,
        "test_clips": 8,
        "train_captions": 72,
        "train_questions": len(load(folder, "questions_train")),
    }
    assert len(list((folder / "images").glob("*.jpg"))) == 130
    assert len(list((folder / "clips").glob("*.mp4"))) == 38
    assert {path.name for path in folder.glob("*.json")} == {
        "images_train.json",
        *(f"{kind}_{split}.json" for kind in ("clips", "questions") for split in ("train", "validation", "test")),
        "references_validation.json",
        "references_test.json",
    }


def test_annotations_name_media_that_exist(corpus: Path) -> None:
    for entry in load(corpus, "images_train"):
        assert set(entry) == {"video_id", "desc"}
        assert (corpus / "images" / f"{entry['video_id']}.jpg").is_file()
    for split in ("train", "validation", "test"):
        captions, questions = load(corpus, f"clips_{split}"), load(corpus, f"questions_{split}")
        assert {entry["video_id"] for entry in captions} == {entry["video_id"] for entry in questions}
        assert all((corpus / "clips" / f"{entry['video_id']}.mp4").is_file() for entry in captions)


def test_training_has_one_entry_a_text(corpus: Path) -> None:
    captions = load(corpus, "clips_train")
    assert set(Counter(entry["video_id"] for entry in captions).values()) == {3}
    assert all(isinstance(entry["desc"], str) for entry in captions)
    for entry in load(corpus, "questions_train"):
        assert set(entry) == {"video_id", "question", "answer"}
        assert isinstance(entry["question"], str) and isinstance(entry["answer"], str)


@pytest.mark.parametrize(("split", "count"), [("validation", 6), ("test", 8)])
def test_evaluation_has_one_entry_a_clip(corpus: Path, split: str, count: int) -> None:
    captions, questions = load(corpus, f"clips_{split}"), load(corpus, f"questions_{split}")
    assert len(captions) == len(questions) == count
    assert all(len(set(entry["desc"])) == 3 for entry in captions)
    assert all(len(entry["question"]) == len(entry["answer"]) >= 1 for entry in questions)
    references = load(corpus, f"references_{split}")["annotations"]
    assert references == [{"video_id": e["video_id"], "caption": text} for e in captions for text in e["desc"]]


def test_same_bytes_whatever_the_workers(corpus: Path, tmp_path: Path) -> None:
    generate_demo(tmp_path, SMALL.model_copy(update={"workers": 3}))
    files = sorted(path.relative_to(corpus) for path in corpus.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file())
    assert all((corpus / name).read_bytes() == (tmp_path / name).read_bytes() for name in files)


def test_another_seed_gives_another_corpus() -> None:
    assert plan_demo(SMALL) == plan_demo(SMALL)
    assert plan_demo(SMALL) != plan_demo(SMALL.model_copy(update={"seed": 8}))


# --- what is held out -------------------------------------------------------------------------------------------------


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 2**64), held_out_pairs=st.integers(1, 6), maximum_scenes=st.integers(1, 3))
def test_held_out_combinations_are_never_trained(seed: int, held_out_pairs: int, maximum_scenes: int) -> None:
    options = DemoOptions(
        seed=seed,
        held_out_pairs=held_out_pairs,
        maximum_scenes=maximum_scenes,
        images=80,
        train_clips=60,
        validation_clips=5,
        test_clips=7,
    )
    plan = plan_demo(options)
    assert len(plan.hold_out.pairs) == held_out_pairs and len(plan.hold_out.successions) == 6
    trained = [*((image,) for image in plan.images), *plan.clips[Split.TRAIN]]
    evaluated = [*plan.clips[Split.VALIDATION], *plan.clips[Split.TEST]]
    assert not any(is_held_out(plan.hold_out, scenes) for scenes in trained)
    assert all(is_held_out(plan.hold_out, scenes) for scenes in evaluated)
    # The rule as a reader of the corpus sees it: an unseen pair, or an order of shapes that no training clip contains.
    seen_pairs = {(scene.color, scene.shape) for scenes in trained for scene in scenes}
    seen_orders = {tuple(scene.shape for scene in scenes) for scenes in trained}
    for scenes in evaluated:
        unseen_pair = any((scene.color, scene.shape) not in seen_pairs for scene in scenes)
        assert unseen_pair or (len(scenes) > 1 and tuple(s.shape for s in scenes) not in seen_orders)
    # Every color and shape is trained, with at least five partners, already by the images alone.
    image_pairs = {(image.color, image.shape) for image in plan.images}
    assert min(Counter(color for color, _ in image_pairs).values()) >= 5
    assert min(Counter(shape for _, shape in image_pairs).values()) >= 5
    assert {shape for _, shape in image_pairs} == set(SHAPES) and {color for color, _ in image_pairs} == set(COLORS)
    assert len(set(evaluated)) == 12 and not set(evaluated) & set(trained)


@pytest.mark.parametrize("maximum_scenes", [1, 2, 3])
def test_no_color_or_shape_comes_twice_in_a_clip(maximum_scenes: int) -> None:
    plan = plan_demo(DemoOptions(images=1, maximum_scenes=maximum_scenes, validation_clips=20, test_clips=20))
    for split in (Split.TRAIN, Split.VALIDATION, Split.TEST):
        clips = plan.clips[split]
        assert {len(scenes) for scenes in clips} == set(range(1, maximum_scenes + 1))
        for scenes in clips:
            assert len({scene.shape for scene in scenes}) == len({scene.color for scene in scenes}) == len(scenes)


def test_all_novel_clips_can_be_used_and_no_more() -> None:
    # One scene: 6 held-out pairs, 2 sizes, 7 motions.
    options = DemoOptions(images=1, train_clips=1, maximum_scenes=1, validation_clips=40, test_clips=44)
    plan = plan_demo(options)
    assert len({*plan.clips[Split.VALIDATION], *plan.clips[Split.TEST]}) == 84
    with pytest.raises(DataError, match=r"40 validation and 45 test clips.* only 84 different"):
        plan_demo(options.model_copy(update={"test_clips": 45}))


def test_impossible_corpus_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="maximum_scenes"):
        generate_demo(tmp_path / "demo", DemoOptions(maximum_scenes=1))
    assert not (tmp_path / "demo").exists()


# --- words ------------------------------------------------------------------------------------------------------------

scenes_of_a_clip = st.integers(1, 3).flatmap(
    lambda count: st.tuples(
        st.permutations(SHAPES).map(lambda shapes: shapes[:count]),
        st.permutations(COLORS).map(lambda colors: colors[:count]),
        st.lists(st.sampled_from(SIZES), min_size=count, max_size=count),
        st.lists(st.sampled_from(MOTIONS), min_size=count, max_size=count),
    ).map(lambda parts: tuple(map(Scene, *parts)))
)


@given(scenes=scenes_of_a_clip, seed=st.integers(0, 2**32))
def test_captions_tell_the_scenes_in_order(scenes: Scenes, seed: int) -> None:
    captions = clip_captions(scenes, np.random.default_rng(seed))
    assert len(set(captions)) == 3
    assert all(read_scenes(caption) == scenes for caption in captions)


@given(scenes=scenes_of_a_clip, seed=st.integers(0, 2**32))
def test_questions_have_exactly_one_short_answer(scenes: Scenes, seed: int) -> None:
    questions = clip_questions(scenes, DemoOptions(questions_per_clip=9), np.random.default_rng(seed))
    assert len({item.question for item in questions}) == len(questions) == (5 if len(scenes) == 1 else 9)
    for question, answer in questions:
        assert solve(scenes, question) == answer
        assert 1 <= len(answer.split()) <= 2


@pytest.mark.parametrize("maximum_scenes", [1, 2, 3])
def test_no_answer_is_common(maximum_scenes: int) -> None:
    options = DemoOptions(images=1, maximum_scenes=maximum_scenes, validation_clips=20, test_clips=60)
    generator = np.random.default_rng(0)
    for split in (Split.TRAIN, Split.TEST):
        clips = plan_demo(options).clips[split]
        answers = Counter(item.answer for scenes in clips for item in clip_questions(scenes, options, generator))
        assert max(answers.values()) <= 0.2 * sum(answers.values())


def test_words_are_at_the_head_of_the_vocabulary() -> None:
    head = set(VOCABULARY.read_text(encoding="utf-8").split("\n")[:5000])
    plan = plan_demo(DemoOptions(images=300, train_clips=500))
    generator = np.random.default_rng(0)
    texts = [image_caption(image, generator) for image in plan.images]
    for clips in plan.clips.values():
        for scenes in clips:
            texts += clip_captions(scenes, generator)
            for item in clip_questions(scenes, DemoOptions(questions_per_clip=9), generator):
                texts += item
    assert {word for text in texts for word in text.split(" ")} <= head
    assert max(len(text.split(" ")) for text in texts) <= 36


# --- pictures ---------------------------------------------------------------------------------------------------------


def test_images_show_what_their_caption_says(corpus: Path) -> None:
    extents: dict[str, list[int]] = {"small": [], "big": []}
    for entry in load(corpus, "images_train")[:60]:
        _, word, color, _ = entry["desc"].split()
        frame = np.asarray(Image.open(corpus / "images" / f"{entry['video_id']}.jpg"))
        assert frame.shape == (64, 64, 3)
        pixels = object_pixels(frame)
        extents["small" if word in SIZE_WORDS["small"] else "big"].append(int(np.ptp(pixels, axis=0).max()))
        red, green, blue = np.median(frame[tuple(pixels.T)], axis=0) > 110
        seen = {(1, 0, 0): "red", (0, 1, 0): "green", (0, 0, 1): "blue", (1, 1, 0): "yellow", (1, 1, 1): "white"}
        assert seen.get((int(red), int(green), int(blue)), "black") == color
    assert max(extents["small"]) < min(extents["big"])


def test_clips_decode_to_their_scenes(corpus: Path) -> None:
    for entry in load(corpus, "clips_test") + load(corpus, "clips_validation"):
        scenes = read_scenes(entry["desc"][0])
        frames = decode(corpus / "clips" / f"{entry['video_id']}.mp4")
        assert frames.shape == (8 * len(scenes), 64, 64, 3)
        for scene, first, last in zip(scenes, frames[::8], frames[7::8], strict=True):
            assert observed_motion(object_pixels(first), object_pixels(last)) == scene.motion


def observed_motion(first: np.ndarray, last: np.ndarray) -> str:
    """Which motion took the object from its first pixels to its last ones."""
    growth = len(last) / len(first)
    if not 0.7 < growth < 1.4:
        return "larger" if growth > 1 else "smaller"
    down, right = last.mean(axis=0) - first.mean(axis=0)
    if max(abs(down), abs(right)) < 3:
        return "still"
    if abs(right) > abs(down):
        return "right" if right > 0 else "left"
    return "down" if down > 0 else "up"


@pytest.mark.parametrize("motion", MOTIONS)
@pytest.mark.parametrize("size", SIZES)
def test_objects_stay_inside_the_frame(motion: str, size: str) -> None:
    for seed in range(20):
        scene = Scene(SHAPES[seed % 6], COLORS[seed % 6], size, motion)
        for image in draw_clip((scene,), 32, 5, np.random.default_rng(seed)):
            pixels = object_pixels(np.asarray(image))
            assert pixels.min() >= 1 and pixels.max() <= 30


def test_clip_length_and_rate_follow_the_options(tmp_path: Path) -> None:
    options = DemoOptions(
        images=1,
        train_clips=2,
        validation_clips=1,
        test_clips=1,
        resolution=34,
        frames_per_second=10,
        seconds_per_scene=0.5,
        maximum_scenes=1,
        workers=2,
    )
    generate_demo(tmp_path, options)
    for path in (tmp_path / "clips").iterdir():
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            assert stream.codec_context.name == "h264" and stream.codec_context.pix_fmt == "yuv420p"
            assert stream.average_rate == 10 and (stream.width, stream.height) == (34, 34)
            assert len(list(container.decode(video=0))) == 5


# --- options ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        {"resolution": 63},
        {"resolution": 30},
        {"frames_per_second": 8, "seconds_per_scene": 0.1},
        {"maximum_scenes": 4},
        {"test_clips": 0},
        {"clips": 3},
    ],
)
def test_options_out_of_bounds_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        DemoOptions(**wrong)
