"""What the demo corpus shows: shapes in plain colors that move, and which combinations are kept out of training."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise, permutations, product

import numpy as np

from cosa.datasets.demo_options import DemoOptions
from cosa.errors import DataError

SHAPES = ("circle", "square", "star", "ring", "cross", "heart")
COLORS = ("red", "green", "blue", "yellow", "white", "black")
SIZES = ("small", "big")
MOTIONS = ("left", "right", "up", "down", "larger", "smaller", "still")

# How often a clip has one, two or three scenes: more of the longer ones, since order is what COSA learns.
_SCENE_COUNT_WEIGHTS = (0.2, 0.4, 0.4)


class Split(IntEnum):
    """The parts of the corpus; the number enters the seed of every item, so it must not change."""

    IMAGES = 0
    TRAIN = 1
    VALIDATION = 2
    TEST = 3


class Purpose(IntEnum):
    """What an item's random numbers are used for; each purpose has a stream of its own."""

    HOLD_OUT = 0
    CONTENT = 1
    DRAWING = 2
    CAPTIONS = 3
    QUESTIONS = 4


def random_generator(seed: int, purpose: Purpose, split: Split, index: int) -> np.random.Generator:
    """The generator of one item: it depends on these four values only, never on who draws the item or when."""
    return np.random.default_rng(np.random.SeedSequence(entropy=seed, spawn_key=(purpose, split, index)))


@dataclass(frozen=True)
class Scene:
    """One object in front of a grey background, and what it does. An image is a scene whose motion is `still`."""

    shape: str
    color: str
    size: str
    motion: str = "still"


# A clip is the sequence of its scenes; this sequence is also its description, whatever words tell it.
Scenes = tuple[Scene, ...]


@dataclass(frozen=True)
class HoldOut:
    """The combinations that no training image and no training clip shows.

    `pairs` are (color, shape) pairs; each color and each shape is in at most one of them, so all six colors and all
    six shapes are trained with at least five partners. `successions` are (shape, next shape) steps between neighbouring
    scenes; they form one cycle through all shapes, so every shape still leads to, and follows, four others in training,
    and of a held-out step the reverse is trained.
    """

    pairs: frozenset[tuple[str, str]]
    successions: frozenset[tuple[str, str]]

    @classmethod
    def from_options(cls, options: DemoOptions) -> "HoldOut":
        """Draw the held-out combinations from the corpus' seed."""
        generator = random_generator(options.seed, Purpose.HOLD_OUT, Split.TEST, 0)
        colors, partners = generator.permutation(COLORS).tolist(), generator.permutation(SHAPES).tolist()
        cycle = generator.permutation(SHAPES).tolist()
        pairs = list(zip(colors, partners, strict=True))[: options.held_out_pairs]
        return cls(frozenset(pairs), frozenset(pairwise([*cycle, cycle[0]])))

    def is_novel(self, scenes: Scenes) -> bool:
        """Whether the clip has a held-out pair or a held-out succession, that is, can not occur in training."""
        return self._is_novel([scene.shape for scene in scenes], [scene.color for scene in scenes])

    def _is_novel(self, shapes: list[str], colors: list[str]) -> bool:
        return any(pair in self.pairs for pair in zip(colors, shapes, strict=True)) or any(
            succession in self.successions for succession in pairwise(shapes)
        )

    def trained_pairs(self) -> list[tuple[str, str]]:
        """The (color, shape) pairs of the training images and clips, in a fixed order."""
        return [pair for pair in product(COLORS, SHAPES) if pair not in self.pairs]

    def count_novel(self, maximum_scenes: int) -> int:
        """How many different clips of up to `maximum_scenes` scenes are novel."""
        total = 0
        for scene_count in range(1, maximum_scenes + 1):
            shapes, colors = permutations(SHAPES, scene_count), permutations(COLORS, scene_count)
            combinations = sum(self._is_novel(list(s), list(c)) for s, c in product(shapes, colors))
            total += combinations * (len(SIZES) * len(MOTIONS)) ** scene_count
        return total


@dataclass(frozen=True)
class DemoPlan:
    """What every image and clip of a corpus shows, before anything is drawn."""

    hold_out: HoldOut
    images: tuple[Scene, ...]
    clips: dict[Split, tuple[Scenes, ...]]


def plan_demo(options: DemoOptions) -> DemoPlan:
    """Decide what every image and clip shows.

    Training images go round all trained (color, shape) pairs in both sizes; training clips are drawn from all clips
    without a held-out pair or succession (see `HoldOut`). Every validation and test clip has at least one of them, so
    its description is never trained, and no two clips of validation and test together have the same description.

    Raises:
        DataError: fewer novel clips exist than validation and test clips are wanted.
    """
    hold_out = HoldOut.from_options(options)
    wanted = options.validation_clips + options.test_clips
    available = hold_out.count_novel(options.maximum_scenes)
    if wanted > available:
        raise DataError(
            f"The demo corpus can not have {options.validation_clips} validation and {options.test_clips} test clips: "
            f"with maximum_scenes {options.maximum_scenes} and held_out_pairs {options.held_out_pairs} only "
            f"{available} different clips with a combination kept out of training exist. "
            f"Lower validation_clips or test_clips, or raise maximum_scenes or held_out_pairs."
        )
    shown = list(product(SIZES, hold_out.trained_pairs()))
    images = tuple(
        Scene(shape, color, size) for size, (color, shape) in (shown[index % len(shown)] for index in range(options.images))
    )
    used: set[Scenes] = set()
    clips = {
        Split.TRAIN: tuple(next(_draw_clips(options, hold_out, Split.TRAIN, index)) for index in range(options.train_clips)),
        Split.VALIDATION: tuple(_distinct_clips(options, hold_out, Split.VALIDATION, options.validation_clips, used)),
        Split.TEST: tuple(_distinct_clips(options, hold_out, Split.TEST, options.test_clips, used)),
    }
    return DemoPlan(hold_out, images, clips)


def _distinct_clips(options: DemoOptions, hold_out: HoldOut, split: Split, count: int, used: set[Scenes]) -> Iterator[Scenes]:
    """Draw clips, each one anew until it is not in `used`; ends because enough novel clips exist (checked before)."""
    for index in range(count):
        scenes = next(scenes for scenes in _draw_clips(options, hold_out, split, index) if scenes not in used)
        used.add(scenes)
        yield scenes


def _draw_clips(options: DemoOptions, hold_out: HoldOut, split: Split, index: int) -> Iterator[Scenes]:
    """An endless row of clips for one place of a split: trained ones in training, novel ones in the other splits."""
    generator = random_generator(options.seed, Purpose.CONTENT, split, index)
    weights = np.array(_SCENE_COUNT_WEIGHTS[: options.maximum_scenes])
    while True:
        # The scene count is fixed first, so that leaving out unfit clips does not change how often each count occurs.
        scene_count = 1 + int(generator.choice(len(weights), p=weights / weights.sum()))
        scenes = draw_scenes(generator, scene_count)
        while hold_out.is_novel(scenes) != (split is not Split.TRAIN):
            scenes = draw_scenes(generator, scene_count)
        yield scenes


def draw_scenes(generator: np.random.Generator, scene_count: int) -> Scenes:
    """Scenes whose shapes all differ and whose colors all differ, so that either names one object of the clip."""
    shapes = generator.permutation(SHAPES)[:scene_count].tolist()
    colors = generator.permutation(COLORS)[:scene_count].tolist()
    sizes = generator.choice(SIZES, scene_count).tolist()
    motions = generator.choice(MOTIONS, scene_count).tolist()
    return tuple(map(Scene, shapes, colors, sizes, motions))
