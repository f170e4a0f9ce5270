"""What objectives are computed on: the texts and encoded videos of one worker in one step."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from cosa.behaviour import DEFAULT, Behaviour
from cosa.data.batches import Batch
from cosa.distributed import gather, gather_constant, world_size
from cosa.encoders.kv_cache import FrameKeys, VideoMemory
from cosa.model import COSA, VideoFeatures


@dataclass(frozen=True)
class EncodedBatch:
    """Texts and videos of one worker in one step, with everything that several objectives need computed at most once.

    ids: (rows, length) captions, or questions. videos: features of as many videos. identities: (rows,) equal where two rows
    show the same media: such pairs are no negatives of each other. behaviour: ours or the published one. tokens: (rows,
    frames, tokens, vision_dim) visual tokens, only where the behaviour makes constants of them. host_ids: `ids` on the CPU,
    when there is such a copy. joins: the batch and the members (rows, n) in it that this one was concatenated of.
    given_all_ids: captions of all workers, when they are known without asking. source: what was encoded, with all else that
    the data brings; its `host` is on the CPU.
    """

    model: COSA
    ids: Tensor
    videos: VideoFeatures
    identities: Tensor
    behaviour: Behaviour = DEFAULT
    tokens: Tensor | None = None
    host_ids: Tensor | None = None
    joins: "tuple[EncodedBatch, Tensor] | None" = None
    given_all_ids: Tensor | None = None
    source: Batch | None = None

    @classmethod
    def encode(cls, model: COSA, ids: Tensor, frames: Tensor, identities: Tensor, behaviour: Behaviour) -> "EncodedBatch":
        """Encode frames (rows, frames, 3, height, width)."""
        return cls.of_tokens(model, ids, model.encode_frames(frames), identities, behaviour)

    @classmethod
    def of_tokens(cls, model: COSA, ids: Tensor, tokens: Tensor, identities: Tensor, behaviour: Behaviour) -> "EncodedBatch":
        """From visual tokens (rows, frames, tokens, vision_dim)."""
        needs_tokens = behaviour.constant_keys or behaviour.concatenated_videos == "own_features"
        return cls(model, ids, model.features_of(tokens), identities, behaviour, tokens if needs_tokens else None)

    @property
    def ids_on_host(self) -> Tensor:
        """`ids` on the CPU."""
        return self.ids.cpu() if self.host_ids is None else self.host_ids

    @cached_property
    def frame_keys(self) -> FrameKeys:
        """Keys and values of the frames, computed once for a frame however many videos it is part of."""
        if self.joins is not None:
            single, members = self.joins
            if world_size() == 1:
                return single.frame_keys.concatenate(members)
            if members.shape[1] > world_size():  # fewer frames in the batches of all workers than in the concatenated ones
                return self.model.multimodal.frame_keys(single.all_videos.projected).concatenate(members)
        return self.model.multimodal.frame_keys(self.videos.projected)

    @cached_property
    def memory(self) -> VideoMemory:
        """Keys and values of the videos."""
        embeddings = self.model.frame_embeddings(self.videos.projected.shape[1])
        return self.model.multimodal.memory_of_frames(self.frame_keys, embeddings)

    @cached_property
    def all_videos(self) -> VideoFeatures:
        """The videos of all workers; with constant keys the vision encoder gets no gradient through them."""
        if self.behaviour.constant_keys:
            assert self.tokens is not None
            return self.model.features_of(gather_constant(self.tokens))
        return self.videos.gathered()

    @cached_property
    def text_features(self) -> Tensor:
        """(rows, contrastive_dim)."""
        return self.model.text_contrastive(self.ids)

    @cached_property
    def video_features(self) -> Tensor:
        """(rows, contrastive_dim)."""
        return self.model.video_contrastive(self.videos)

    @cached_property
    def similarities(self) -> tuple[Tensor, Tensor]:
        """Temperature-scaled text-to-video and video-to-text similarities, both (rows, rows of all workers)."""
        keys = gather_constant if self.behaviour.constant_keys else gather
        to_video = self.text_features @ keys(self.video_features).T / self.model.temperature
        to_text = self.video_features @ keys(self.text_features).T / self.model.temperature
        return to_video, to_text

    @cached_property
    def all_identities(self) -> Tensor:
        """(rows of all workers,)."""
        return gather(self.identities)

    @cached_property
    def all_ids(self) -> Tensor:
        """(rows of all workers, longest of all). Asking the other workers for them makes the host wait for the device."""
        if self.given_all_ids is not None:
            return self.given_all_ids
        if world_size() == 1:
            return self.ids
        longest = int(gather(torch.tensor([self.ids.shape[1]], device=self.ids.device)).max())
        return gather(F.pad(self.ids, (0, longest - self.ids.shape[1]), value=self.model.tokenizer.pad_id))

    def concatenated(self, ids: Tensor, members: Tensor) -> "EncodedBatch":
        """The batch of concatenated samples: row i joins the videos at `members[i]` of all workers' videos, itself first.

        ids: (rows, longer length) joined captions. members: (rows, n).
        """
        if self.tokens is None:
            videos = self.all_videos.concatenate(members)
            return EncodedBatch(self.model, ids, videos, self.identities, self.behaviour, joins=(self, members))
        own_only = self.behaviour.concatenated_videos == "own_features"
        joined = (gather_constant if own_only else gather)(self.tokens)[members]  # (rows, n, frames, tokens, vision_dim)
        if own_only:
            joined = torch.cat([self.tokens[:, None], joined[:, 1:]], dim=1)
        return EncodedBatch.of_tokens(self.model, ids, joined.flatten(1, 2), self.identities, self.behaviour)


def encode_texts(batches: Sequence[EncodedBatch]) -> None:
    """Compute the text features of batches of one model in one pass; without it each computes its own when asked."""
    model = batches[0].model
    outputs = model.multimodal.encode([model.for_first_state(batch.ids) for batch in batches])
    for batch, output in zip(batches, outputs, strict=True):
        batch.__dict__["text_features"] = model.text_vector(output.hidden)  # where the cached property keeps its value
