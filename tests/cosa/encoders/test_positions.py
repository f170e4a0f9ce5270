import pytest
import torch

from cosa.encoders.positions import positions_before_grids, resize_position_grid


@pytest.mark.parametrize(
    ("counts", "before"),
    [
        ((16, 4), 0),  # no class token
        ((17, 5), 1),
        ((577, 197), 1),
        ((20, 40), 4),  # registers with positions of their own
        ((1370, 256), None),  # one with a class token, one without
        ((17, 6), None),
    ],
)
def test_positions_before_grids(counts: tuple[int, ...], before: int | None) -> None:
    assert positions_before_grids(*counts) == before


def test_a_grid_is_never_taken_for_one_with_a_class_token() -> None:
    for side in range(1, 40):
        for other in range(1, 40):
            assert positions_before_grids(side**2, other**2) == 0
            assert positions_before_grids(1 + side**2, 1 + other**2) == 1


def test_what_stands_before_a_grid_stays() -> None:
    positions = torch.randn(1, 3 + 16, 5)
    found = resize_position_grid(positions, 3 + 4)
    assert torch.equal(found[:, :3], positions[:, :3])
    torch.testing.assert_close(found[:, 3:].mean(1), positions[:, 3:].mean(1))


def test_numbers_that_are_no_grids_are_refused() -> None:
    with pytest.raises(ValueError, match="17 and 4 positions are no square grids"):
        resize_position_grid(torch.randn(1, 17, 2), 4)
