"""The demo corpus: drawn at run time from a seed, so that every experiment has data without any download.

Images show one object; clips show one to three objects, one after the other, each with a motion. A small model learns
from them in minutes what COSA is about: which sentence belongs to which part of a video, and in which order.

What is held out. The seed chooses (color, shape) pairs, and a cycle of (shape, next shape) successions, that no
training image and no training clip shows; see `HoldOut`. Every validation and test clip has at least one held-out pair
or, if it has several scenes, at least one held-out succession: then its order of shapes was never trained. No two clips
of validation and test together have the same description, and none of them has that of a training clip.
"""

import json
from pathlib import Path
from typing import Any

from cosa.datasets.demo_captions import clip_captions, clip_questions, image_caption
from cosa.datasets.demo_media import Item, write_media
from cosa.datasets.demo_options import DemoOptions
from cosa.datasets.demo_scenes import DemoPlan, Purpose, Split, plan_demo, random_generator

_CLIP_SPLITS = (Split.TRAIN, Split.VALIDATION, Split.TEST)
Entries = list[dict[str, Any]]
# What the annotation files hold, by name without ".json".
Annotations = dict[str, Any]


def generate_demo(folder: Path, options: DemoOptions) -> dict[str, int]:
    """Write the corpus that `options` describes under `folder` and return how much of each kind was written.

    Files: `images/<image_id>.jpg`, `clips/<video_id>.mp4` (h264, yuv420p) and `images_train.json`; `clips_<split>.json`
    and `questions_<split>.json` with one entry a caption or question in training and one entry a clip, holding lists,
    in validation and test; `references_<split>.json` with the captions of validation and test in COCO's form.
    The same options give the same bytes, whatever `workers` is. Files of the same names are overwritten. With more than
    one worker, processes are spawned: a script that calls this needs the usual `if __name__ == "__main__"`.

    Raises:
        DataError: more validation and test clips are wanted than different ones exist.
    """
    plan = plan_demo(options)
    items = [
        Item(f"images/{_item_id(Split.IMAGES, index)}", Split.IMAGES, index, scene) for index, scene in enumerate(plan.images)
    ]
    for split in _CLIP_SPLITS:
        items += [
            Item(f"clips/{_item_id(split, index)}", split, index, scenes) for index, scenes in enumerate(plan.clips[split])
        ]
    write_media(folder, items, options)
    annotations = _annotate_images(plan, options)
    for split in _CLIP_SPLITS:
        annotations |= _annotate_clips(plan, split, options)
    for name, content in annotations.items():
        (folder / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return {
        "images": options.images,
        "train_clips": options.train_clips,
        "validation_clips": options.validation_clips,
        "test_clips": options.test_clips,
        "train_captions": len(annotations["clips_train"]),
        "train_questions": len(annotations["questions_train"]),
    }


def _item_id(split: Split, index: int) -> str:
    """The `video_id` of an image or clip, such as "image_00012" or "test_00003"."""
    return f"{'image' if split is Split.IMAGES else split.name.lower()}_{index:05d}"


def _annotate_images(plan: DemoPlan, options: DemoOptions) -> Annotations:
    entries = []
    for index, scene in enumerate(plan.images):
        generator = random_generator(options.seed, Purpose.CAPTIONS, Split.IMAGES, index)
        entries.append({"video_id": _item_id(Split.IMAGES, index), "desc": image_caption(scene, generator)})
    return {"images_train": entries}


def _annotate_clips(plan: DemoPlan, split: Split, options: DemoOptions) -> Annotations:
    """The captions and questions of a split, one entry a text in training and one a clip elsewhere."""
    captions: Entries = []
    questions: Entries = []
    references: Entries = []
    for index, scenes in enumerate(plan.clips[split]):
        video_id = _item_id(split, index)
        texts = clip_captions(scenes, random_generator(options.seed, Purpose.CAPTIONS, split, index))
        asked = clip_questions(scenes, options, random_generator(options.seed, Purpose.QUESTIONS, split, index))
        if split is Split.TRAIN:
            captions += [{"video_id": video_id, "desc": text} for text in texts]
            questions += [{"video_id": video_id, **item._asdict()} for item in asked]
            continue
        captions.append({"video_id": video_id, "desc": texts})
        asked_texts, answers = [item.question for item in asked], [item.answer for item in asked]
        questions.append({"video_id": video_id, "question": asked_texts, "answer": answers})
        references += [{"video_id": video_id, "caption": text} for text in texts]
    name = split.name.lower()
    annotations: Annotations = {f"clips_{name}": captions, f"questions_{name}": questions}
    return annotations if split is Split.TRAIN else annotations | {f"references_{name}": {"annotations": references}}
