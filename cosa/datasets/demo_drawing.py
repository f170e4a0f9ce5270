"""Draws the demo corpus: one antialiased shape on grey, as a JPEG image or as the frames of an h264 clip."""

import math
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image, ImageDraw

from cosa.datasets.demo_scenes import Scene, Scenes

_SUPERSAMPLING = 4
_JPEG_QUALITY = 92
_VIDEO_QUALITY = "18"  # x264's constant rate factor: higher is smaller and worse; 18 keeps the edges at 64 x 64

Rgb = tuple[int, int, int]

_COLOR_VALUES: dict[str, Rgb] = {
    "red": (222, 24, 28),
    "green": (20, 160, 40),
    "blue": (30, 60, 228),
    "yellow": (244, 222, 24),
    "white": (250, 250, 250),
    "black": (8, 8, 8),
}
# Half the extent of an object as a share of the frame's side: (least, most). Small and big never meet.
_RADII = {"small": (0.18, 0.20), "big": (0.30, 0.34)}
_CHANGING_RADII = {"small": (0.11, 0.21), "big": (0.23, 0.36)}
# Objects stand on, and move along, a grid with so many lines a side. A tiny encoder that cuts a frame into as many patches
# meets the same patches again and again, and tells shapes apart after a minute of training instead of many.
GRID = 8
_DIRECTIONS = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}

# Centre x, centre y and radius, in pixels.
Pose = tuple[float, float, float]


def draw_image(scene: Scene, resolution: int, generator: np.random.Generator) -> Image.Image:
    """Draw a scene that stands still, at a random place, as an RGB image of `resolution` x `resolution` pixels."""
    return _draw_scene(scene, resolution, 1, generator)[0]


def save_image(image: Image.Image, path: Path) -> None:
    """Write a JPEG file; full chroma resolution, since colors of small objects matter here."""
    image.save(path, quality=_JPEG_QUALITY, subsampling=0)


def draw_clip(scenes: Scenes, resolution: int, frames_per_scene: int, generator: np.random.Generator) -> list[Image.Image]:
    """Draw all frames of a clip: `frames_per_scene` for every scene, with a hard cut between scenes."""
    return [frame for scene in scenes for frame in _draw_scene(scene, resolution, frames_per_scene, generator)]


def save_clip(frames: list[Image.Image], path: Path, frames_per_second: int, frames_per_scene: int) -> None:
    """Encode frames of one even size as an h264 MP4 file whose bytes depend on the frames only.

    One encoder thread and no B-frames: the result does not depend on timing and needs no edit list. Every scene begins
    with a key frame, so that nothing of the scene before it is left at the cut.
    """
    with av.open(str(path), "w", format="mp4", container_options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream("libx264", rate=Fraction(frames_per_second))
        stream.width, stream.height = frames[0].size
        stream.pix_fmt = "yuv420p"
        stream.gop_size = frames_per_scene
        stream.thread_count = 1
        # Otherwise x264's vector code for AVX-512 gives bytes that depend on where in memory a frame lies.
        stream.options = {"preset": "ultrafast", "crf": _VIDEO_QUALITY, "x264-params": "cpu-independent=1"}
        for image in frames:
            container.mux(stream.encode(av.VideoFrame.from_image(image)))
        container.mux(stream.encode(None))


def _draw_scene(scene: Scene, resolution: int, count: int, generator: np.random.Generator) -> list[Image.Image]:
    shade = generator.integers(112, 148)
    background = tuple((shade + generator.integers(-7, 8, size=3)).tolist())
    offsets = generator.integers(-14, 15, size=3)
    color = tuple(np.clip(np.array(_COLOR_VALUES[scene.color]) + offsets, 0, 255).tolist())
    poses = _poses(scene, resolution, count, generator)
    canvas = Image.new("RGB", (resolution, resolution), background)
    return [_draw_object(canvas.copy(), scene.shape, color, pose) for pose in poses]


def _poses(scene: Scene, resolution: int, count: int, generator: np.random.Generator) -> list[Pose]:
    """Where the object is in each frame: on the grid, and inside the frame, at least one pixel from the border."""
    if scene.motion in ("larger", "smaller"):
        least, most = (resolution * share for share in _CHANGING_RADII[scene.size])
        start, end = (least, most) if scene.motion == "larger" else (most, least)
    else:
        start = end = most = resolution * generator.uniform(*_RADII[scene.size])
    spacing = resolution / GRID
    nearest, farthest = math.ceil((most + 1) / spacing), math.floor((resolution - most - 1) / spacing)  # grid lines
    first = generator.integers(nearest, farthest + 1, size=2)  # the object's centre, x and y
    last = first.copy()
    for axis, direction in enumerate(_DIRECTIONS.get(scene.motion, (0, 0))):
        if direction:  # a move crosses all the room there is, so that also few sampled frames show it
            first[axis], last[axis] = (nearest, farthest)[::direction]
    return [
        (
            float(spacing * round(first[0] + progress * (last[0] - first[0]))),
            float(spacing * round(first[1] + progress * (last[1] - first[1]))),
            float(start + progress * (end - start)),
        )
        for progress in np.linspace(0, 1, count)
    ]


def _draw_object(canvas: Image.Image, shape: str, color: tuple[int, ...], pose: Pose) -> Image.Image:
    """Paste the object through a mask drawn larger and reduced: antialiased, at a place finer than a pixel."""
    x, y, radius = pose
    left, top = math.floor(x - radius) - 1, math.floor(y - radius) - 1
    side = math.ceil(2 * radius) + 3
    mask = Image.new("L", (side * _SUPERSAMPLING, side * _SUPERSAMPLING))
    draw = ImageDraw.Draw(mask)
    centre = np.array([x - left, y - top])
    if shape in ("circle", "ring"):
        _draw_disc(draw, centre, radius, 255)
        if shape == "ring":
            _draw_disc(draw, centre, 0.52 * radius, 0)
    else:
        points = (centre + radius * _outline(shape)) * _SUPERSAMPLING
        draw.polygon([(float(a), float(b)) for a, b in points], fill=255)
    canvas.paste(color, (left, top), mask.reduce(_SUPERSAMPLING))
    return canvas


def _draw_disc(draw: ImageDraw.ImageDraw, centre: np.ndarray, radius: float, fill: int) -> None:
    first, last = (centre - radius) * _SUPERSAMPLING, (centre + radius) * _SUPERSAMPLING
    draw.ellipse((float(first[0]), float(first[1]), float(last[0]), float(last[1])), fill=fill)


def _outline(shape: str) -> np.ndarray:
    """A polygon inside the square from -1 to 1, as (points, 2) x and y; y points down."""
    if shape == "square":
        return 0.88 * np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)])
    if shape == "cross":
        arm = 0.32
        corner = np.array([(arm, -1), (arm, -arm), (1, -arm)])
        turns = [np.linalg.matrix_power(np.array([(0, 1), (-1, 0)]), turn) for turn in range(4)]
        return np.concatenate([corner @ turn for turn in turns])
    if shape == "star":
        angles = np.arange(10) * np.pi / 5
        lengths = np.where(np.arange(10) % 2 == 0, 1.0, 0.42)
        return np.stack([lengths * np.sin(angles), -lengths * np.cos(angles)], axis=1)
    angles = np.linspace(0, 2 * np.pi, 48, endpoint=False)  # the heart curve, scaled into the square
    across = np.sin(angles) ** 3
    upwards = 13 * np.cos(angles) - 5 * np.cos(2 * angles) - 2 * np.cos(3 * angles) - np.cos(4 * angles)
    return np.stack([across, -(upwards + 2.5) / 14.5], axis=1)
