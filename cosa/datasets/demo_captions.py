"""The words of the demo corpus: captions, paraphrases, questions and short answers about its scenes.

All words are whole entries among the first 5,000 of BERT's vocabulary, so that a small text encoder which keeps only
the head of the vocabulary reads them without splitting. Every caption tells shape, color, size and motion of every
scene in order; two clips with different scenes therefore never share a caption.
"""

from typing import NamedTuple

import numpy as np

from cosa.datasets.demo_options import DemoOptions
from cosa.datasets.demo_scenes import Scene, Scenes

CAPTIONS_PER_CLIP = 3

SIZE_WORDS = {"small": ("small", "little"), "big": ("big", "large")}
# Three ways (CAPTIONS_PER_CLIP) to tell each motion; the first one is also the answer to a question about it.
MOTION_PHRASES = {
    "left": ("goes left", "is moving left", "goes to the left"),
    "right": ("goes right", "is moving right", "goes to the right"),
    "up": ("goes up", "is moving up", "is going up"),
    "down": ("goes down", "is moving down", "is going down"),
    "larger": ("gets larger", "is growing", "becomes larger"),
    "smaller": ("gets smaller", "is getting smaller", "becomes smaller"),
    "still": ("remains still", "stands still", "does not move"),
}
# What opens a paragraph, what joins its sentences, and what comes before its last sentence.
_PARAGRAPHS = (
    ("", " then ", " then "),
    ("first ", " then ", " and finally "),
    ("", " and then ", " and after that "),
)
_COUNT_WORDS = ("one", "two", "three")


class Question(NamedTuple):
    """A question about a clip and its only right answer, one or two words."""

    question: str
    answer: str


def image_caption(scene: Scene, generator: np.random.Generator) -> str:
    """The description of an object, such as "a big red circle"."""
    return f"a {generator.choice(SIZE_WORDS[scene.size])} {scene.color} {scene.shape}"


def clip_captions(scenes: Scenes, generator: np.random.Generator) -> list[str]:
    """Different captions of one clip: no two of them tell a motion, or join their sentences, in the same way."""
    # Row i orders the phrases of scene i; caption j takes column j.
    phrase_orders = [generator.permutation(CAPTIONS_PER_CLIP) for _ in scenes]
    paragraph_order = generator.permutation(CAPTIONS_PER_CLIP)
    captions = []
    for column in range(CAPTIONS_PER_CLIP):
        sentences = [
            f"{image_caption(scene, generator)} {MOTION_PHRASES[scene.motion][order[column]]}"
            for scene, order in zip(scenes, phrase_orders, strict=True)
        ]
        captions.append(_join(sentences, _PARAGRAPHS[paragraph_order[column]]))
    return captions


def _join(sentences: list[str], paragraph: tuple[str, str, str]) -> str:
    opening, joint, last_joint = paragraph
    if len(sentences) == 1:
        return sentences[0]
    return opening + joint.join(sentences[:-1]) + last_joint + sentences[-1]


def clip_questions(scenes: Scenes, options: DemoOptions, generator: np.random.Generator) -> list[Question]:
    """Up to `questions_per_clip` questions about a clip, of different kinds; one scene allows fewer kinds than several.

    Each kind asks about a scene drawn at random. The number of objects is not asked where all clips show one
    (`maximum_scenes` is 1), for its answer would be known without looking.
    """
    kinds = [_ask_color, _ask_shape, _ask_motion, _ask_size]
    if options.maximum_scenes > 1:
        kinds.append(_ask_count)
    if len(scenes) > 1:
        kinds += _ABOUT_ORDER
    order = generator.permutation(len(kinds))[: options.questions_per_clip]
    return [kinds[position](scenes, generator) for position in order]


def order_questions(scenes: Scenes, generator: np.random.Generator) -> list[Question]:
    """One question of each kind that only the order of several scenes answers."""
    return [ask(scenes, generator) for ask in _ABOUT_ORDER]


def _any_scene(scenes: Scenes, generator: np.random.Generator) -> Scene:
    return scenes[generator.integers(len(scenes))]


def _ask_color(scenes: Scenes, generator: np.random.Generator) -> Question:
    scene = _any_scene(scenes, generator)
    return Question(f"what color is the {scene.shape}", scene.color)


def _ask_shape(scenes: Scenes, generator: np.random.Generator) -> Question:
    scene = _any_scene(scenes, generator)
    return Question(f"which shape is {scene.color}", scene.shape)


def _ask_motion(scenes: Scenes, generator: np.random.Generator) -> Question:
    scene = _any_scene(scenes, generator)
    return Question(f"what does the {scene.color} {scene.shape} do", MOTION_PHRASES[scene.motion][0])


def _ask_size(scenes: Scenes, generator: np.random.Generator) -> Question:
    scene = _any_scene(scenes, generator)
    return Question(f"is the {scene.shape} big or small", scene.size)


def _ask_count(scenes: Scenes, generator: np.random.Generator) -> Question:
    verb = generator.choice(("appear", "are shown"))
    return Question(f"how many things {verb}", _COUNT_WORDS[len(scenes) - 1])


def _ask_end_color(scenes: Scenes, generator: np.random.Generator) -> Question:
    end, scene = _any_end(scenes, generator)
    return Question(f"what color comes {end}", scene.color)


def _ask_end_shape(scenes: Scenes, generator: np.random.Generator) -> Question:
    end, scene = _any_end(scenes, generator)
    return Question(f"which shape comes {end}", scene.shape)


def _ask_next_color(scenes: Scenes, generator: np.random.Generator) -> Question:
    position = generator.integers(1, len(scenes))
    return Question(f"what color comes after the {scenes[position - 1].shape}", scenes[position].color)


def _ask_next_shape(scenes: Scenes, generator: np.random.Generator) -> Question:
    position = generator.integers(1, len(scenes))
    before = scenes[position - 1]
    return Question(f"which shape comes after the {before.color} {before.shape}", scenes[position].shape)


def _any_end(scenes: Scenes, generator: np.random.Generator) -> tuple[str, Scene]:
    return ("first", scenes[0]) if generator.integers(2) == 0 else ("last", scenes[-1])


_ABOUT_ORDER = (_ask_end_color, _ask_end_shape, _ask_next_color, _ask_next_shape)
