"""Makes a package that stands for decord and hangs or crashes at a clip, or hides one: the first that a process finds."""

from pathlib import Path

_PACKAGE = """\
import os, time
import av, numpy

class DECORDError(Exception):
    pass

class logging:
    QUIET = 0
    set_level = staticmethod(int)

class VideoReader(list):
    def __init__(self, path, num_threads):
        if os.path.basename(path).startswith({clip!r}):
            {what}
        with av.open(path) as container:
            super().__init__(frame.to_ndarray(format="rgb24") for frame in container.decode(video=0))

    def get_batch(self, numbers):
        return Batch([self[number] for number in numbers])

class Batch(list):
    def asnumpy(self):
        return numpy.stack(self)
"""
HANGS, CRASHES = "time.sleep(1000)", "os.abort()"


def broken_decord(folder: Path, clip: str, what: str) -> Path:
    """clip: with what its file's name begins. what: HANGS or CRASHES. Returns the folder that has to be found first."""
    folder.mkdir()
    (folder / "decord.py").write_text(_PACKAGE.format(clip=clip, what=what))
    return folder


def without(folder: Path, package: str) -> Path:
    """A folder with which Python finds no such package."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(f"import sys\nsys.modules[{package!r}] = None\n")
    return folder
