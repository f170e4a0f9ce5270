"""How weights of an image encoder are named and kept in files that others published. No torch here, as in the families."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from cosa.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor


class PublishedVision(ABC):
    """The file of an encoder's authors, which COSA's published checkpoints hold below a name of their own.

    Names are those of the authors' file, unless said otherwise. The layout of all weights is timm's, but for unit dimensions.
    """

    @property
    @abstractmethod
    def authors(self) -> str:
        """Whose files, and of what, for messages: "Microsoft's Swin"."""

    @property
    @abstractmethod
    def place(self) -> str:
        """What stands before the authors' names in COSA's published checkpoints, such as "video_encoder."."""

    @property
    @abstractmethod
    def below(self) -> str:
        """What stands before the image encoder's names in the authors' file: "visual." where a text encoder is beside it."""

    @property
    @abstractmethod
    def mark(self) -> str:
        """A name that tells the authors' files from those of others."""

    @property
    @abstractmethod
    def option(self) -> str:
        """A part of the published option `video_encoder_type` that names the family."""

    @property
    @abstractmethod
    def unused(self) -> Mapping[str, str]:
        """Why COSA does not use a weight, by a regular expression that is searched for in its name."""

    @abstractmethod
    def rename(self, name: str) -> str:
        """A name of timm's encoder in the authors' way, without `below`.

        Raises:
            KeyError: they have nothing of the kind.
        """

    @abstractmethod
    def as_loaded(self, weights: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Weights with the values that the authors' own loader gives them."""

    @abstractmethod
    def sizes(self, weights: Mapping[str, Tensor], path: Path, *, heads: int | None, resolution: int | None) -> dict[str, Any]:
        """Fields of the VisionConfig that weights belong to.

        Args:
            weights: by name.
            path: of the file, for messages.
            heads: attention heads, where no shape tells them.
            resolution: side of the images, pixels, where no shape tells it.

        Raises:
            UserError: these are no weights of the family, or a size has to be given.
        """

    @property
    def prefix(self) -> str:
        """What stands before the image encoder's names in COSA's published checkpoints."""
        return self.place + self.below

    def name(self, ours: str) -> str:
        """The name of a weight of timm's encoder."""
        return self.below + self.rename(ours)

    def holds(self, names: Collection[str]) -> bool:
        """Whether a file's names are the authors' (timm's own are others)."""
        return self.mark in names

    def reason_unused(self, name: str) -> str | None:
        """Why COSA does not use a weight; None if that is not known."""
        return next((reason for pattern, reason in self.unused.items() if re.search(pattern, name)), None)


def expect_all(missing: Iterable[str], path: Path, what: str) -> None:
    """Complain about keys that a file should have.

    Raises:
        UserError: there are any.
    """
    names = list(missing)
    if names:
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        raise UserError(
            f"{path.resolve()} lacks {', '.join(names[:3])}{more}; expected {what}. Give the full file, or one of a model "
            "of these sizes"
        )


def count(names: Iterable[str], pattern: str) -> int:
    """One more than the highest number that a pattern's group matches at the beginning of names."""
    return 1 + max((int(match[1]) for name in names if (match := re.match(pattern, name))), default=-1)


def refuse_unknown(what: str, path: Path) -> NoReturn:
    """Complain about a size that no shape tells.

    Raises:
        UserError: always.
    """
    raise UserError(f"{path.resolve()} does not tell its {what}; import it with `cosa import-checkpoint --{what}`")
