"""Walks through the structure of a container, which a demuxer repairs in silence: it skips what it does not understand.

Every walk follows the lengths that the file gives from part to part. Damage to a header, bytes that were lost or added, and
a second file appended to the first end it early. Damage inside the data of a picture is the decoder's to report. MPEG program
and transport streams need no walk: timestamps and counters of their packets show what is missing.
"""

from typing import BinaryIO

from cosa.data.containers.asf import walk_asf
from cosa.data.containers.avi import walk_avi
from cosa.data.containers.flv import walk_flv
from cosa.data.containers.gif import walk_gif
from cosa.data.containers.matroska import walk_matroska
from cosa.data.containers.mov import walk_mov
from cosa.data.containers.realmedia import walk_realmedia
from cosa.data.containers.walk import BrokenError, Walk

_WALKS: dict[str, Walk] = {
    "mov": walk_mov,
    "flv": walk_flv,
    "avi": walk_avi,
    "asf": walk_asf,
    "matroska": walk_matroska,
    "rm": walk_realmedia,
    "gif": walk_gif,
}


def structure_problem(container: str, file: BinaryIO, stream: int) -> str | None:
    """What is wrong with the structure of a file, in words that follow its name; None if nothing is, or nobody knows.

    Args:
        container: The demuxer's name.
        file: The file, opened at any position.
        stream: The number by which the file knows the stream of pictures.
    """
    walk = _WALKS.get(container)
    try:
        return None if walk is None else walk(file, stream)
    except BrokenError as error:
        return str(error)
