"""COSA: one vision encoder, one text encoder that is also fusion encoder and decoder, and the heads (paper, section 3.1).

Two rules keep it fast. Every image is encoded once a step: concatenated samples are made of *features*, with gradients. Keys
and values of a video are computed once a layer (`VideoMemory`) and shared by every pass that looks at it.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cosa.behaviour import DEFAULT, Behaviour
from cosa.distributed import gather, gather_constant, world_size
from cosa.encoders.encoder_input import Reading
from cosa.encoders.kv_cache import FrameKeys, VideoMemory
from cosa.encoders.positions import nearest_frames
from cosa.encoders.text import MultimodalEncoder
from cosa.encoders.vision import VisionEncoder
from cosa.errors import UserError
from cosa.model_config import ModelConfig
from cosa.ops import use_fast_linear
from cosa.tokenizer import CaptionTokenizer

NORM_EPSILON = 1e-12  # of BERT and of the published heads


@dataclass(frozen=True)
class VideoFeatures:
    """Encoded videos before the frame embeddings are added, so that they can be regrouped into other videos.

    projected: (videos, frames, tokens, hidden) every visual token in the text encoder's width.
    pooled: (videos, frames, vision_dim) one vector a frame.
    """

    projected: Tensor
    pooled: Tensor

    def __len__(self) -> int:
        return self.projected.shape[0]

    def select(self, indices: Tensor) -> "VideoFeatures":
        """Videos at `indices` (rows,)."""
        return VideoFeatures(self.projected.index_select(0, indices), self.pooled.index_select(0, indices))

    def gathered(self) -> "VideoFeatures":
        """The videos of all workers, with gradients."""
        return replace(self, projected=gather(self.projected), pooled=gather(self.pooled))

    def concatenate(self, members: Tensor) -> "VideoFeatures":
        """New videos that join the frames of the videos at `members` (rows, n) in that order: frames become n * frames."""
        rows, n = members.shape
        chosen = self.select(members.flatten())
        return VideoFeatures(
            chosen.projected.unflatten(0, (rows, n)).flatten(1, 2), chosen.pooled.unflatten(0, (rows, n)).flatten(1, 2)
        )


class MatchingHead(nn.Module):
    """Two-class head on the first hidden state: does the text belong to the video?"""

    def __init__(self, hidden_size: int):
        super().__init__()
        self.linear1 = nn.Linear(hidden_size, hidden_size)
        self.layernorm = nn.LayerNorm(hidden_size, eps=NORM_EPSILON)
        self.linear2 = nn.Linear(hidden_size, 2)

    def forward(self, hidden: Tensor) -> Tensor:
        """(rows, hidden) to (rows, 2); class 1 is a match."""
        return self.linear2(self.layernorm(F.gelu(self.linear1(hidden))))


class COSA(nn.Module):
    """The model, with random weights; `cosa.checkpoints` loads trained ones."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        if config.frame_positions is None:
            raise ValueError("frame_positions is not set; the stage that builds a model sets it")
        self.config = config
        self.tokenizer = CaptionTokenizer(config.text.vocabulary_size)
        hidden = config.text.hidden_size
        self.vision = VisionEncoder(config.vision)
        self.multimodal = MultimodalEncoder(config.text)
        self.projection = nn.Sequential(nn.Linear(self.vision.output_dim, hidden), nn.LayerNorm(hidden, eps=NORM_EPSILON))
        self.frame_embedding = nn.Parameter(0.02 * torch.randn(config.frame_positions, hidden))
        self.text_contrastive_head = nn.Linear(hidden, config.contrastive_dim, bias=False)
        self.video_contrastive_head = nn.Linear(self.vision.output_dim, config.contrastive_dim, bias=False)
        self.temperature = nn.Parameter(torch.tensor(0.07))  # divides similarities
        self.matching_head = MatchingHead(hidden)
        use_fast_linear(self)

    def set_gradient_checkpointing(self, enabled: bool) -> None:
        """Recompute activations in the backward pass instead of keeping them, in both encoders."""
        self.multimodal.gradient_checkpointing = enabled
        self.vision.backbone.set_grad_checkpointing(enabled)

    def compile_encoders(self, backend: str = "inductor", *, fullgraph: bool = False) -> None:
        """Compile the passes of both encoders, each a graph without breaks; what is around them depends on the data.

        Args:
            backend: torch.compile's.
            fullgraph: a break, or too many different graphs, is an error; otherwise it only costs time.

        Raises:
            UserError: on a CPU, torch.compile needs a C++ compiler, and there is none.
        """
        on_cpu = self.temperature.device.type == "cpu"
        if backend == "inductor" and on_cpu and not any(map(shutil.which, ("g++", "clang++", "c++"))):
            raise UserError("compile: torch.compile needs a C++ compiler on a CPU; install g++, or leave compile out")
        self.vision.compile(backend=backend, fullgraph=fullgraph)
        self.multimodal.compile_reading(backend, fullgraph=fullgraph)

    # -- video ------------------------------------------------------------------------------------------------------

    def encode_frames(self, frames: Tensor) -> Tensor:
        """(videos, frames, 3, height, width), uint8 or normalised, to visual tokens (videos, frames, tokens, vision_dim)."""
        return self.vision(frames.flatten(0, 1)).unflatten(0, frames.shape[:2])

    def features_of(self, tokens: Tensor) -> VideoFeatures:
        """What of visual tokens (videos, frames, tokens, vision_dim) the rest of the model works with."""
        return VideoFeatures(self.projection(tokens), self.vision.pool(tokens))

    def encode_video(self, frames: Tensor) -> VideoFeatures:
        """Encode every frame once: (videos, frames, 3, height, width), uint8 or normalised."""
        return self.features_of(self.encode_frames(frames))

    def frame_embeddings(self, frames: int) -> Tensor:
        """(frames, hidden): as learned, or the nearest ones when the number of frames differs (frame i takes floor(i*N/n))."""
        return self.frame_embedding if frames == len(self.frame_embedding) else nearest_frames(self.frame_embedding, frames)

    def video_input(self, features: VideoFeatures) -> Tensor:
        """(videos, frames * tokens, hidden): what cross-attention looks at, frame after frame, frame embeddings added."""
        return (features.projected + self.frame_embeddings(features.projected.shape[1])[:, None]).flatten(1, 2)

    def video_memory(self, features: VideoFeatures) -> VideoMemory:
        """Cross-attention keys and values of videos."""
        return self.multimodal.video_memory(self.video_input(features))

    def video_contrastive(self, features: VideoFeatures) -> Tensor:
        """(videos, contrastive_dim), unit length: mean over frames, then the head."""
        return F.normalize(self.video_contrastive_head(features.pooled.mean(1)), dim=-1)

    # -- text -------------------------------------------------------------------------------------------------------

    def not_padding(self, ids: Tensor) -> Tensor:
        """True where a token is not padding; same shape as `ids`."""
        return ids != self.tokenizer.pad_id

    def text_contrastive(self, ids: Tensor) -> Tensor:
        """(texts, length) ids to (texts, contrastive_dim), unit length: the [CLS] state of a pass without video."""
        [read] = self.multimodal.read([self.for_first_state(ids)])
        return self.text_vector(read.hidden)

    def for_first_state(self, ids: Tensor, memory: VideoMemory | None = None) -> Reading:
        """Read texts (rows, length), alone or with their videos (grouped, see `Reading`), for their [CLS] states alone."""
        return Reading(ids, self.not_padding(ids), memory, wanted=torch.zeros_like(ids[:, :1]))

    def text_vector(self, hidden: Tensor) -> Tensor:
        """[CLS] states (texts, 1, hidden) of texts that were read alone to (texts, contrastive_dim), unit length."""
        return F.normalize(self.text_contrastive_head(hidden[:, 0]), dim=-1)

    # -- both -------------------------------------------------------------------------------------------------------

    def matching_logits(self, ids: Tensor, memory: VideoMemory) -> Tensor:
        """(rows, 2) for texts (rows, length) that look at their videos (rows grouped by video, see `Reading`)."""
        [read] = self.multimodal.read([self.for_first_state(ids, memory)])
        return self.matching_head(read.hidden[:, 0])

    @staticmethod
    def causal_mask(not_padding: Tensor) -> Tensor:
        """(rows, length) to (rows, length, length): a query sees itself and earlier positions that are not padding."""
        length = not_padding.shape[1]
        causal = torch.ones(length, length, dtype=torch.bool, device=not_padding.device).tril()
        return causal & not_padding[:, None]


@dataclass(frozen=True)
class EncodedBatch:
    """Texts and videos of one worker in one step, with everything that several objectives need computed at most once.

    ids: (rows, length) captions. videos: features of as many videos. identities: (rows,) equal where two rows show the same
    media: such pairs are no negatives of each other. behaviour: ours or the published one. tokens: (rows, frames, tokens,
    vision_dim) visual tokens, kept only where the behaviour makes constants of them (`keeps_tokens`). host_ids: `ids` on the
    CPU, when there is such a copy. joins: the batch and the members (rows, n) in it that this one was concatenated of.
    given_all_ids: captions of all workers, when they are known without asking.
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

    @classmethod
    def encode(
        cls, model: COSA, ids: Tensor, frames: Tensor, identities: Tensor, behaviour: Behaviour, host_ids: Tensor | None = None
    ) -> "EncodedBatch":
        """Encode frames (rows, frames, 3, height, width)."""
        return cls.of_tokens(model, ids, model.encode_frames(frames), identities, behaviour, host_ids)

    @classmethod
    def of_tokens(
        cls, model: COSA, ids: Tensor, tokens: Tensor, identities: Tensor, behaviour: Behaviour, host_ids: Tensor | None = None
    ) -> "EncodedBatch":
        """From visual tokens (rows, frames, tokens, vision_dim)."""
        keeps_tokens = behaviour.constant_keys or behaviour.concatenated_videos == "own_features"
        return cls(model, ids, model.features_of(tokens), identities, behaviour, tokens if keeps_tokens else None, host_ids)

    @property
    def ids_on_host(self) -> Tensor:
        """`ids` on the CPU."""
        return self.ids.cpu() if self.host_ids is None else self.host_ids

    @cached_property
    def frame_keys(self) -> FrameKeys:
        """Keys and values of the frames, computed once for a frame however many videos it is part of."""
        if self.joins is not None:
            whole, members = self.joins
            if world_size() == 1:
                return whole.frame_keys.concatenate(members)
            if members.shape[1] > world_size():  # fewer frames in the batches of all workers than in the concatenated ones
                return self.model.multimodal.frame_keys(whole.all_videos.projected).concatenate(members)
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

    def concatenated(self, ids: Tensor, members: Tensor, host_ids: Tensor | None = None) -> "EncodedBatch":
        """The batch of concatenated samples: row i joins the videos at `members[i]` of all workers' videos, itself first.

        ids: (rows, longer length) joined captions. members: (rows, n). host_ids: `ids` on the CPU, if there is such a copy.
        """
        if self.tokens is None:
            videos = self.all_videos.concatenate(members)
            joins = (self, members)
            return EncodedBatch(self.model, ids, videos, self.identities, self.behaviour, None, host_ids, joins)
        own_only = self.behaviour.concatenated_videos == "own_features"
        joined = (gather_constant if own_only else gather)(self.tokens)[members]  # (rows, n, frames, tokens, vision_dim)
        if own_only:
            joined = torch.cat([self.tokens[:, None], joined[:, 1:]], dim=1)
        return EncodedBatch.of_tokens(self.model, ids, joined.flatten(1, 2), self.identities, self.behaviour, host_ids)


def read_texts(batches: Sequence[EncodedBatch]) -> None:
    """Compute the text features of batches of one model in one pass; without it each computes its own when asked."""
    model = batches[0].model
    reads = model.multimodal.read([model.for_first_state(batch.ids) for batch in batches])
    for batch, read in zip(batches, reads, strict=True):
        batch.__dict__["text_features"] = model.text_vector(read.hidden)  # where the cached property keeps its value
