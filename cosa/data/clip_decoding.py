"""What is asked of the process that decodes: the packets of a clip, and contents of its frames."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from io import BytesIO

import numpy as np

from cosa.data.clip_record import ClipRecord
from cosa.data.decoders import decoder_of
from cosa.data.decoding_settings import DecodingSettings
from cosa.data.frame_encoding import decode_frame, encode_frame, resized
from cosa.data.frame_times import FrameTimes
from cosa.data.media_limits import MediaLimits
from cosa.data.video_sources import VideoSource
from cosa.data.videos import OpenedVideo


def packed_record(source: VideoSource, limits: MediaLimits) -> Iterator[bytes]:
    """Yield the packed record of a clip; errors as of `open_source`."""
    yield ClipRecord.of(source, limits).packed()


def frame_contents(video: OpenedVideo, times: FrameTimes, places: Sequence[int], settings: DecodingSettings) -> Iterator[bytes]:
    """Yield the content of each frame: that of the file that extraction would write, or the picture itself (`exact`).

    Raises:
        DataError: the clip is damaged, or the decoder that the settings name does not read it.
        UserError: that decoder is not installed.
    """
    for picture in decoder_of(video, settings.decoder).function()(video, times, places):
        if settings.exact:
            buffer = BytesIO()
            np.save(buffer, np.asarray(resized(picture, settings.short_side)))
            yield buffer.getvalue()
        else:
            yield encode_frame(picture, settings)[0]


def picture_of(content: bytes, settings: DecodingSettings) -> np.ndarray:
    """The picture (height, width, 3), uint8 RGB, whose content `frame_contents` gave."""
    return np.load(BytesIO(content), allow_pickle=False) if settings.exact else decode_frame(content)
