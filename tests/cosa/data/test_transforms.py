import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from cosa.data.transforms import CropKind, FrameTransform, random_square


def make(kind: CropKind, resolution: int = 32, training: bool = False, antialias: bool = True) -> FrameTransform:
    return FrameTransform(kind, resolution, training, antialias)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("kind", ["none", "crop_flip"])
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("size", [(48, 80), (80, 48), (33, 32), (16, 16), (1, 1)])
def test_shape_and_data_type(kind: CropKind, training: bool, size: tuple[int, int]) -> None:
    transform = make(kind, training=training)
    for frames in (noise(2, 3, *size), noise(2, 3, *size).float() / 255):
        out = transform(frames, generator())
        assert out.shape == (2, 3, 32, 32)
        assert out.dtype == frames.dtype
        assert out.is_contiguous()


def test_nothing_is_computed_at_the_right_size() -> None:
    frames = noise(2, 3, 32, 32)
    assert make("none")(frames) is frames
    assert make("none", training=True)(frames) is frames
    assert make("crop_flip")(frames) is frames


@pytest.mark.parametrize("antialias", [True, False])
def test_uint8_stays_within_a_grey_level_of_the_floating_point_resize(antialias: bool) -> None:
    frames = noise(2, 3, 90, 120)
    transform = make("none", antialias=antialias)
    exact = transform(frames.float() / 255)
    resize = torch.nn.functional.interpolate
    published = resize(frames.float() / 255, (32, 32), mode="bilinear", align_corners=False, antialias=antialias)
    torch.testing.assert_close(exact, published)
    assert (transform(frames).float() - exact * 255).abs().max() < 1.05


def test_antialiasing_makes_a_difference() -> None:
    frames = noise(1, 3, 128, 128)
    assert not torch.equal(make("none")(frames), make("none", antialias=False)(frames))


def test_evaluation_takes_the_centre() -> None:
    frames = torch.zeros(1, 3, 32, 96, dtype=torch.uint8)
    frames[:, :, :, 32:64] = 200
    assert (make("crop_flip")(frames) == 200).all()


def test_training_is_the_same_for_all_frames_and_repeats_with_its_seed() -> None:
    frames = noise(1, 3, 40, 44).expand(4, -1, -1, -1)
    transform = make("crop_flip", training=True)
    out = transform(frames, generator(3))
    assert all(torch.equal(out[0], frame) for frame in out)
    state = torch.random.get_rng_state()
    assert torch.equal(out, transform(frames, generator(3)))
    assert torch.equal(torch.random.get_rng_state(), state)  # the global generator is not touched
    assert any(not torch.equal(out, transform(frames, generator(seed))) for seed in range(4, 8))


def test_half_of_the_samples_are_flipped() -> None:
    frames = torch.arange(32, dtype=torch.uint8).expand(1, 3, 32, 32) * 8
    transform = make("crop_flip", training=True)
    rng = generator()
    flipped = sum(int(out[0, 0, 0, 0]) > int(out[0, 0, 0, -1]) for out in (transform(frames, rng) for _ in range(200)))
    assert 70 < flipped < 130


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 300), st.integers(1, 300), st.integers(0, 2**32))
def test_random_squares_lie_inside_the_picture(height: int, width: int, seed: int) -> None:
    top, left, side = random_square(height, width, generator(seed))
    assert side >= 1
    assert 0 <= top <= height - side
    assert 0 <= left <= width - side
    if height == width:
        assert side >= int(0.8**0.5 * height)


def test_wide_pictures_get_the_central_square_like_torchvision() -> None:
    assert random_square(90, 160, generator()) == (0, 35, 90)


def test_misuse() -> None:
    with pytest.raises(ValueError, match="generator"):
        make("crop_flip", training=True)(noise(1, 3, 8, 8))
    with pytest.raises(ValueError, match="shape"):
        make("none")(noise(3, 8, 8))
