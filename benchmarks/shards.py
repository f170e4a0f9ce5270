"""Reading tar shards: pictures a second and core beside plain webdataset, memory over many samples, what indexing takes.

python -m benchmarks.shards speed      in one process; webdataset is timed in the same run if it is installed
python -m benchmarks.shards memory     memory of a process that reads 200,000 samples
"""

import argparse
import io
import resource
import tarfile
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from importlib import import_module
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from PIL import Image

from cosa.data.clips import ClipReader
from cosa.data.order import StreamShuffle
from cosa.data.pictures import decode_picture
from cosa.data.random_streams import STREAM_ORDER, STREAM_SAMPLE, random_stream
from cosa.data.shards.index import IndexedShard, ShardIndex, index_file, write_rows, write_shards
from cosa.data.shards.media import ShardPictures
from cosa.data.shards.samples import ShardSamples
from cosa.data.shards.scan import Scanning, scan_shard
from cosa.data.transforms import FrameTransform

RESOLUTION, BATCH, SPLIT = 224, 64, "train"
FILLING = 1500  # pictures that fill webdataset's buffers


def make_shards(folder: Path, shards: int, each: int, side: int, different: int = 64) -> list[str]:
    """Write shards in img2dataset's layout, whose pictures are some different ones."""
    draw = np.random.default_rng(0)
    pictures = []
    for _ in range(different):
        coarse = Image.fromarray(draw.integers(0, 255, (12, 12, 3), np.uint8)).resize((side, side), Image.Resampling.BICUBIC)
        noisy = np.asarray(coarse).astype(int) + draw.integers(-12, 12, (side, side, 3))
        file = io.BytesIO()
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=90)
        pictures.append(file.getvalue())
    paths = []
    for shard in range(shards):
        paths.append(str(folder / f"{shard:05d}.tar"))
        with tarfile.open(paths[-1], "w") as archive:
            for number in range(each):
                key = f"{shard:05d}{number:04d}"
                caption = f"a picture with the number {shard * each + number} in a corpus of shards".encode()
                for suffix, content in (("jpg", pictures[number % different]), ("txt", caption)):
                    info = tarfile.TarInfo(f"{key}.{suffix}")
                    info.size = len(content)
                    archive.addfile(info, io.BytesIO(content))
    return paths


def make_index(folder: Path, paths: list[str]) -> Path:
    """Index shards as the stage does, in this process."""
    target, shards = folder / "index", []
    target.mkdir()

    def rows() -> Iterator[Any]:
        for path in paths:
            scanned = scan_shard(path, Scanning("image"))
            shards.append(IndexedShard(Path(path).name, scanned.size, scanned.samples.num_rows, len(scanned.broken)))
            yield scanned.samples

    write_rows(index_file(target, SPLIT), rows())
    write_shards(target, {SPLIT: shards})
    return target


class Reader:
    """Reads batches of all workers, as a trainer does."""

    def __init__(self, index: Path, paths: list[str]):
        rows = ShardIndex(index, SPLIT)
        self.samples = ShardSamples(rows)
        draw = partial(random_stream, 50, STREAM_ORDER, 0)
        self.order = StreamShuffle([shard.samples for shard in rows.shards]).order(len(rows), BATCH, draw)
        self.source = ShardPictures(index, {SPLIT: paths})
        self.clips = ClipReader(
            self.source, frames=1, resolution=RESOLUTION, transforms="crop_flip", training=True, cache_megabytes=0
        )

    def pictures(self) -> Iterator[torch.Tensor]:
        """Yield pictures as a model sees them, epoch after epoch."""
        for turn in range(2**31):
            samples = [self.samples[int(place)] for place in self.order.batch(turn)]
            self.clips.look_up([sample.media_id for sample in samples])
            generators = [random_stream(50, STREAM_SAMPLE, turn, row) for row in range(BATCH)]
            for sample, generator in zip(samples, generators, strict=True):
                yield self.clips(sample.media_id, generator)

    def contents(self) -> Iterator[bytes]:
        """Yield pictures as they are stored, and compared with the index."""
        for turn in range(2**31):
            for sample in [self.samples[int(place)] for place in self.order.batch(turn)]:
                (found,) = self.source.files(sample.media_id)
                yield found.content()


def webdataset_pictures(webdataset: Any, paths: list[str], *, decode: bool) -> Iterator[Any]:
    """Yield pictures of plain webdataset with its usual buffers; decoded and cropped with the same functions, or as stored."""
    stored = webdataset.WebDataset(paths, shardshuffle=100).shuffle(1000).to_tuple("jpg", "txt").repeat()
    transform, crop = FrameTransform("crop_flip", RESOLUTION, training=True, antialias=True), torch.Generator()
    for content, _ in stored:
        if decode:
            pixels = torch.from_numpy(decode_picture(content, "a picture")[None].copy()).permute(0, 3, 1, 2)
            yield transform(pixels, crop)
        else:
            yield content


def rate(pictures: Iterator[Any], count: int) -> float:
    """Pictures a second of CPU time."""
    begin = _cpu()
    for _ in islice(pictures, count):
        pass
    return count / (_cpu() - begin)


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def speed(shards: int, each: int, side: int, rounds: int) -> None:
    """Time indexing, the order, and both readers in turns, so that other work on the machine disturbs both alike."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="cosa-shards-") as name:
        folder = Path(name)
        paths = make_shards(folder, shards, each, side)
        size = sum(Path(path).stat().st_size for path in paths) / 1e6
        print(f"{shards} shards of {each} pictures of {side} x {side} pixels, {size:.0f} MB")
        begin, started = _cpu(), time.perf_counter()
        index = make_index(folder, paths)
        seconds = _cpu() - begin
        print(f"indexed: {shards * each / seconds:.0f} samples a second and core ({time.perf_counter() - started:.1f} s)")
        reader = Reader(index, paths)
        begin = _cpu()
        for turn in range(1000):
            reader.order.batch(turn)
        print(f"order: {1e3 * (_cpu() - begin) / 1000:.3f} ms a batch of {BATCH}, {reader.order.streams} streams")
        read_in_turns(ways_of_reading(reader, paths), rounds)


def ways_of_reading(reader: Reader, paths: list[str]) -> dict[str, tuple[Iterator[Any], int]]:
    """Pictures by each way, and how many of them are a round."""
    ways: dict[str, tuple[Iterator[Any], int]] = {
        "cosa, decoded and cropped": (reader.pictures(), 200),
        "cosa, as stored": (reader.contents(), 2000),
    }
    try:
        webdataset = import_module("webdataset")
    except ImportError:
        print("webdataset is not installed, and not timed (pip install webdataset)")
        return ways
    decoded, stored = (webdataset_pictures(webdataset, paths, decode=decode) for decode in (True, False))
    return ways | {"webdataset, decoded and cropped": (decoded, 200), "webdataset, as stored": (stored, 2000)}


def read_in_turns(ways: dict[str, tuple[Iterator[Any], int]], rounds: int) -> None:
    """Print quartiles of the rate of each way."""
    for pictures, _ in ways.values():
        rate(pictures, FILLING)
    found: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way, (pictures, count) in ways.items():
            found[way].append(rate(pictures, count))
    for way, rates in found.items():
        low, middle, high = np.quantile(rates, (0.25, 0.5, 0.75))
        print(f"{way:32} {middle:8.0f} pictures a second and core (quartiles {low:.0f}, {high:.0f})")


def memory(samples: int) -> None:
    """Print the memory of this process while it reads many samples: its own, and with mapped files such as the index."""
    torch.set_num_threads(1)
    each = 1000
    with tempfile.TemporaryDirectory(prefix="cosa-shards-") as name:
        folder = Path(name)
        paths = make_shards(folder, max(1, samples // each), each, 64)
        with ProcessPoolExecutor(1, get_context("spawn")) as other:  # What indexing takes is not what reading takes.
            index = other.submit(make_index, folder, paths).result()
        reader, process = Reader(index, paths), psutil.Process()
        size = sum(path.stat().st_size for path in index.iterdir())
        print(f"{len(reader.samples)} samples in {len(paths)} shards; index {size / len(reader.samples):.0f} bytes a sample")
        marks = [int(share * samples) for share in (0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 1)]
        pictures, read = reader.pictures(), 0
        for mark in marks:
            for _ in islice(pictures, mark - read):
                pass
            read = mark
            own = sum(part.anonymous for part in process.memory_maps()) / 2**20
            everything = process.memory_info().rss / 2**20
            print(f"{read:8} samples read: {own:7.1f} MiB of its own, {everything:7.1f} MiB with mapped files", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("speed", "memory"))
    parser.add_argument("--shards", type=int, default=100)
    parser.add_argument("--each", type=int, default=100, help="pictures in a shard")
    parser.add_argument("--side", type=int, default=256, help="pixels")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--samples", type=int, default=200_000)
    given = parser.parse_args()
    if given.what == "speed":
        speed(given.shards, given.each, given.side, given.rounds)
    else:
        memory(given.samples)
