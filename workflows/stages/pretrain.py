"""Declares the pretrain stage, which trains on image-text and video-text corpora (paper, section 3)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, PositiveInt, field_validator, model_validator

from cosa.data.annotation_use import AnnotationUse
from cosa.data.clip_settings import MOST_FRAMES
from cosa.data.concatenation import concatenated_text_limit
from cosa.data.mixing import MIXINGS
from cosa.data.order_settings import OrderSettings
from cosa.evaluation.metric import Metric
from cosa.objectives.all_objectives import OBJECTIVES, PRETRAINING, settings_of
from cosa.section import OneOf, Section, added_later, with_fields
from cosa.tasks.task import TextLength
from workflows.execution.progress import MEAN_LOSS
from workflows.execution.training_stage import TrainedSplit, TrainingKind, TrainSection, Validation
from workflows.spec.read import Read
from workflows.spec.reads import AnnotationsRead, MediaRead, naming_clips
from workflows.spec.smoke import SMOKE_BATCH, SMOKE_STEPS, small_samples
from workflows.spec.stage_kind import GlobalBatch, Lineage

if TYPE_CHECKING:
    from cosa.behaviour import Behaviour
    from cosa.data.batches import Corpus
    from cosa.data.dataset_files import DatasetFiles
    from workflows.execution.context import StageContext
    from workflows.records.outcome import StageOutcome


class CorpusSection(OrderSettings):
    """One corpus of a pretraining run."""

    dataset: str = Field(description="name of a dataset")
    split: str = Field("train", description="split of the dataset")
    objectives: tuple[Annotated[str, OneOf(PRETRAINING)], ...] = Field(
        min_length=1, description="losses that are summed; see `cosa schema`"
    )
    steps: PositiveInt = Field(description="steps that draw from this corpus")
    batch_size: PositiveInt = Field(description="samples per step over all workers")
    train_frames: PositiveInt | None = added_later(
        None, le=MOST_FRAMES, description="frames of a clip of this corpus; left out: train_frames of the stage"
    )

    @field_validator("objectives")
    @classmethod
    def _once_each(cls, objectives: tuple[str, ...]) -> tuple[str, ...]:
        twice = sorted({name for name in objectives if objectives.count(name) > 1})
        if twice:
            raise ValueError(f"objective {twice[0]!r} is listed twice")
        return objectives

    @property
    def joined(self) -> list[str]:
        """Return its objectives that are computed on concatenated samples."""
        return sorted(name for name in self.objectives if OBJECTIVES[name].concatenated)


class PretrainSection(TrainSection):
    """Learn from image-text and video-text corpora, also on concatenated samples (paper, section 3)."""

    kind: Literal["pretrain"]
    corpora: tuple[CorpusSection, ...] = Field(
        min_length=1, description="corpora; one is drawn each step, in proportion to steps"
    )
    mixing: Annotated[str, OneOf(MIXINGS)] = added_later(
        "proportional",
        description="how corpora take turns: proportional: in a random order; round_robin: evenly, in a fixed order; "
        "accumulated: each step takes a batch of every corpus, and sums up their losses",
    )
    concatenate: PositiveInt = Field(4, description="samples joined into one, the sample itself included")

    @property
    def changes_loss(self) -> tuple[str, ...]:
        """Return what decides which losses are summed, and on what."""
        of_objectives = {field for settings in settings_of(OBJECTIVES) for field in settings.model_fields}
        return ("corpora", "mixing", "concatenate", "behaviour", "max_text_tokens", *sorted(of_objectives))

    @property
    def steps(self) -> int:
        """Return the number of training steps."""
        steps = [corpus.steps for corpus in self.corpora]
        return steps[0] if MIXINGS[self.mixing].together else sum(steps)

    @model_validator(mode="after")
    def _equal_steps(self) -> PretrainSection:
        steps = sorted({corpus.steps for corpus in self.corpora})
        if MIXINGS[self.mixing].together and len(steps) > 1:
            raise ValueError(
                f"mixing: {self.mixing} takes a batch of every corpus in each step, but their steps are "
                f"{', '.join(map(str, steps))}; give all the same"
            )
        return self

    @model_validator(mode="after")
    def _enough_samples(self) -> PretrainSection:
        for index, corpus in enumerate(self.corpora):
            where = f"corpora.{index}"
            if corpus.joined and self.concatenate < 2:
                raise ValueError(f"{where}: objective {corpus.joined[0]!r} needs concatenate of at least 2")
            if corpus.joined and corpus.batch_size < self.concatenate:
                raise ValueError(
                    f"{where}: batch_size {corpus.batch_size} is smaller than needed to concatenate {self.concatenate} samples"
                )
        return self


class Pretrain(TrainingKind[PretrainSection]):
    """Trains on corpora, without validation: the evaluations that follow judge it."""

    name = "pretrain"
    section = PretrainSection
    version = 2
    parts: ClassVar[dict[str, type[Section]]] = {"corpus": CorpusSection}

    def section_for(self, data: Mapping[str, Any]) -> type[PretrainSection]:
        """Return the section with the fields of its objectives added, where it does not have them by itself."""
        corpora = data.get("corpora")
        listed = [corpus["objectives"] for corpus in corpora if _lists_objectives(corpus)] if isinstance(corpora, list) else []
        known = [name for names in listed for name in names if isinstance(name, str) and name in OBJECTIVES]
        return with_fields(self.section, *settings_of(known))

    def smoke_fields(self, data: Mapping[str, Any], spec: Mapping[str, Any], folder: Path) -> dict[str, Any]:
        """Return fields for a training of few steps on each corpus."""
        listed = data.get("corpora")
        corpora = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
        small = [{**one, **small_samples(one), "steps": SMOKE_STEPS, "batch_size": SMOKE_BATCH} for one in corpora]
        return {**super().smoke_fields(data, spec, folder), **({"corpora": small} if small else {})}

    def objectives(self, section: PretrainSection) -> set[str]:
        """Return those of all corpora."""
        return {name for corpus in section.corpora for name in corpus.objectives}

    def corpora(
        self, section: PretrainSection, datasets: Mapping[str, DatasetFiles], resolution: int, behaviour: Behaviour
    ) -> list[Corpus]:
        """Return the corpora in the order of the section."""
        from cosa.data.dataset_files import caption_samples
        from cosa.training.building import corpus_of

        return [
            corpus_of(
                datasets[corpus.dataset],
                corpus.split,
                caption_samples(datasets[corpus.dataset], corpus.split),
                corpus.objectives,
                section.model_copy(update={"train_frames": corpus.train_frames or section.train_frames}),
                steps=corpus.steps,
                batch_size=corpus.batch_size,
                resolution=resolution,
                behaviour=behaviour,
                order=corpus,
            )
            for corpus in section.corpora
        ]

    def concatenated(self, section: PretrainSection) -> int:
        """Return the number in its section."""
        return section.concatenate

    def mixing(self, section: PretrainSection) -> str:
        """Return the name in its section."""
        return section.mixing

    def most_frames(self, section: PretrainSection) -> int:
        """Return the largest number that a corpus or the stage names."""
        return max(section.train_frames, *(corpus.train_frames or 1 for corpus in section.corpora))

    def with_default_frames(self, section: PretrainSection) -> list[str]:
        """Return those of corpora that do not say it themselves, if the stage does not."""
        silent = {corpus.dataset for corpus in section.corpora if corpus.train_frames is None}
        return [name for name in super().with_default_frames(section) if name in silent]

    def data_reads(self, section: PretrainSection) -> Iterable[Read]:
        """Yield pictures and captions of every corpus."""
        for index, corpus in enumerate(section.corpora):
            where = ("corpora", index)
            use = AnnotationUse(corpus.split, "captions", fewest_samples=corpus.batch_size)
            yield MediaRead((*where, "dataset"), corpus.dataset, named_by=naming_clips(use))
            yield AnnotationsRead((*where, "split"), corpus.dataset, use)

    def trained_splits(self, section: PretrainSection) -> Iterator[TrainedSplit]:
        """Yield the corpora."""
        for corpus in section.corpora:
            yield TrainedSplit(corpus.dataset, corpus.split, corpus.batch_size, corpus)

    def validation(self, section: PretrainSection) -> Validation | None:
        """Return None, because losses on other data say little."""
        del section
        return None

    def measured(self, section: PretrainSection) -> tuple[Metric, ...]:
        """Return the mean loss since the previous stop."""
        del section
        return (MEAN_LOSS,)

    def learns(self, section: PretrainSection) -> str:
        """Return the name of pretraining, which is always the same."""
        del section
        return "pretraining"

    def batches(self, section: PretrainSection) -> Iterator[GlobalBatch]:
        """Yield one batch for each corpus."""
        for index, corpus in enumerate(section.corpora):
            yield GlobalBatch(("corpora", index, "batch_size"), corpus.batch_size, corpus.objectives, section.accumulate)

    def samples_seen(self, section: PretrainSection, steps: int) -> int:
        """Return those of all corpora, each of which has its share of the steps."""
        return round(sum(corpus.steps * corpus.batch_size for corpus in section.corpora) * steps / section.steps)

    def text_lengths(self, section: PretrainSection) -> Iterator[TextLength]:
        """Yield captions, and concatenated captions if a corpus needs them."""
        yield from super().text_lengths(section)
        if any(corpus.joined for corpus in section.corpora):
            limit = concatenated_text_limit(section.max_text_tokens, section.concatenate)
            yield TextLength("max_text_tokens", limit, f"the caption of {section.concatenate} concatenated samples")

    def lineage(self, section: PretrainSection) -> Lineage:
        """Return its corpora as what the model was trained on."""
        return Lineage(section.init_from, tuple((corpus.dataset, corpus.split) for corpus in section.corpora))

    def run(self, context: StageContext[PretrainSection]) -> StageOutcome:
        """Train with Ray Train, or run a sweep with Ray Tune."""
        from workflows.execution.train import train

        return train(context)


def _lists_objectives(corpus: object) -> bool:
    """Return whether a corpus, which nobody has checked yet, has a list of objectives."""
    return isinstance(corpus, Mapping) and isinstance(corpus.get("objectives"), list)
