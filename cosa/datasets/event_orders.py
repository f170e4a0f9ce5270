"""A corpus in which only the order of events tells clips apart, drawn at run time from a seed.

Images show one object, and their captions name it. Clips show several objects that move, one after the other; their captions
are paragraphs of one sentence an event, joined by spaces as concatenated samples are. Of every set of events in validation and
test there is a clip for each order, `clips/<split>_<set>/<order>.mp4`, so that a paragraph differs from those of the other
clips in its folder in the order of its sentences alone. No set occurs twice, in whatever split. Images show no order, and no
motion.
"""

import json
from collections.abc import Iterator, Sequence
from itertools import permutations, product
from pathlib import Path
from typing import Any

from cosa.datasets.demo_captions import image_caption, order_questions
from cosa.datasets.demo_media import Item, write_media
from cosa.datasets.demo_scenes import COLORS, SHAPES, SIZES, Purpose, Scene, Scenes, Split, draw_scenes, random_generator
from cosa.datasets.event_orders_options import EventOrdersOptions

_CLIP_SPLITS = (Split.TRAIN, Split.VALIDATION, Split.TEST)


def generate_event_orders(folder: Path, options: EventOrdersOptions) -> dict[str, int]:
    """Write the corpus that `options` describes under `folder`, and return how much of each kind was written.

    Files: `images/<image_id>.jpg` and `images_train.json`; `clips/...mp4` and, for each split, `clips_<split>.json`,
    `questions_<split>.json` (about the order of events) and, but for training, `references_<split>.json` in COCO's form. The
    same options give the same bytes, whatever `workers` is. Files of the same names are overwritten.
    """
    shown = list(product(SIZES, COLORS, SHAPES))
    images = [Scene(shape, color, size) for size, color, shape in (shown[i % len(shown)] for i in range(options.images))]
    items = [Item(f"images/image_{index:05d}", Split.IMAGES, index, scene) for index, scene in enumerate(images)]
    clips = {split: list(_clips(split, sets)) for split, sets in _draw_sets(options).items()}
    for split, found in clips.items():
        items += [Item(f"clips/{name}", split, index, scenes) for index, (name, scenes) in enumerate(found)]
    write_media(folder, items, options)
    files: dict[str, Any] = {"images_train": [_caption(item, options.seed) for item in items[: len(images)]]}
    for split, found in clips.items():
        files |= _annotations(split, found, options.seed)
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return {"images": len(images)} | {f"{split.name.lower()}_clips": len(found) for split, found in clips.items()}


def _draw_sets(options: EventOrdersOptions) -> dict[Split, list[Scenes]]:
    """Sets of events, none of them twice: two sets differ in their objects, not only in motions."""
    wanted = dict(zip(_CLIP_SPLITS, (options.train_clips, options.validation_sets, options.test_sets), strict=True))
    used: set[frozenset[tuple[str, str]]] = set()
    drawn: dict[Split, list[Scenes]] = {}
    for split, count in wanted.items():
        drawn[split] = []
        for index in range(count):
            generator = random_generator(options.seed, Purpose.CONTENT, split, index)
            scenes = draw_scenes(generator, options.events)
            while (objects := frozenset((scene.color, scene.shape) for scene in scenes)) in used:
                scenes = draw_scenes(generator, options.events)
            used.add(objects)
            drawn[split].append(scenes)
    return drawn


def _clips(split: Split, sets: Sequence[Scenes]) -> Iterator[tuple[str, Scenes]]:
    """Yield the identifier and the events of each clip: one of each set in training, elsewhere one for each order."""
    for number, scenes in enumerate(sets):
        name = f"{split.name.lower()}_{number:05d}"
        if split is Split.TRAIN:
            yield name, scenes
            continue
        for order, ordered in enumerate(permutations(scenes)):
            yield f"{name}/{order}", ordered


def _caption(item: Item, seed: int) -> dict[str, Any]:
    assert isinstance(item.content, Scene)
    generator = random_generator(seed, Purpose.CAPTIONS, item.split, item.index)
    return {"video_id": item.name.removeprefix("images/"), "desc": image_caption(item.content, generator)}


def _annotations(split: Split, clips: Sequence[tuple[str, Scenes]], seed: int) -> dict[str, Any]:
    """Captions, questions and references of a split, by name of the file."""
    captions, questions, references = [], [], []
    for index, (video_id, scenes) in enumerate(clips):
        generator = random_generator(seed, Purpose.CAPTIONS, split, index)
        text = " ".join(image_caption(scene, generator) for scene in scenes)
        asked = order_questions(scenes, random_generator(seed, Purpose.QUESTIONS, split, index))
        captions.append({"video_id": video_id, "desc": text})
        references.append({"video_id": video_id, "caption": text})
        if split is Split.TRAIN:
            questions += [{"video_id": video_id, **item._asdict()} for item in asked]
        else:
            texts, answers = [item.question for item in asked], [item.answer for item in asked]
            questions.append({"video_id": video_id, "question": texts, "answer": answers})
    name = split.name.lower()
    files: dict[str, Any] = {f"clips_{name}": captions, f"questions_{name}": questions}
    return files if split is Split.TRAIN else files | {f"references_{name}": {"annotations": references}}
