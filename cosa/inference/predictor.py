"""A trained model, ready to be used: captions, answers, embeddings and matches of videos, pictures and texts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from cosa.behaviour import BEHAVIOURS
from cosa.checkpoints.loading import load_model
from cosa.checkpoints.settings import read_settings
from cosa.data.media_limits import DEFAULT_LIMITS, MediaLimits
from cosa.data.media_reader import Media, MediaReader
from cosa.data.transforms import FrameTransform
from cosa.device import usable_device
from cosa.errors import DataError, UserError
from cosa.evaluation.feature_store import FeatureStore
from cosa.evaluation.video_ranking import encode_texts, match_probabilities
from cosa.generation import generate_answers, generate_captions
from cosa.inference.reading import batches, read_ahead
from cosa.inference.settings import InferenceSettings, changed, settings_of
from cosa.inference.sources import local_checkpoint
from cosa.inference.texts import checked_texts, note_of_cut
from cosa.model import COSA, VideoFeatures
from cosa.ops import packed_weights

OnError = Callable[[Media, DataError], None]


def load(
    checkpoint: str | Path,
    *,
    device: str | torch.device | None = None,
    limits: MediaLimits = DEFAULT_LIMITS,
    **settings: Any,
) -> Predictor:
    """Load a trained model to use it.

    Args:
        checkpoint: a folder of ours or a result that holds one, a published folder or file, `mlflow:RUN`, or `hf:NAME` of the
            Hugging Face hub.
        device: where it computes; left out: a GPU if there is one, else the CPU.
        limits: how large a video or picture may be.
        settings: fields of `InferenceSettings` that differ from those that the checkpoint was trained with, such as
            `eval_frames=8`, `resolution=384`, `beam_size=5`.

    Raises:
        UserError: there is no such checkpoint, it is damaged, or a setting is wrong.
    """
    path = local_checkpoint(checkpoint)
    chosen = settings_of(path, **settings)
    model = load_model(path, resolution=chosen.resolution)
    return Predictor(model, chosen, device=device, limits=limits, checkpoint=path)


class Predictor:
    """Uses a model.

    Media are paths of videos, pictures or folders of frames, or arrays: uint8 RGB, (height, width, 3) of a picture or (frames,
    height, width, 3) of a video. A list gives a list or a matrix; one alone gives one result. Media that cannot be read raise
    DataError; with `on_error`, which is called with each of them, they are left out: their result is None, or a row of NaN.
    `progress` shows a bar on standard error.

    model: on `device`, in evaluation mode. settings: of the checkpoint. checkpoint: where it came from.
    """

    def __init__(
        self,
        model: COSA,
        settings: InferenceSettings,
        *,
        device: str | torch.device | None = None,
        limits: MediaLimits = DEFAULT_LIMITS,
        checkpoint: Path | None = None,
    ):
        self.device = usable_device(device)
        self.model = model.to(self.device).eval()
        self.settings, self.limits, self.checkpoint = settings, limits, checkpoint
        self._behaviour = BEHAVIOURS[settings.behaviour]

    @property
    def about(self) -> Mapping[str, Any]:
        """What is recorded of the checkpoint's training: task, data, metrics; empty for one from elsewhere."""
        return (read_settings(self.checkpoint) or {}).get("origin", {}) if self.checkpoint is not None else {}

    def reader(self, settings: InferenceSettings | None = None) -> MediaReader:
        """What reads frames as the model sees them.

        Raises:
            UserError: nothing says how many frames of a video it was trained with.
        """
        chosen = settings or self.settings
        if not chosen.model_fields_set & {"train_frames", "eval_frames"}:
            raise UserError(
                f"{self.checkpoint or 'the checkpoint'} does not say how many frames of a clip it was trained with; give "
                "eval_frames (--frames), such as 8"
            )
        transform = FrameTransform(
            chosen.transforms, self.model.config.vision.resolution, training=False, antialias=self._behaviour.antialias
        )
        return MediaReader(chosen.frames_in_evaluation, transform, chosen.extraction, self.limits)

    # -- texts of videos -----------------------------------------------------------------------------------------------

    def caption(
        self,
        media: Media | Sequence[Media],
        *,
        beam_size: int | None = None,
        length_penalty: float | None = None,
        max_caption_tokens: int | None = None,
        batch_size: int | None = None,
        progress: bool = False,
        on_error: OnError | None = None,
    ) -> Any:  # str | None | list[str | None]
        """Say in a sentence what each of some media shows.

        beam_size, length_penalty, max_caption_tokens: as of the checkpoint when left out. batch_size: media at once.
        """
        settings = changed(
            self.settings, beam_size=beam_size, length_penalty=length_penalty, max_caption_tokens=max_caption_tokens,
            eval_batch_size=batch_size,
        )  # fmt: skip
        items, one = _listed(media)
        captions: list[str | None] = [None] * len(items)
        for place, text in self.captions(items, settings, progress=progress, on_error=on_error):
            captions[place] = text
        return captions[0] if one else captions

    def captions(
        self,
        media: Sequence[Media],
        settings: InferenceSettings | None = None,
        *,
        progress: bool = False,
        on_error: OnError | None = None,
    ) -> Iterator[tuple[int, str]]:
        """Yield the place and the caption of each of many media as soon as its batch is done."""
        chosen = settings or self.settings
        with packed_weights(self.model.multimodal):
            for places, features in self._encoded(media, chosen, progress, on_error):
                texts = generate_captions(
                    self.model,
                    features,
                    max_tokens=chosen.max_caption_tokens,
                    beam_size=chosen.beam_size,
                    length_penalty=chosen.length_penalty,
                )
                yield from zip(places, texts, strict=True)

    def answer(
        self,
        media: Media | Sequence[Media],
        questions: str | Sequence[str] | Sequence[Sequence[str]],
        *,
        batch_size: int | None = None,
        progress: bool = False,
        on_error: OnError | None = None,
    ) -> Any:
        """Answer questions about media.

        media, questions: one and one question; one and a list of questions about it; or a list and as long a list, which has
        one question or a list of them for each. Answers come in the same form.

        Raises:
            UserError: two lists of different lengths, or a question is blank.
        """
        settings = changed(self.settings, eval_batch_size=batch_size)
        items, one = _listed(media)
        if not one and isinstance(questions, str):
            raise UserError("one question for several media; give a list with a question, or a list of them, for each")
        asked: list[str | Sequence[str]] = [questions] if one else list(questions)  # type: ignore[list-item]
        if len(asked) != len(items):
            raise UserError(f"{len(items)} media and questions for {len(asked)}; expected a question, or a list, for each")
        lists = [checked_texts(entry, self.model.tokenizer) for entry in asked]
        answers: list[list[str] | None] = [None] * len(items)
        with packed_weights(self.model.multimodal):
            for places, features in self._encoded(items, settings, progress, on_error):
                pairs = [(row, question) for row, place in enumerate(places) for question in lists[place]]
                texts = iter(
                    generate_answers(
                        self.model,
                        features,
                        pairs,
                        max_question_tokens=settings.max_text_tokens,
                        max_tokens=settings.max_answer_tokens,
                        batch_size=settings.eval_batch_size,
                    )
                )
                for place in places:
                    answers[place] = [next(texts) for _ in lists[place]]
        alike = [
            found[0] if isinstance(entry, str) and found is not None else found
            for entry, found in zip(asked, answers, strict=True)
        ]
        return alike[0] if one else alike

    # -- videos and texts in one space ---------------------------------------------------------------------------------

    def embed_video(
        self,
        media: Media | Sequence[Media],
        *,
        batch_size: int | None = None,
        progress: bool = False,
        on_error: OnError | None = None,
        as_tensor: bool = False,
    ) -> Any:  # NDArray[np.float32] | Tensor
        """Vectors (media, contrastive_dim) of unit length, or (contrastive_dim,) of one; with those of texts, dot products are
        similarities. as_tensor: a tensor on the CPU instead of an array."""
        settings = changed(self.settings, eval_batch_size=batch_size)
        items, one = _listed(media)
        vectors = np.full((len(items), self.model.config.contrastive_dim), np.nan, dtype=np.float32)
        for places, features in self._encoded(items, settings, progress, on_error):
            vectors[places] = self.vectors_of(features)
        return _given(vectors[0] if one else vectors, as_tensor)

    @torch.no_grad()
    def embed_text(
        self, texts: str | Sequence[str], *, batch_size: int | None = None, as_tensor: bool = False
    ) -> Any:  # NDArray[np.float32] | Tensor
        """Vectors (texts, contrastive_dim) of unit length, or (contrastive_dim,) of one; `as_tensor` as of `embed_video`.

        Raises:
            UserError: a text is blank.
        """
        settings = changed(self.settings, eval_batch_size=batch_size)
        listed = checked_texts(texts, self.model.tokenizer)
        vectors = np.empty((0, self.model.config.contrastive_dim), dtype=np.float32)
        if listed:
            ids = self.model.tokenizer.batch(listed, self.settings.max_text_tokens)
            encoded = encode_texts(self.model, ids, settings.eval_batch_size, self.device)
            vectors = self._rounded(encoded.numpy())
        return _given(vectors[0] if isinstance(texts, str) else vectors, as_tensor)

    @torch.no_grad()
    def match(
        self,
        texts: str | Sequence[str],
        media: Media | Sequence[Media],
        *,
        batch_size: int | None = None,
        progress: bool = False,
        on_error: OnError | None = None,
        as_tensor: bool = False,
    ) -> Any:  # NDArray[np.float64] | Tensor
        """Probabilities (texts, media), 0 to 1, that each text belongs to each of the media, by the matching head; a scalar
        dimension is left out where one text or one of the media is given alone. `as_tensor` as of `embed_video`.

        Raises:
            UserError: a text is blank.
        """
        settings = changed(self.settings, eval_batch_size=batch_size)
        items, one = _listed(media)
        listed = checked_texts(texts, self.model.tokenizer)
        found = np.full((len(listed), len(items)), np.nan)
        with FeatureStore(len(items)) as store:
            stored: list[int] = []
            for places, features in self._encoded(items, settings, progress, on_error):
                store.add(features.projected)
                stored.extend(places)
            if stored and listed:
                ids = self.model.tokenizer.batch(listed, settings.max_text_tokens)
                mine = np.arange(len(stored))
                text_index, place, values = match_probabilities(
                    self.model, ids, store, mine, np.tile(mine, (len(listed), 1)), self.device, self._behaviour
                )
                found[text_index, np.asarray(stored)[place]] = values
        found = found[:, 0] if one else found
        return _given(found[0] if isinstance(texts, str) else found, as_tensor)

    def note_of_cut(self, texts: str | Sequence[str]) -> str | None:
        """Say that texts, or one alone, are longer than the `max_text_tokens` that the model reads of one; None if none is."""
        return note_of_cut(texts, self.model.tokenizer, self.settings.max_text_tokens)

    # -- what searching needs besides ----------------------------------------------------------------------------------

    @torch.no_grad()
    def encode(self, frames: Sequence[Tensor]) -> VideoFeatures:
        """Features of frames that `reader` read, all of one number."""
        return self.model.encode_video(torch.stack(list(frames)).to(self.device, non_blocking=True))

    @torch.no_grad()
    def vectors_of(self, features: VideoFeatures) -> NDArray[np.float32]:
        """Vectors (videos, contrastive_dim) of features."""
        return self._rounded(self.model.video_contrastive(features).float().cpu().numpy())

    def _rounded(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        return vectors.astype(np.float16).astype(np.float32) if self._behaviour.half_features else vectors

    def _encoded(
        self, items: Sequence[Media], settings: InferenceSettings, progress: bool, on_error: OnError | None
    ) -> Iterator[tuple[list[int], VideoFeatures]]:
        """Places and features of media, a batch at a time; frames of the next ones are read meanwhile."""
        size = settings.eval_batch_size
        frames = read_ahead(items, self.reader(settings).read, on_error, ahead=2 * size)
        with tqdm(total=len(items), disable=not progress, unit="file") as bar:
            for batch in batches(frames, size, key=lambda one: len(one[1])):
                places = [place for place, _ in batch]
                yield places, self.encode([shown for _, shown in batch])
                bar.update(len(batch))


def _given(values: Any, as_tensor: bool) -> Any:
    """An array, or a tensor of the same values."""
    return torch.as_tensor(values) if as_tensor else values


def _listed(media: Media | Sequence[Media]) -> tuple[list[Media], bool]:
    """Media as a list, and whether they were one alone."""
    one = isinstance(media, Media)
    if not one and (isinstance(media, bytes | bytearray | memoryview) or not isinstance(media, Iterable)):
        raise UserError(f"media of type {type(media).__name__}; expected paths, arrays or parts of videos, or a list of them")
    return ([media] if one else list(media)), one  # type: ignore[list-item, arg-type]
