"""What a family of image encoders is: all that the program asks of one. No torch here: specs are checked with it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from torch import Tensor, nn

    from cosa.encoders.published_vision import PublishedVision

Statistics = tuple[float, float, float]  # of red, green and blue, of pixels between 0 and 1
SIZES = ("patch_size", "embed_dim", "depth", "num_heads", "mlp_ratio", "window_size")  # fields of VisionConfig


class EncoderSizes(Protocol):
    """What families ask of a `VisionConfig`, which itself asks its family; for the fields in `SIZES` see there."""

    @property
    def encoder(self) -> str:
        """timm's name."""
        ...

    @property
    def resolution(self) -> int:
        """Side of the square input image, pixels."""
        ...

    @property
    def depth(self) -> int | tuple[int, ...] | None:
        """Blocks, or blocks of every stage."""
        ...

    @property
    def num_heads(self) -> int | tuple[int, ...] | None:
        """Attention heads, or those of every stage."""
        ...


class VisionFamily(ABC):
    """Encoders of timm that are built, pooled, normalised, loaded and trained alike.

    A family is an object in `VISION_FAMILIES`. Whatever is abstract it has to say; class attributes do for properties.

    smallest: fields of VisionConfig that make an encoder of it as small as can be, for smoke tests; none: the named one.
    """

    smallest: Mapping[str, Any] = MappingProxyType({})

    @property
    @abstractmethod
    def title(self) -> str:
        """What messages call the family, such as "Swin"."""

    @property
    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """Patterns (of `fnmatch`) of timm's names without tags. Where several families' match, the longest pattern decides."""

    @property
    @abstractmethod
    def example(self) -> str:
        """One of these names."""

    @property
    @abstractmethod
    def sizes(self) -> Mapping[str, str]:
        """timm's arguments by the fields of VisionConfig (those in `SIZES`) that they are given by."""

    @property
    @abstractmethod
    def staged(self) -> bool:
        """Whether depth and num_heads are lists with one number a stage."""

    @property
    @abstractmethod
    def stochastic_depth(self) -> float:
        """Share of dropped branches in the last block while training, where a spec leaves `drop_path_rate` out."""

    @property
    @abstractmethod
    def pretrained_learning_rate(self) -> float | None:
        """Peak learning rate of pretrained weights, where a spec leaves it out; None: that of the rest of the model."""

    @property
    @abstractmethod
    def published(self) -> PublishedVision | None:
        """The files that its authors and COSA's published; None if there are none to read."""

    @property
    @abstractmethod
    def pooling_weights(self) -> tuple[str, ...]:
        """Beginnings of names, inside the encoder, of weights that work in `pool` alone."""

    @abstractmethod
    def pixel_statistics(self, backbone: Any) -> tuple[Statistics, Statistics]:
        """Mean and standard deviation that pixels are normalised with."""

    @abstractmethod
    def pool(self, backbone: Any, tokens: Tensor) -> Tensor:
        """One vector an image: (..., tokens, dim) to (..., dim)."""

    @abstractmethod
    def blocks(self, backbone: Any) -> Iterable[nn.Module]:
        """The transformer blocks, in order: what is sharded one by one."""

    def improve(self, backbone: Any, config: EncoderSizes) -> None:  # noqa: B027
        """Change what timm has just built, where something of it is wrong or slow. Nothing, unless a family says otherwise.

        Raises:
            UserError: this release of timm cannot be put right.
        """

    def check(self, config: EncoderSizes) -> None:
        """Check the sizes of a configuration.

        Raises:
            ValueError: a size is given that the family does not have, or in another form.
        """
        for field in SIZES:
            value = getattr(config, field)
            if value is not None and field not in self.sizes:
                raise ValueError(f"{field} is no size of a {self.title} encoder; leave it out")
        for field in ("depth", "num_heads"):
            value = getattr(config, field)
            if isinstance(value, tuple) and not self.staged:
                raise ValueError(f"{field} of a {self.title} encoder is one number, not a list")
        if not self.staged:
            return
        if isinstance(config.depth, int):
            raise ValueError(f"depth of a {self.title} encoder is a list with one number a stage")
        stages = {len(value) for value in (config.depth, config.num_heads) if isinstance(value, tuple)}
        if len(stages) > 1:
            raise ValueError(f"depth and num_heads of a {self.title} encoder are lists of one length: a number a stage")

    def timm_arguments(self, config: EncoderSizes) -> dict[str, Any]:
        """timm's arguments for the sizes that a configuration gives; the others are those of the named encoder."""
        given = {argument: getattr(config, field) for field, argument in self.sizes.items()}
        return {argument: value for argument, value in given.items() if value is not None}
