"""Notes what annotations say that is allowed but worth knowing: clips for testing that are also trained on, texts of unknown
words, captions that are there twice, and too few clips for the metric that selects."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from cosa.data.annotation_columns import AnnotationSource
from cosa.data.annotation_use import AnnotationKind
from cosa.data.annotations import first_texts
from cosa.data.shards.paths import shard_paths, without_options
from cosa.errors import DataError
from cosa.message_text import quoted, shown
from cosa.word_pieces import unknown_share
from workflows.planning.annotation_digests import texts_of
from workflows.planning.plan import Plan, Step
from workflows.results.layout import UNREADABLE_FILE
from workflows.spec.experiment import Experiment
from workflows.spec.reads import AnnotationsRead, source_of
from workflows.spec.stage_kinds import kind_of

MOST_BYTES = 2**26  # Larger files, of millions of captions, are not read once more for notes.
NOTEWORTHY_BATCHES = 20  # In a split of more batches than this, what fills none is a small part.
TEXTS = 500  # So many of a file are looked at.
MANY_UNKNOWN = 0.3
BERT_VOCABULARY = 30522

Split = tuple[str, str]  # names of a dataset and of a split of it


def annotation_notes(plan: Plan) -> tuple[str, ...]:
    """Return notes about the annotations of the stages that will run; those that a prepare stage makes cannot be read yet."""
    files = _Splits(plan)
    stages: dict[str, list[str]] = {}  # The stages of each note; none of one that names no stage.
    for step in plan.to_run:
        for note in _notes(step, plan.experiment, files):
            text = note.removeprefix(f"{step.name}: ")
            stages.setdefault(text, []).extend([step.name] if text != note else [])
    plan.digests.save()
    return tuple(": ".join(filter(None, (", ".join(dict.fromkeys(names)), text))) for text, names in stages.items())


def _notes(step: Step, experiment: Experiment, files: _Splits) -> Iterator[str]:
    reads = kind_of(step.section).reads(step.section, experiment.section.datasets)
    used = [read for read in reads if isinstance(read, AnnotationsRead) and not read.use.only_ids]
    tested = dict.fromkeys(_split_of(read) for read in used if read.use.evaluated)
    for split in tested:
        for other, stages in _trained_on(step.name, experiment).items():
            if other[0] != split[0] or not experiment.same_split(split[0], split[1], other[1]):
                yield from _overlap(step, split, other, stages, files)
                yield from _common_shards(step, split, other, stages, files)
        yield from _too_few(step, split, files)
        yield from _repeated(split, files)
    for split, kind, batch in dict.fromkeys((_split_of(read), read.use.kind, read.use.fewest_samples) for read in used):
        if batch > 1:
            yield from _left_out(step, split, batch, files.samples(split, kind))
    for split in dict.fromkeys(map(_split_of, used)):
        yield from _part(split, files)
        share = files.unknown_share(split)
        if share > MANY_UNKNOWN:
            yield (
                f"{100 * share:.0f} % of the tokens of {_name(split)} are [UNK]: stages that read it see that in place of "
                "words which are unknown to the tokenizer (BERT's uncased English vocabulary)"
            )


def _overlap(step: Step, split: Split, other: Split, stages: list[str], files: _Splits) -> Iterator[str]:
    own, trained = files.clips(split), files.clips(other)
    both = own & trained
    if both:
        _, first = min(both)
        yield (
            f"{step.name}: {len(both)} of {len(own)} clips of {_name(split)} are also in {_name(other)}, on which "
            f"{' and '.join(stages)} trained, such as {first!r}: its scores are optimistic"
        )


def _common_shards(step: Step, split: Split, other: Split, stages: list[str], files: _Splits) -> Iterator[str]:
    own, trained = files.shards(split), set(files.shards(other))
    both = [path for path in own if path in trained]
    if both:
        yield (
            f"{step.name}: {len(both)} of {len(own)} shards of {_name(split)} are also in {_name(other)}, on which "
            f"{' and '.join(stages)} trained, such as {shown(without_options(both[0]))}: its scores are optimistic"
        )


def _too_few(step: Step, split: Split, files: _Splits) -> Iterator[str]:
    kind = kind_of(step.section)
    metric, lineage = kind.selection_metric(step.section), kind.lineage(step.section)
    clips = len(files.clips(split))
    if metric is not None and lineage is not None and lineage.selected_on == split and 0 < clips < metric.fewest_clips:
        yield (
            f"{step.name} selects by {metric.label or metric.name} on {_name(split)}, which has {clips} clip: the metric is "
            f"always 0 with fewer than {metric.fewest_clips}, so that nothing is selected"
        )


def _repeated(split: Split, files: _Splits) -> Iterator[str]:
    """Note captions that are there twice, perhaps copied by mistake. In training they are common, and harm little."""
    captions = files.captions(split)
    twice = len(captions) - len(set(captions))
    if twice:
        (clip, text), _ = Counter(captions).most_common(1)[0]
        yield (
            f"{twice} of {len(captions)} captions of {_name(split)} repeat another of the same clip, such as {quoted(text)} of "
            f"{quoted(clip)}; each counts as one more"
        )


def _left_out(step: Step, split: Split, batch: int, samples: int) -> Iterator[str]:
    """Note samples of a pass over a split that fill no batch, if they are a notable part of it."""
    if batch <= samples <= samples % batch * NOTEWORTHY_BATCHES:
        steps = samples // batch
        yield (
            f"{step.name}: a pass over {_name(split)} is {steps} step{'s' if steps > 1 else ''} of {batch}; "
            f"{samples % batch} of its {samples} samples, others each time, are left out, because they do not fill a batch"
        )


def _part(split: Split, files: _Splits) -> Iterator[str]:
    """Note a split of which the spec chooses a part: its figures are not those of the split."""
    dataset = files.datasets[split[0]]
    what = "clips" if dataset.media == "video" else "images"
    parts = [(f"{counted} of its {named}", said) for said, counted, named in files.parts(split)]
    of_shards = dataset.splits[split[1]].reading_of("captions")
    if dataset.has_shards and of_shards.is_part:  # How many samples there are, their index will say.
        parts.append(("a part of its", of_shards.said))
    for amount, said in parts:
        yield f"{_name(split)} is cut to {amount} {what} ({said}): its figures are not those of the full split"


def _split_of(read: AnnotationsRead) -> Split:
    """Return the split that a stage reads."""
    return read.dataset, read.use.split


def _name(split: Split) -> str:
    return "/".join(split)


def _trained_on(stage: str, experiment: Experiment) -> dict[Split, list[str]]:
    """Return the splits that the model of a stage was trained on, each with the stages that did."""
    found: dict[Split, list[str]] = {}
    seen: set[str] = set()
    name: str | None = stage
    while name is not None and name in experiment.stages and name not in seen:
        seen.add(name)
        lineage = kind_of(experiment.stages[name]).lineage(experiment.stages[name])
        if lineage is None:
            break
        for split in lineage.trained_on:
            found.setdefault(split, []).append(name)
        name = lineage.starts_from
    return found


class _Splits:
    """Reads what is asked of splits, each file once. A file that cannot be read gives no note."""

    def __init__(self, plan: Plan):
        self.digests = plan.digests
        self.datasets = plan.experiment.section.datasets
        self._sources = _files_of_splits(plan.experiment)
        self.vocabulary_size = plan.experiment.section.model.text.vocabulary_size
        self._unreadable = _unreadable_clips(plan)
        self._clips: dict[Split, frozenset[tuple[Path, str]]] = {}
        self._shares: dict[Split, float] = {}

    def clips(self, split: Split) -> frozenset[tuple[Path, str]]:
        """Return the clips of a split: the folder that they are in, and their ids."""
        if split not in self._clips:
            found: set[str] = set()
            with suppress(DataError):
                found = {clip for source in self._files(split) for clip in self.digests.media_ids(source)}
            root = self._root(split[0])
            self._clips[split] = frozenset((root, video_id) for video_id in found)
        return self._clips[split]

    def shards(self, split: Split) -> list[str]:
        """Return the absolute paths of a split's shards, in their order; none if a stage makes them."""
        dataset = self.datasets[split[0]]
        return [] if dataset.made_by is not None else shard_paths(dataset.splits[split[1]].shards, str(Path.cwd()))

    def samples(self, split: Split, kind: AnnotationKind) -> int:
        """Return how many captions or questions of readable clips a split has; 0 if they cannot be read now."""
        sources = [source for source in self._files(split) if source.kind == kind]
        amount = sum(map(self.digests.amount_of, sources))
        unreadable = self._unreadable.get(split[0])
        if unreadable:
            with suppress(DataError):
                amount -= sum(media_id in unreadable for source in sources for media_id, _ in texts_of(source))
        return amount

    def captions(self, split: Split) -> list[tuple[str, str]]:
        """Return all captions of a split with their clips; none if they cannot be read now."""
        found: list[tuple[str, str]] = []
        with suppress(DataError):
            for source in self._files(split):
                if source.kind == "captions":
                    found += texts_of(source)
        return found

    def parts(self, split: Split) -> list[tuple[str, int, int]]:
        """Return for each file of which not all clips count: what the spec says, how many count, and how many it names."""
        sources = [source for source in self._sources.get(split, ()) if source.reading.is_part and source.path.is_file()]
        return [(source.reading.said, *self.digests.clips_of(source)) for source in sources]

    def unknown_share(self, split: Split) -> float:
        """Return the share of words that the tokenizer does not know, in the first texts of a split."""
        if split not in self._shares:
            texts: list[str] = []
            with suppress(DataError):
                texts = [text for one in self._files(split) for text in first_texts(one.path, TEXTS, one.reading.names)]
            # In English and the full vocabulary nothing is unknown, and loading the tokenizer takes a while.
            letters = "".join(texts)
            plain = letters.isascii() and self.vocabulary_size >= BERT_VOCABULARY
            self._shares[split] = 0.0 if plain else unknown_share(texts, self.vocabulary_size)
        return self._shares[split]

    def _root(self, dataset: str) -> Path:
        section = self.datasets[dataset]
        return Path(section.frames or section.root or "").expanduser().absolute()

    def _files(self, split: Split) -> list[AnnotationSource]:
        """Return the files that stages read of a split and that can be read now."""
        sources = self._sources.get(split, ())
        return [source for source in sources if source.path.is_file() and source.path.stat().st_size <= MOST_BYTES]


def _unreadable_clips(plan: Plan) -> dict[str, frozenset[str]]:
    """Return by dataset the clips that finished extractions have left out."""
    found: dict[str, frozenset[str]] = {}
    for step in plan.steps:
        dataset = kind_of(step.section).frames_of(step.section)
        if dataset is not None and step.action == "skip":
            with suppress(OSError):  # The result is damaged, which is said where it is used.
                found[dataset] = frozenset((plan.result_of(step.name) / UNREADABLE_FILE).read_text("utf-8").splitlines())
    return found


def _files_of_splits(experiment: Experiment) -> dict[Split, list[AnnotationSource]]:
    """Return the user's own files of captions and questions that stages read, by split."""
    datasets = experiment.section.datasets
    found: dict[Split, list[AnnotationSource]] = {}
    for stage in experiment.stages.values():
        for read in kind_of(stage).reads(stage, datasets):
            if not isinstance(read, AnnotationsRead) or read.use.only_ids or read.use.kind == "references":
                continue
            section = datasets[read.dataset]
            source = source_of(section, read.use)
            if section.made_by is None and source is not None:
                found.setdefault((read.dataset, read.use.split), []).append(source)
    return {split: list(dict.fromkeys(sources)) for split, sources in found.items()}
