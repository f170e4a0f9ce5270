"""Makes odd media files, and the table of what has to become of them.

python -m tests.cosa.data.odd_media FOLDER      make them all
python -m tests.cosa.data.odd_media             print the table of docs/media.md
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from tests.cosa.data.odd_files import Odd
from tests.cosa.data.odd_pictures import PICTURES
from tests.cosa.data.odd_videos import VIDEOS


def table(media: Sequence[Odd]) -> str:
    """The outcomes in Markdown."""
    rows = [f"| `{odd.name}` | {odd.what} | {'refused' if odd.is_refused else 'right'} |" for odd in media]
    return "\n".join(["| file | what it is | outcome |", "|---|---|---|", *rows])


def make_all(folder: Path) -> None:
    """Make every file below a folder."""
    for odd in (*VIDEOS, *PICTURES):
        (folder / odd.name).mkdir(parents=True)
        odd.make(folder / odd.name / odd.name)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        make_all(Path(sys.argv[1]))
    else:
        print(f"{table(VIDEOS)}\n\n{table(PICTURES)}")
