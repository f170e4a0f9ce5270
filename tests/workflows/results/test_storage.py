"""Results are what was made: whatever changes in them is noticed, by a glance or by reading them through."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cosa.data.stored_frames import StoredFrames
from workflows.commands.listing import listed_results
from workflows.results.contents import CONTENTS
from workflows.results.layout import MANIFEST, RAY_FOLDER
from workflows.results.manifest import Manifest, read_manifest
from workflows.results.storage import Storage

WEIGHTS = Path("checkpoint", "model.safetensors")


def made(storage: Storage, stage: str, fingerprint: str, content: bytes = b"weights") -> Path:
    """A published result with a checkpoint, and what Ray left of its training."""
    partial = storage.partial(stage, fingerprint)
    for path, text in ((WEIGHTS, content), (Path("curves.png"), b"a picture"), (Path(RAY_FOLDER, "state"), b"removed later")):
        (partial / path).parent.mkdir(parents=True, exist_ok=True)
        (partial / path).write_bytes(text)
    manifest = Manifest(
        "demo",
        stage,
        "finetune",
        1,
        fingerprint,
        section={"sizes": {1: 0.1}},
        seed=5,
        metrics={"r1": 1 / 3, "loss": float("nan")},
    )
    return storage.publish(stage, fingerprint, manifest)


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(tmp_path / "storage", "demo")


def glance(storage: Storage) -> str | None:
    return storage.damage_of("tune", storage.result("tune", "abc"))


def read(storage: Storage) -> str | None:
    return storage.damage_of("tune", storage.result("tune", "abc"), read_all=True)


def test_a_sound_result_stays_sound_when_the_training_is_removed(storage: Storage) -> None:
    assert (glance(storage), read(storage)) == (None, None), "there is none"
    folder = made(storage, "tune", "abc")
    assert (glance(storage), read(storage)) == (None, None)
    shutil.rmtree(folder / RAY_FOLDER)
    assert (glance(storage), read(storage)) == (None, None)
    assert not storage.partial("tune", "abc").exists()


def test_frames_are_not_listed_but_missed(storage: Storage) -> None:
    """Each has a digest beside it, because they are read one by one."""
    partial = storage.partial("tune", "abc")
    (partial / "frames" / "a").mkdir(parents=True)
    frames = StoredFrames.of(storage.root / ".frames", "fps4", {"a": "aa11", "b": "bb22"})
    for video_id in frames.clips:
        frames.entry(video_id).mkdir(parents=True)
    frames.write(partial / "clips.arrow")
    folder = made(storage, "tune", "abc")
    shutil.rmtree(folder / "frames")  # They are only links.
    assert glance(storage) is None
    shutil.rmtree(frames.entry("b"))
    assert (glance(storage), read(storage)) == ("the frames of 1 of 2 clips are gone",) * 2
    (folder / "clips.arrow").write_text("x")
    assert "clips.arrow is damaged; make the frames again" in str(glance(storage))


def flip(folder: Path) -> None:
    """Flip one bit, and hide it from whoever looks at times and sizes."""
    status, content = (folder / WEIGHTS).stat(), bytearray((folder / WEIGHTS).read_bytes())
    content[3] ^= 1
    (folder / WEIGHTS).write_bytes(content)
    os.utime(folder / WEIGHTS, ns=(status.st_atime_ns, status.st_mtime_ns))


def truncate(folder: Path) -> None:
    (folder / WEIGHTS).write_bytes(b"wei")


def remove(folder: Path) -> None:
    shutil.rmtree(folder / "checkpoint")


def replace_by_a_folder(folder: Path) -> None:
    (folder / "curves.png").unlink()
    (folder / "curves.png").mkdir()


def edit_list(folder: Path) -> None:
    listed = json.loads((folder / CONTENTS).read_text())
    listed[str(WEIGHTS)][1] = "0" * 32
    (folder / CONTENTS).write_text(json.dumps(listed))


def edit_metric(folder: Path) -> None:
    text = (folder / MANIFEST).read_text()
    (folder / MANIFEST).write_text(text.replace('"r1": 0.333', '"r1": 99.333'))


def empty_manifest(folder: Path) -> None:
    (folder / MANIFEST).write_bytes(b"")


def manifest_is_a_folder(folder: Path) -> None:
    (folder / MANIFEST).unlink()
    (folder / MANIFEST).mkdir()


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (truncate, "checkpoint/model.safetensors has 3 bytes, not 7"),
        (remove, "checkpoint/model.safetensors is gone"),
        (replace_by_a_folder, "curves.png is no file"),
        (edit_list, "contents.json does not belong to its manifest"),
        (lambda folder: (folder / CONTENTS).unlink(), "contents.json is gone"),
        (edit_metric, "manifest.json is not as it was written"),
        (empty_manifest, "manifest.json is damaged"),
        (manifest_is_a_folder, "manifest.json cannot be read (it is a folder, not a file)"),
    ],
)
def test_a_glance_finds_what_is_gone_or_of_another_size(storage: Storage, harm: Callable[[Path], None], message: str) -> None:
    harm(made(storage, "tune", "abc"))
    for found in (glance(storage), read(storage)):
        assert found is not None
        assert message in found


def test_reading_finds_one_flipped_bit(storage: Storage) -> None:
    flip(made(storage, "tune", "abc"))
    assert glance(storage) is None
    assert read(storage) == "the content of checkpoint/model.safetensors is not what was written"


def test_reading_finds_weights_of_another_stage(storage: Storage) -> None:
    folder, other = made(storage, "tune", "abc"), made(storage, "other", "def", b"WEIGHTS")
    shutil.copy2(other / WEIGHTS, folder / WEIGHTS)
    assert read(storage) == "the content of checkpoint/model.safetensors is not what was written"


def test_a_result_of_another_stage_is_no_result_of_this_one(storage: Storage) -> None:
    other = made(storage, "other", "def")
    shutil.copytree(other, storage.result("tune", "abc"))
    found = glance(storage)
    assert found is not None
    assert found.endswith("manifest.json belongs to another result, other def")
    shutil.copytree(other, storage.result("tune", "def"))
    assert storage.damage_of("tune", storage.result("tune", "def")) == "manifest.json is that of stage other"


def test_results_from_before_lists_were_made_are_found(storage: Storage) -> None:
    folder = made(storage, "tune", "abc")
    content = json.loads((folder / MANIFEST).read_text())
    for new in ("contents", "digest"):
        del content[new]
    (folder / MANIFEST).write_text(json.dumps(content))
    (folder / CONTENTS).unlink()
    manifest = read_manifest(folder)
    assert manifest is not None
    assert manifest.contents == ""
    assert (glance(storage), read(storage)) == (None, None)


def test_a_damaged_older_result_is_passed_by(storage: Storage) -> None:
    older, newer = made(storage, "tune", "abc"), made(storage, "tune", "def")
    os.utime(older / MANIFEST, (1, 1))
    (newer / MANIFEST).write_text("{")
    assert [found.fingerprint for found in storage.manifests("tune")] == ["abc"]
    (older / MANIFEST).write_text("")
    assert list(storage.manifests("tune")) == []


KILLED_IN_EXCHANGE = """
import os, signal, sys
from pathlib import Path
from tests.workflows.results.test_storage import made
from workflows.results import storage
rename, calls = storage.rename_durably, []

def rename_until_killed(source, target):
    if len(calls) == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
    calls.append(target)
    rename(source, target)

storage.rename_durably = rename_until_killed
made(storage.Storage(Path(sys.argv[1]), "demo"), "tune", "abc", b"NEW")
"""


@pytest.mark.parametrize("renames", [0, 1])
def test_a_run_that_is_killed_while_it_exchanges_results_leaves_the_earlier_one(storage: Storage, renames: int) -> None:
    made(storage, "tune", "abc")
    command = [sys.executable, "-c", KILLED_IN_EXCHANGE, str(storage.root), str(renames)]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert storage.is_in_place("tune", "abc") == (renames == 0)
    found = storage.existing("tune", "abc", "finetune")
    assert found == storage.own("tune", "abc")
    assert (found / WEIGHTS).read_bytes() == b"weights"
    assert [one.folder for one in listed_results(storage.root)] == [str(found)]
    storage.put_back("tune", "abc")
    assert storage.existing("tune", "abc", "finetune") == storage.result("tune", "abc")
    assert read(storage) is None
    shutil.rmtree(storage.partial("tune", "abc"))
    made(storage, "tune", "abc", b"NEW")
    assert (storage.result("tune", "abc") / WEIGHTS).read_bytes() == b"NEW"
    assert [path.name for path in (storage.folder / "tune").iterdir()] == ["abc"]
