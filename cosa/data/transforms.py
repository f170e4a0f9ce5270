"""From decoded frames to the picture size of the vision encoder; the same draw for all frames of a sample."""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional

CropKind = Literal["none", "crop_flip"]

_SMALLEST_CROP, _LARGEST_CROP = 0.8, 1.0  # share of the picture's area
_CROP_ATTEMPTS = 10
_FLIP_PROBABILITY = 0.5


@dataclass(frozen=True)
class FrameTransform:
    """Brings the frames of one sample to (frames, 3, resolution, resolution).

    `none` resizes to a square, whatever the aspect ratio. `crop_flip` draws a square crop of 80-100 % of the area and
    a horizontal flip in training; in evaluation it resizes the shorter side and takes the centre. On a picture wider
    than 5:4 (or taller than 4:5) no such square fits: the crop is then the central square of full height, which is
    what torchvision's `RandomResizedCrop`, used by the published code, does.

    The data type is kept. uint8 frames stay small on their way to the device and are resized in integer arithmetic,
    at most one grey level from the published floating point resize; floating point frames in [0, 1] are resized
    exactly like there. The published results came from torchvision 0.11, which did not antialias tensors:
    `antialias=False` repeats that.

    Pixels are normalised by the vision encoder, on the device.
    """

    kind: CropKind
    resolution: int
    training: bool
    antialias: bool = True

    def __call__(self, frames: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Transform the frames of one sample.

        Args:
            frames: (frames, 3, height, width), uint8 in [0, 255] or floating point in [0, 1].
            generator: Source of the crop and the flip; needed by `crop_flip` in training, else unused.

        Returns:
            (frames, 3, resolution, resolution) of the same data type, contiguous; the input itself if
            nothing is to be done.

        Raises:
            ValueError: wrong shape, or no generator where one is needed.
        """
        if frames.ndim != 4 or frames.shape[1] != 3:
            raise ValueError(f"expected frames of shape (frames, 3, height, width), found {tuple(frames.shape)}")
        if self.kind == "none":
            return self._resize(frames, self.resolution, self.resolution).contiguous()
        if not self.training:
            return self._resize_and_centre(frames).contiguous()
        if generator is None:
            raise ValueError("crop_flip draws its crop in training: pass a generator")
        return self._random_crop_and_flip(frames, generator).contiguous()

    def _resize(self, frames: Tensor, height: int, width: int) -> Tensor:
        if frames.shape[-2:] == (height, width):
            return frames
        return functional.resize(frames, [height, width], interpolation=InterpolationMode.BILINEAR, antialias=self.antialias)

    def _resize_and_centre(self, frames: Tensor) -> Tensor:
        height, width = frames.shape[-2:]
        short = min(height, width)
        scaled = self._resize(frames, self.resolution * height // short, self.resolution * width // short)
        if scaled.shape[-2:] == (self.resolution, self.resolution):
            return scaled
        return functional.center_crop(scaled, [self.resolution, self.resolution])

    def _random_crop_and_flip(self, frames: Tensor, generator: torch.Generator) -> Tensor:
        top, left, side = random_square(frames.shape[-2], frames.shape[-1], generator)
        cropped = frames[:, :, top : top + side, left : left + side]
        resized = self._resize(cropped, self.resolution, self.resolution)
        flip = torch.rand((), generator=generator).item() < _FLIP_PROBABILITY
        return resized.flip(-1) if flip else resized


def random_square(height: int, width: int, generator: torch.Generator) -> tuple[int, int, int]:
    """Draw a square of 80-100 % of the picture's area; the largest central square if none fits in ten attempts.

    Returns:
        Top row, left column and side in pixels.
    """
    for _ in range(_CROP_ATTEMPTS):
        share = _SMALLEST_CROP + (_LARGEST_CROP - _SMALLEST_CROP) * torch.rand((), generator=generator).item()
        side = round(math.sqrt(share * height * width))
        if 0 < side <= min(height, width):
            top = int(torch.randint(height - side + 1, (), generator=generator))
            left = int(torch.randint(width - side + 1, (), generator=generator))
            return top, left, side
    side = min(height, width)
    return (height - side) // 2, (width - side) // 2, side
