"""Small shards, written with Python's tarfile: what a webdataset writer makes of them, the tests of its own writer show."""

import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

Members = Sequence[tuple[str, bytes]]


def picture(number: int, side: int = 16, kind: str = "JPEG") -> bytes:
    """A picture that follows from a number."""
    rng = np.random.default_rng(number)
    coarse = rng.integers(0, 255, (4, 4, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(coarse).resize((side, side)).save(file, kind, **({"quality": 90} if kind == "JPEG" else {}))
    return file.getvalue()


def sample(key: str, number: int, caption: str | None = None, side: int = 16) -> list[tuple[str, bytes]]:
    """The members of a sample as img2dataset writes it: jpg, json, txt."""
    text = f"picture number {number}" if caption is None else caption
    record = {"caption": text, "url": f"http://example.org/{number}.jpg", "key": key, "status": "success", "width": side}
    return [(f"{key}.jpg", picture(number, side)), (f"{key}.json", json.dumps(record).encode()), (f"{key}.txt", text.encode())]


def clip_members(video: Path, caption: str | None = None) -> list[tuple[str, bytes]]:
    """The members of a sample as video2dataset writes it: the video, and txt."""
    text = f"clip {video.stem}" if caption is None else caption
    return [(video.name, video.read_bytes()), (f"{video.stem}.txt", text.encode())]


def write_tar(path: Path, members: Members, kind: int = tarfile.PAX_FORMAT) -> Path:
    """A tar file with these members."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=kind) as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def write_shards(folder: Path, shards: int, each: int | Sequence[int] = 10, side: int = 16) -> dict[str, str]:
    """Shards 00000.tar, 00001.tar, ... in img2dataset's layout; captions by identifier."""
    captions: dict[str, str] = {}
    number = 0
    for shard in range(shards):
        members: list[tuple[str, bytes]] = []
        for index in range(each if isinstance(each, int) else each[shard]):
            key = f"{shard:05d}{index:04d}"
            members += sample(key, number, side=side)
            captions[f"{shard:05d}.tar/{key}"] = f"picture number {number}"
            number += 1
        write_tar(folder / f"{shard:05d}.tar", members)
    return captions


def member_of(path: Path, name: str) -> tarfile.TarInfo:
    """A member of a tar file."""
    with tarfile.open(path) as archive:
        return archive.getmember(name)


def spec(folder: Path, **fields: object) -> Mapping[str, object]:
    """A spec that trains on shards in a folder for a second."""
    corpus = {"dataset": "web", "objectives": ["itc", "citc"], "steps": 12, "batch_size": 8, **fields}
    return {
        "name": "shards",
        "storage": str(folder / "storage"),
        "cluster": {"workers": 1, "cpus": 2},
        "model": {
            "vision": {
                "encoder": "swin_tiny_patch4_window7_224", "resolution": 32, "patch_size": 8, "window_size": 4,
                "embed_dim": 16, "depth": [1, 1], "num_heads": [2, 4], "drop_path_rate": 0.0,
            },
            "text": {
                "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64, "dropout": 0.0,
            },
            "contrastive_dim": 32,
        },
        "datasets": {"web": {"media": "image", "splits": {"train": str(folder / "shards" / "{00000..00007}.tar")}}},
        "stages": {
            "samples": {"kind": "index", "dataset": "web"},
            "pretrain": {"kind": "pretrain", "corpora": [corpus], "concatenate": 2, "log_every": 1},
        },
    }  # fmt: skip
