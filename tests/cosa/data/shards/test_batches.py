"""Batches of samples in shards: the same for any number of workers, and at any step."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch

from cosa.data.batch_needs import BatchNeeds
from cosa.data.batches import Batch, Corpus, TrainingBatches
from cosa.data.clip_settings import ClipSettings
from cosa.data.clips import ClipReader
from cosa.data.dataset_files import DatasetFiles, DatasetShards, caption_samples
from cosa.data.order_settings import OrderSettings
from cosa.data.pictures import read_picture
from cosa.data.shards.clip_trial import ClipTrial
from cosa.data.shards.scan import Scanning
from cosa.data.split_reading import SplitReading
from cosa.errors import DataError, UserError
from cosa.tokenizer import CaptionTokenizer
from cosa.training.building import corpus_of
from tests.cosa.data.drawn_videos import make_video
from tests.cosa.data.shards.made import clip_members, picture, write_shards, write_tar
from tests.cosa.data.shards.test_media import indexed

TOKENIZER = CaptionTokenizer()
ALL = BatchNeeds(all_captions=True, concatenated=True, all_concatenated=True)


@pytest.fixture
def clips(tmp_path: Path) -> DatasetFiles:
    """Twelve clips in three shards, which are decoded online."""
    members = list[list[tuple[str, bytes]]]([[], [], []])
    for number in range(12):
        made = make_video(tmp_path / f"clip{number:02}.mp4", frames=20 + number, size=(32, 32), noise=True)
        members[number // 4] += clip_members(made)
    paths = {"train": [str(write_tar(tmp_path / f"{shard}.tar", members[shard])) for shard in range(3)]}
    index = indexed(tmp_path, paths, Scanning("video", clips=ClipTrial(10**6, 60.0, 60.0)))
    decode = {"cache": str(tmp_path / "cache")}
    shards = DatasetShards(str(index), paths)
    return DatasetFiles("web", "video", "", None, {"train": {}}, decode=decode, shards=shards)


@pytest.fixture
def dataset(tmp_path: Path) -> DatasetFiles:
    write_shards(tmp_path / "shards", 12, [5 + shard % 4 for shard in range(12)])
    paths = {"train": sorted(map(str, (tmp_path / "shards").iterdir()))}
    index = indexed(tmp_path, paths)
    return DatasetFiles("web", "image", "", None, {"train": {}}, shards=DatasetShards(str(index), paths))


def corpus(dataset: DatasetFiles, batch_size: int = 12, **order: object) -> Corpus:
    return corpus_of(
        dataset, "train", caption_samples(dataset, "train"), ("itc",), ClipSettings(), steps=20, batch_size=batch_size,
        resolution=16, order=OrderSettings.model_validate(order),
    )  # fmt: skip


def batches(dataset: DatasetFiles, rank: int = 0, workers: int = 1, **order: object) -> TrainingBatches:
    made = corpus(dataset, **order)
    made = Corpus(made.name, made.samples, made.clips, made.objectives, made.steps, made.batch_size, ALL, made.shuffle)
    return TrainingBatches([made], TOKENIZER, seed=7, concatenate=3, rank=rank, workers=workers)


def joined(parts: list[Batch]) -> tuple[list[str], list[int], torch.Tensor]:
    return (
        [media_id for part in parts for media_id in part.media_ids],
        [number for part in parts for number in part.identities.tolist()],
        torch.cat([part.frames for part in parts]),
    )


@pytest.mark.parametrize("workers", [2, 3, 6])
@pytest.mark.parametrize("shuffle", ["streams", "full"])
def test_the_global_batch_is_the_same_for_any_number_of_workers(dataset: DatasetFiles, workers: int, shuffle: str) -> None:
    make = partial(batches, dataset, workers=workers, shuffle=shuffle)
    one, several = batches(dataset, shuffle=shuffle), [make(rank) for rank in range(workers)]
    for step in (0, 13, 6):  # Epochs have 6 batches.
        alone, parts = one[step], [made[step] for made in several]
        (ids, identities, frames), (same, also, equal) = joined([alone]), joined(parts)
        assert (ids, identities) == (same, also)
        assert torch.equal(frames, equal)
        for part in parts:
            assert part.all_ids is not None
            assert torch.equal(part.all_ids, alone.ids)
            first = ids.index(part.media_ids[0])
            assert part.members is not None
            assert alone.members is not None
            assert torch.equal(part.members, alone.members[first : first + len(part.media_ids)])


def test_global_batches_of_clips_are_the_same_for_any_number_of_workers(clips: DatasetFiles) -> None:
    def batches_of(rank: int, workers: int) -> TrainingBatches:
        return TrainingBatches([corpus(clips, batch_size=6)], TOKENIZER, seed=7, rank=rank, workers=workers)

    one, two = batches_of(0, 1), [batches_of(rank, 2) for rank in range(2)]
    for step in (5, 0, 2):  # Epochs have 2 batches; no step needs those before it.
        (ids, identities, frames), (same, also, equal) = joined([one[step]]), joined([made[step] for made in two])
        assert (ids, identities) == (same, also)
        assert torch.equal(frames, equal)
    captions = {sample.media_id: sample.caption for sample in caption_samples(clips, "train")}
    assert captions == {f"{number // 4}.tar/clip{number:02}": f"clip clip{number:02}" for number in range(12)}


def test_each_epoch_takes_each_sample_once_and_pictures_fit_captions(dataset: DatasetFiles) -> None:
    made, samples = batches(dataset), caption_samples(dataset, "train")
    captions = {sample.media_id: sample.caption for sample in samples}
    for epoch in range(3):
        steps = [made[6 * epoch + step] for step in range(6)]
        ids = [media_id for step in steps for media_id in step.media_ids]
        assert len(set(ids)) == len(ids) == 72
        texts = [TOKENIZER.decode(row) for step in steps for row in step.ids.tolist()]
        assert texts == [captions[media_id] for media_id in ids]


@pytest.mark.parametrize("shuffle", ["streams", "full"])
def test_batches_of_a_part_take_its_samples_alone(dataset: DatasetFiles, shuffle: str) -> None:
    part = replace(dataset, reading={"train": SplitReading(limit=30)})
    table = caption_samples(part, "train")
    assert len(table) == 30
    assert sum(table.shard_sizes or ()) == 30
    one, two = batches(part, shuffle=shuffle), [batches(part, rank, 2, shuffle=shuffle) for rank in range(2)]
    for step in (3, 0, 1):  # Epochs have 2 batches.
        assert torch.equal(joined([one[step]])[2], joined([made[step] for made in two])[2])
    drawn = [media_id for step in range(2) for media_id in one[step].media_ids]
    assert len(set(drawn)) == 24
    assert set(drawn) <= {sample.media_id for sample in table}


def test_too_large_a_batch_or_too_many_streams_are_refused(dataset: DatasetFiles) -> None:
    with pytest.raises(DataError, match="web/train has 78 samples, fewer than batch_size 80"):
        TrainingBatches([corpus(dataset, batch_size=80)], TOKENIZER, seed=0)
    with pytest.raises(UserError, match="web/train has 12 shards with samples, fewer than its 13 streams"):
        TrainingBatches([corpus(dataset, batch_size=13, streams=13)], TOKENIZER, seed=0)


def test_a_missing_shard_is_reported_before_training(dataset: DatasetFiles) -> None:
    assert dataset.shards is not None
    gone = Path(dataset.shards.paths["train"][4])
    gone.unlink()
    made = corpus(dataset)
    with pytest.raises(DataError, match=f"1 shards missing in .*, such as '{gone}'; restore them"):
        made.clips.check(made.table.media_ids())


def test_captions_are_not_questions(dataset: DatasetFiles) -> None:
    made = corpus(dataset)
    asking = Corpus(made.name, made.samples, made.clips, ("qa",), 3, 4, BatchNeeds(questions=True))
    with pytest.raises(DataError, match=r"the sample of 00000.tar/000000000 has no question"):
        TrainingBatches([asking], TOKENIZER, seed=0)


def test_clips_are_read_frame_by_frame(tmp_path: Path) -> None:
    members: list[tuple[str, bytes]] = []
    for clip in range(3):
        members += [(f"c{clip}.{frame:04d}.jpg", picture(10 * clip + frame)) for frame in range(4)]
        members.append((f"c{clip}.txt", f"clip {clip}".encode()))
    paths = {"train": [str(write_tar(tmp_path / "a.tar", members))]}
    index = indexed(tmp_path, paths, Scanning("video"))
    dataset = DatasetFiles("web", "video", "", None, {"train": {}}, shards=DatasetShards(str(index), paths))
    reader = ClipReader.of(dataset, ClipSettings(train_frames=4), 16, training=False)
    for clip in range(3):
        (tmp_path / "f.jpg").write_bytes(picture(10 * clip + 2))
        expected = torch.from_numpy(read_picture(tmp_path / "f.jpg").copy()).permute(2, 0, 1)
        frames = reader(f"a.tar/c{clip}", None)
        assert frames.shape == (4, 3, 16, 16)
        assert torch.equal(frames[2], expected)
