"""Files in which captions are handed in to the servers of benchmarks. To add one: a function, and a line in the table."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from cosa.errors import UserError

ALGORITHM = "cosa"  # how COCO's file name calls the method
COCO_ID = re.compile(r"(?:.*\D)?0*(\d+)")  # 42, or COCO_test2014_000000000042
VATEX_ID = re.compile(r"[\w-]{11}_\d{6}_\d{6}")  # a video of YouTube, with the seconds where the clip begins and ends


@dataclass(frozen=True)
class CaptionServer:
    """What a server wants. file: its name. content: makes what the file says of captions by clip."""

    file: str
    content: Callable[[Mapping[str, str]], Any]

    def text(self, captions: Mapping[str, str]) -> str:
        """What the file holds, as JSON.

        Raises:
            UserError: an id is none of the benchmark's.
        """
        return json.dumps(self.content(captions), ensure_ascii=False) + "\n"


def coco_results(captions: Mapping[str, str]) -> list[dict[str, Any]]:
    """[{"image_id": number, "caption": text}]."""
    rows, names = [], dict[int, str]()
    for name, caption in captions.items():
        match = COCO_ID.fullmatch(name)
        if match is None:
            raise UserError(f"image {name!r} has no number, by which COCO's server knows it; expected an id such as 42")
        number = int(match[1])
        if number in names:
            raise UserError(
                f"images {names[number]!r} and {name!r} have the same number {number}; COCO's server wants each once"
            )
        names[number] = name
        rows.append({"image_id": number, "caption": caption})
    return rows


def vatex_results(captions: Mapping[str, str]) -> dict[str, str]:
    """{clip: text}."""
    wrong = next((name for name in captions if VATEX_ID.fullmatch(name) is None), None)
    if wrong is not None:
        raise UserError(f"clip {wrong!r} is none of VATEX; expected an id such as Ptf_2VRj-V0_000122_000132")
    return dict(captions)


CAPTION_SERVERS = {
    "coco_val2014": CaptionServer(f"captions_val2014_{ALGORITHM}_results.json", coco_results),
    "coco_test2014": CaptionServer(f"captions_test2014_{ALGORITHM}_results.json", coco_results),
    "vatex": CaptionServer("vatex_submission.json", vatex_results),
}
