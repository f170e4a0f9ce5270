"""What the packets of a clip say, as bytes: a reader that has it needs not read the clip through again."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from io import BytesIO

import numpy as np

from cosa.data.entry_points import EntryPoints
from cosa.data.media_limits import MediaLimits
from cosa.data.video_packets import Timeline
from cosa.data.video_sources import VideoSource
from cosa.data.videos import OpenedVideo, VideoInfo, open_source

_NOTHING = np.zeros(0, np.int64)


@dataclass(frozen=True)
class ClipRecord:
    """A clip whose packets are known, and the digest of its content."""

    video: OpenedVideo
    content: str

    @classmethod
    def of(cls, source: VideoSource, limits: MediaLimits) -> ClipRecord:
        """Read a clip through; errors as of `open_source`."""
        return cls(open_source(source, limits), source.digest())

    def packed(self) -> bytes:
        """All but where the clip is and the limits, which the reader knows."""
        video, buffer = self.video, BytesIO()
        timeline, points = video.timeline, video.points or EntryPoints(_NOTHING, _NOTHING)
        about = {
            "content": self.content,
            "info": asdict(video.info),
            "starts": timeline.starts,
            "second": timeline.second,
            "duration": timeline.duration,
            "are_all_keys": points.are_all_keys,
        }
        np.savez(
            buffer, about=np.frombuffer(json.dumps(about).encode(), np.uint8), times=timeline.times, stamps=points.stamps,
            entries=points.entries,
        )  # fmt: skip
        return buffer.getvalue()

    @classmethod
    def unpacked(cls, packed: bytes, source: VideoSource, limits: MediaLimits) -> ClipRecord:
        """What `packed` returned."""
        with np.load(BytesIO(packed), allow_pickle=False) as arrays:
            about = json.loads(arrays["about"].tobytes())
            starts = tuple((int(stamp), float(time)) for stamp, time in about["starts"])
            timeline = Timeline(arrays["times"], starts, about["second"], about["duration"])
            stamps, entries = arrays["stamps"], arrays["entries"]
        points = EntryPoints(stamps, entries, about["are_all_keys"]) if len(stamps) else None
        return cls(OpenedVideo(source, VideoInfo(**about["info"]), timeline, limits, points), about["content"])
