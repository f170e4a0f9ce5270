"""The device that a model computes on."""

from __future__ import annotations

import torch

from cosa.errors import UserError


def usable_device(wanted: str | torch.device | None) -> torch.device:
    """A device that computes: the one that is wanted, or else a GPU if there is one, or else the CPU.

    Raises:
        UserError: this machine has no such device.
    """
    try:
        device = torch.device(wanted or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, ValueError) as error:
        raise UserError(f"device {wanted!r} cannot be used here ({str(error).splitlines()[0]}); leave it out") from error
    return device
