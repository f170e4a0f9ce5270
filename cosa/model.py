"""COSA: one vision encoder, one text encoder that is also fusion encoder and decoder, and the heads (paper, section 3.1).

Two rules keep it fast. Every image is encoded once a step: concatenated samples are made of *features*, with gradients. Keys
and values of a video are computed once a layer (`VideoMemory`) and shared by every pass that looks at it.
"""

import shutil
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cosa.distributed import gather
from cosa.encoders.encoder_input import EncoderInput
from cosa.encoders.kv_cache import VideoMemory
from cosa.encoders.positions import nearest_frames
from cosa.encoders.text import MultimodalEncoder
from cosa.encoders.vision import VisionEncoder
from cosa.errors import UserError
from cosa.model_config import ModelConfig
from cosa.model_parts import PARTS, POOLING, ModelPart
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

    sharded_scalars: frozenset[str] = frozenset()  # parameters that are vectors of one element while the model is sharded

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
        self.heads = nn.ModuleDict()  # that objectives bring along, by the objective's name (cosa/objectives/heads.py)
        self._head_parts: list[ModelPart] = []
        use_fast_linear(self)

    @property
    def parts(self) -> tuple[ModelPart, ...]:
        """The parts that the model consists of; a parameter is of the first one that holds it."""
        pooling = replace(POOLING, parameters=tuple(f"vision.{name}*" for name in self.vision.pooling_weights))
        return (pooling, *PARTS, *self._head_parts)

    def add_head(self, name: str, head: nn.Module, part: ModelPart) -> None:
        """Add a head of an objective; part: the part of the model that it is."""
        self.heads[name] = head
        self._head_parts.append(part)
        use_fast_linear(self.heads)
        self.config = self.config.model_copy(update={"heads": tuple(self.heads)})

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
        self.multimodal.compile_encode(backend, fullgraph=fullgraph)

    # -- video ------------------------------------------------------------------------------------------------------

    def encode_frames(self, frames: Tensor) -> Tensor:
        """(videos, frames, 3, side, side), uint8 or normalised, to visual tokens (videos, frames, tokens, vision_dim).

        Raises:
            UserError: the side is not the resolution of the model.
        """
        side = self.config.vision.resolution
        if frames.shape[-2:] != (side, side):
            height, width = frames.shape[-2:]
            raise UserError(
                f"frames of {height} x {width} pixels, but the model's resolution is {side}; read them at this resolution, or "
                "build the model for another"
            )
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
        [output] = self.multimodal.encode([self.for_first_state(ids)])
        return self.text_vector(output.hidden)

    def for_first_state(self, ids: Tensor, memory: VideoMemory | None = None) -> EncoderInput:
        """Input of texts (rows, length), alone or with their videos (see `EncoderInput`), for their [CLS] states alone."""
        return EncoderInput(ids, self.not_padding(ids), memory, wanted=torch.zeros_like(ids[:, :1]))

    def text_vector(self, hidden: Tensor) -> Tensor:
        """[CLS] states (texts, 1, hidden) of texts that were encoded alone to (texts, contrastive_dim), unit length."""
        return F.normalize(self.text_contrastive_head(hidden[:, 0]), dim=-1)

    # -- both -------------------------------------------------------------------------------------------------------

    def matching_logits(self, ids: Tensor, memory: VideoMemory) -> Tensor:
        """(rows, 2) for texts (rows, length) that look at their videos (rows grouped by video, see `EncoderInput`)."""
        [output] = self.multimodal.encode([self.for_first_state(ids, memory)])
        return self.matching_head(output.hidden[:, 0])

    @staticmethod
    def causal_mask(not_padding: Tensor) -> Tensor:
        """(rows, length) to (rows, length, length): a query sees itself and earlier positions that are not padding."""
        length = not_padding.shape[1]
        causal = torch.ones(length, length, dtype=torch.bool, device=not_padding.device).tril()
        return causal & not_padding[:, None]
