"""CPU seconds that each installed decoder takes for a sample, and whether its frames are those of PyAV.

python -m benchmarks.decoders CLIPS...      CLIPS are files for which all are exact (docs/media.md)

Decoders take turns clip by clip, in one process. Each opens the file anew; its packets are known.
"""

import argparse
import time
from collections import defaultdict
from pathlib import Path

import numpy as np

from cosa.data.decoders import AUTO, DECODER_NAMES, decoder_of
from cosa.data.extraction_settings import ExtractionSettings
from cosa.data.frame_times import FrameTimes, frame_times
from cosa.data.sampling import sample_frame_indices
from cosa.data.videos import OpenedVideo, open_video
from cosa.errors import UserError

SIZES = (4, 8, 16)


def usable(video: OpenedVideo) -> list[str]:
    """The decoders that are installed, PyAV first; it prints why another is not."""
    found = []
    for name in DECODER_NAMES:
        if name != AUTO:
            try:
                decoder_of(video, name).function()
            except UserError as error:
                print(error)
            else:
                found.append(name)
    return found


def compare(video: OpenedVideo, times: FrameTimes, places: list[int], names: list[str]) -> dict[str, tuple[float, bool]]:
    """CPU seconds by decoder, and whether its frames are those of PyAV."""
    frames, seconds = {}, {}
    for name in names:
        begun = time.process_time()
        frames[name] = list(decoder_of(video, name).function()(video, times, places))
        seconds[name] = time.process_time() - begun
    return {name: (seconds[name], all(map(np.array_equal, frames[name], frames["pyav"]))) for name in names}


def main() -> None:
    """Measure all decoders on the same clips."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", type=Path, nargs="+")
    given = parser.parse_args()
    names = usable(open_video(given.clips[0]))
    for size in SIZES:
        found = defaultdict(list)
        for number, path in enumerate(given.clips):
            video = open_video(path)
            times = frame_times(video, ExtractionSettings())
            places = sample_frame_indices(len(times), size, np.random.default_rng([number, size]))
            turns = names if number % 2 else names[::-1]
            for name, measured in compare(video, times, sorted({int(place) for place in places}), turns).items():
                found[name].append(measured)
        for name in names:
            seconds, are_equal = zip(*found[name], strict=True)
            print(
                f"{size:3} frames  {name:12} {np.mean(seconds):.3f} CPU s  {sum(are_equal)} of {len(are_equal)} equal",
                flush=True,
            )


if __name__ == "__main__":
    main()
