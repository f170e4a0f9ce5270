"""KV caches: nothing of a video or of earlier tokens is computed twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

KeysValues = tuple[Tensor, Tensor]  # each (rows, heads, positions, head_dim)


@dataclass(frozen=True)
class VideoMemory:
    """Cross-attention keys and values of videos, one pair a layer, each (videos, heads, positions, head_dim)."""

    layers: tuple[KeysValues, ...]

    @property
    def videos(self) -> int:
        """Number of videos."""
        return self.layers[0][0].shape[0]

    def select(self, indices: Tensor) -> VideoMemory:
        """Memory of the videos at `indices` (rows,), in that order, repeats allowed; gradients flow back."""
        return VideoMemory(tuple((k.index_select(0, indices), v.index_select(0, indices)) for k, v in self.layers))

    def slice(self, start: int, stop: int) -> VideoMemory:
        """Memory of the videos from `start` to before `stop`; nothing is copied."""
        return VideoMemory(tuple((k[start:stop], v[start:stop]) for k, v in self.layers))


@dataclass(frozen=True)
class FrameKeys:
    """Keys and values of frames before frame embeddings are added, one pair a layer, each (videos, frames, tokens, hidden).

    Keys and values are linear in their input: a frame's are computed once, whatever videos it is joined into and at whatever
    place it stands there; the part of the frame embedding is added to them.
    """

    layers: tuple[KeysValues, ...]

    def concatenate(self, members: Tensor) -> FrameKeys:
        """Of new videos that join the frames of the videos at `members` (rows, n): frames become n * frames."""
        rows, n = members.shape

        def joined(x: Tensor) -> Tensor:
            return x.index_select(0, members.flatten()).unflatten(0, (rows, n)).flatten(1, 2)

        return FrameKeys(tuple((joined(keys), joined(values)) for keys, values in self.layers))


class KVCache:
    """Keys and values of the tokens before those that are encoded, with room for more: generation writes to it step by step.

    What a pass appends counts only once it is committed: the [MASK] at the end of a text is written over.
    """

    def __init__(self, capacity: int, past: Sequence[KeysValues] = ()):
        """capacity: positions that it has room for. past: one pair a layer, each (rows, heads, positions, head_dim)."""
        self.capacity, self.length = capacity, 0
        self._layers: list[KeysValues] = []
        for index, (keys, values) in enumerate(past):
            self.append(index, keys, values)
        if past:
            self.commit(past[0][0].shape[2])

    def append(self, index: int, keys: Tensor, values: Tensor) -> KeysValues:
        """Write what layer `index` made of new tokens behind what is committed; returns everything up to there."""
        rows, heads, positions, head_dim = keys.shape
        if index == len(self._layers):
            shape = (rows, heads, self.capacity, head_dim)
            self._layers.append((keys.new_empty(shape), values.new_empty(shape)))
        stop = self.length + positions
        found = self._layers[index]
        for buffer, new in zip(found, (keys, values), strict=True):
            buffer[:, :, self.length : stop] = new
        return found[0][:, :, :stop], found[1][:, :, :stop]

    def commit(self, positions: int) -> None:
        """Keep that many of the positions that were appended last in all layers."""
        self.length += positions

    def select(self, rows: Tensor) -> None:
        """Continue with copies of the given rows (rows,)."""
        for buffer in (buffer for pair in self._layers for buffer in pair):
            buffer[:, :, : self.length] = buffer[:, :, : self.length].index_select(0, rows)
