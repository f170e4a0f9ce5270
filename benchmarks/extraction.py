"""Extraction of frames beside the ffmpeg program: clips a second and CPU seconds a clip, each with two processes.

python -m benchmarks.extraction --ffmpeg FFMPEG [--clips 200] [--output files|tar|shards]

FFMPEG is the program, such as that of `pip install imageio-ffmpeg`. Clips are drawn by it, 720p, H.264 with B-frames, once into
a folder that later runs find again. Ours also reads every file through twice more, for its digest and its packets, computes a
digest of every frame, and writes so that a crash of the machine loses nothing.
"""

import argparse
import os
import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

DRAWN = 20  # clips that are drawn; the others are copies with another title, so that no two files are equal
SECONDS, RATE, FPS = 4, 25, 4
ENCODING = "-c:v libx264 -preset veryfast -crf 27 -pix_fmt yuv420p"
OUTPUTS = ("files", "tar", "shards")  # of the extract stage
PROCESSES = 2
TASK = 8  # clips of one of our tasks
T = TypeVar("T")


def draw(ffmpeg: str, folder: Path, count: int) -> list[Path]:
    """Clips of moving shapes with film grain, at about 3 Mbit/s."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number:04d}.mp4" for number in range(count)]
    for number, path in enumerate(paths):
        unfinished = path.with_suffix(".part.mp4")
        if path.exists():
            continue
        if number < DRAWN:
            grain = f"noise=alls=6:allf=t:all_seed={number}"
            picture = f"testsrc2=size=1280x720:rate={RATE}:duration={SECONDS},hue=h={18 * number},{grain}"
            source = ["-f", "lavfi", "-i", picture, *ENCODING.split()]
        else:
            source = ["-i", str(paths[number % DRAWN]), "-c", "copy", "-metadata", f"title={number}"]
        run([ffmpeg, "-v", "error", "-y", *source, str(unfinished)])
        unfinished.rename(path)
    return paths


def run(command: Sequence[str]) -> None:
    """Run a program that has to succeed."""
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)  # noqa: S603  its arguments are ours


def theirs(ffmpeg: str, options: Sequence[str], out: Path, clip: Path) -> int:
    """Extract a clip with ffmpeg; returns the number of frames."""
    folder = out / clip.stem
    folder.mkdir(parents=True)
    run([ffmpeg, "-v", "error", *options, "-i", str(clip), "-vf", f"fps={FPS}", "-q:v", "2", str(folder / "frame_%04d.jpg")])
    return len(list(folder.iterdir()))


def ours(out: Path, output: str, clips: Sequence[Path]) -> int:
    """Extract clips as a task of the extract stage does; returns the number of frames. Each task ends its shard, where the
    stage would pass it to the next one until it is full."""
    from cosa.checksums import digest_of
    from cosa.data.extraction_settings import ExtractionSettings
    from cosa.data.media_limits import DEFAULT_LIMITS
    from cosa.data.shard_writing import ShardState
    from workflows.execution.clip_extraction import Clip, extract_clips
    from workflows.execution.frame_store import FrameStore, Sampling, new_shard

    (out / "notes").mkdir(exist_ok=True)
    work = [Clip(clip.stem, str(clip), digest_of(clip)) for clip in clips]
    sampling, store = Sampling("way", ExtractionSettings(fps=FPS), DEFAULT_LIMITS, output), FrameStore(out / ".frames")
    shard = ShardState(new_shard(clips[0].stem)) if output == "shards" else None
    records, _ = extract_clips(work, store, sampling, False, out / "notes", shard, int(clips[0].stem))
    store.make_shards_complete(sampling.name, clips[0].stem)
    assert all(record["error"] is None for record in records), records
    return sum(record["frames"] for record in records)


def cpu_seconds() -> float:
    """CPU seconds of this process and of its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def measured(name: str, extract: Callable[[T], int], work: Sequence[T], clips: int, *, in_processes: bool) -> None:
    """Print what extracting all clips took. Ours runs in processes that have started, as Ray's have: that does not count."""
    cpu = cpu_seconds()
    with (ProcessPoolExecutor if in_processes else ThreadPoolExecutor)(PROCESSES) as pool:
        started = sum(pool.map(_start_process, range(PROCESSES))) if in_processes else 0.0
        begun = time.perf_counter()
        frames = sum(pool.map(extract, work))
        seconds = time.perf_counter() - begun
    cpu = cpu_seconds() - cpu - started
    rate, each = clips / seconds, cpu / clips
    print(f"{name:24} {rate:6.2f} clips/s  {each:6.3f} CPU s a clip  {frames} frames", flush=True)


def _start_process(_: int) -> float:
    """Let each process take one of these, and return the CPU seconds of its start."""
    import workflows.execution.clip_extraction  # noqa: F401

    time.sleep(1)
    return time.process_time()


def main() -> None:
    """Measure all, in turns, so that a busy machine slows both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ffmpeg", default=shutil.which("ffmpeg"), required=shutil.which("ffmpeg") is None)
    parser.add_argument("--output", choices=OUTPUTS, action="append", help="may be given again; left out: all of them")
    parser.add_argument("--clips", type=int, default=200)
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / f"cosa-clips-{os.getuid()}")
    given = parser.parse_args()
    clips = draw(given.ffmpeg, given.folder, given.clips)
    megabytes = sum(clip.stat().st_size for clip in clips) / 1e6
    print(f"{len(clips)} clips, 1280 x 720, {SECONDS} s at {RATE} frames/s, {megabytes:.0f} MB; {PROCESSES} processes each")
    for turn in range(given.turns):
        part = clips[turn :: given.turns]
        batches = [part[start : start + TASK] for start in range(0, len(part), TASK)]
        for output in given.output or OUTPUTS:
            with tempfile.TemporaryDirectory(dir=given.folder) as folder:
                extract = partial(ours, Path(folder), output)
                measured(f"ours, {output}", extract, batches, len(part), in_processes=True)
        for name, options in (("ffmpeg", []), ("ffmpeg -threads 1", ["-threads", "1"])):
            with tempfile.TemporaryDirectory(dir=given.folder) as folder:
                measured(name, partial(theirs, given.ffmpeg, options, Path(folder)), part, len(part), in_processes=False)


if __name__ == "__main__":
    main()
