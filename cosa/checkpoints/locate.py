"""Where the weights of a checkpoint are: our own folder, a published file, or a published folder. Knows no torch, for plans."""

import re
from dataclasses import dataclass
from pathlib import Path

import xxhash

from cosa.checksums import digest_of

NATIVE_WEIGHTS, NATIVE_CONFIG, NATIVE_VOCABULARY = "model.safetensors", "config.json", "vocab.txt"
PUBLISHED_SUFFIXES = (".pt", ".pth", ".bin", ".safetensors")
_STEP = re.compile(r"^model_step_(\d+)\.pt$")
EXPECTED = (
    f"a folder with {NATIVE_WEIGHTS}, a published folder (log/hps.json and ckpt/model_step_<n>.pt), or a published file "
    f"({', '.join(PUBLISHED_SUFFIXES)})"
)


@dataclass(frozen=True)
class PublishedFiles:
    """A checkpoint of the published code. options: its hps.json, if there is one."""

    weights: Path
    options: Path | None = None

    @property
    def parts(self) -> tuple[Path, ...]:
        """All files that decide which model it is."""
        return (self.weights,) if self.options is None else (self.weights, self.options)


@dataclass(frozen=True)
class NativeFolder:
    """A checkpoint of ours."""

    folder: Path

    @property
    def weights(self) -> Path:
        """The file of weights."""
        return self.folder / NATIVE_WEIGHTS

    @property
    def parts(self) -> tuple[Path, ...]:
        """All files that decide which model it is."""
        others = (self.folder / name for name in (NATIVE_CONFIG, NATIVE_VOCABULARY))
        return (self.weights, *(path for path in others if path.is_file()))


def digest_of_weights(checkpoint: Path) -> str:
    """A digest of everything that decides which model a checkpoint holds. 1 GB takes half a second."""
    found = locate(checkpoint)
    assert found is not None, checkpoint
    return xxhash.xxh3_128_hexdigest("-".join(map(digest_of, found.parts)).encode())


def locate(path: Path) -> NativeFolder | PublishedFiles | None:
    """What kind of checkpoint lies at a path; None if there is none.

    A published folder may hold several steps: the last one counts.
    """
    if path.is_file():
        return PublishedFiles(path, _options_of(path)) if path.suffix in PUBLISHED_SUFFIXES else None
    if (path / NATIVE_WEIGHTS).is_file():
        return NativeFolder(path)
    steps = {int(match[1]): file for file in (path / "ckpt").glob("model_step_*.pt") if (match := _STEP.match(file.name))}
    if not steps:
        return None
    options = path / "log" / "hps.json"
    return PublishedFiles(steps[max(steps)], options if options.is_file() else None)


def _options_of(file: Path) -> Path | None:
    """The hps.json that belongs to a file: beside it, or in the log folder of its published folder."""
    for candidate in (file.with_name("hps.json"), file.parent.parent / "log" / "hps.json"):
        if candidate.is_file():
            return candidate
    return None
