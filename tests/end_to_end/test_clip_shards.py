"""Videos in tar shards through the command line: indexed, broken, trained on as from files, killed."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest
import yaml
from safetensors.torch import load_file

from tests.cosa.data.drawn_videos import make_video
from tests.cosa.data.shards.made import clip_members, spec, write_tar
from tests.end_to_end.commands import losses, none_left, run, run_until, sets
from tests.end_to_end.test_shards import index_and_train, result_of, training_in, written

pytestmark = pytest.mark.slow

SHARDS, EACH, STEPS = 4, 4, 40


def clip_spec(folder: Path, **corpus: Any) -> Any:
    """Shards of clips, the same clips as files, and a spec that trains on both."""
    clips, entries = folder / "clips", list[dict[str, str]]()
    clips.mkdir()
    for shard in range(SHARDS):
        members = list[tuple[str, bytes]]()
        for number in range(EACH):
            name = f"{shard}-{number}"
            make_video(clips / f"{name}.mp4", frames=20 + 3 * number + shard, size=(48, 32), noise=True)
            members += clip_members(clips / f"{name}.mp4")
            entries.append({"video_id": name, "desc": f"clip {name}"})
        write_tar(folder / "shards" / f"{shard:05d}.tar", members)
    (folder / "captions.json").write_text(json.dumps(entries))
    made: Any = spec(folder, **{"steps": STEPS, "batch_size": 6, **corpus})
    decode = {"fps": 4, "cache": str(folder / "cache")}
    made["datasets"] = {
        "web": {"media": "video", "decode": decode, "splits": {"train": str(folder / "shards" / "{00000..00003}.tar")}},
        "files": {"media": "video", "decode": decode, "root": str(clips), "splits": {"train": str(folder / "captions.json")}},
    }
    made["stages"]["pretrain"] |= {"train_frames": 2, "checkpoint_every": 4, "loader_workers": 1}
    return made


def test_a_killed_training_on_clips_in_shards_has_the_same_losses_to_the_bit(tmp_path: Path) -> None:
    path = written(tmp_path, clip_spec(tmp_path))
    storage, other = tmp_path / "storage", tmp_path / "undisturbed"
    index_and_train(path, storage, other, f"{SHARDS * EACH} samples in {SHARDS} shards")
    for moment in (7, 22):
        run_until(
            lambda at=moment: training_in(storage) >= at, signal.SIGKILL, "run-experiment", path, *sets(f"storage={storage}")
        )
        assert none_left(storage) == []
    resumed = run("run-experiment", path, *sets(f"storage={storage}", "datasets.web.decode.cache_gigabytes=0"))
    assert resumed.code == 0, resumed.output
    expected, found = result_of(other, "pretrain"), result_of(storage, "pretrain")
    assert len(losses(expected)) == STEPS
    assert losses(found) == losses(expected)
    weights, same = (load_file(one / "checkpoint" / "model.safetensors") for one in (found, expected))
    assert all(bool((weights[name] == same[name]).all()) for name in weights)


def test_clips_in_shards_train_as_the_same_clips_in_files(tmp_path: Path) -> None:
    made = clip_spec(tmp_path, steps=10, shuffle="full")
    in_shards = run("run-experiment", written(tmp_path, made), *sets(f"storage={tmp_path}/of-shards"))
    assert in_shards.code == 0, in_shards.output
    made["stages"]["pretrain"]["corpora"][0]["dataset"] = "files"
    del made["stages"]["samples"], made["datasets"]["web"]
    in_files = run("run-experiment", written(tmp_path, made), *sets(f"storage={tmp_path}/of-files"))
    assert in_files.code == 0, in_files.output
    expected = losses(result_of(tmp_path / "of-files", "pretrain"))
    assert len(expected) == 10
    assert losses(result_of(tmp_path / "of-shards", "pretrain")) == expected


def metrics(storage: Path, stage: str) -> dict[str, float]:
    """What was measured of the model, and not of the machine."""
    found: dict[str, float] = json.loads((result_of(storage, stage) / "manifest.json").read_text())["metrics"]
    return {name: value for name, value in found.items() if name not in ("data_wait_share", "samples_per_second")}


def test_shards_are_validated_and_evaluated_on_like_files(tmp_path: Path) -> None:
    made = clip_spec(tmp_path, steps=4, shuffle="full")
    shards = str(tmp_path / "shards" / "0000{2,3}.tar")
    made["datasets"]["web"]["splits"] |= {"val": shards, "few": {"shards": shards, "limit": 3}}
    entries = json.loads((tmp_path / "captions.json").read_text())
    (tmp_path / "val.json").write_text(json.dumps(entries[2 * EACH :]))
    made["datasets"]["files"]["splits"] |= {"val": str(tmp_path / "val.json")}
    tasks = {
        "kind": "evaluate",
        "checkpoint": "pretrain",
        "dataset": "web",
        "tasks": ["retrieval", "captioning"],
        "eval_frames": 2,
    }
    finetune = {
        "kind": "finetune", "task": "retrieval", "dataset": "web", "init_from": "pretrain", "epochs": 2, "batch_size": 4,
        "train_frames": 2, "eval_frames": 2, "shuffle": "full", "validation_split": "val", "evaluations_per_run": 2,
    }  # fmt: skip
    made["stages"] |= {"tuned": finetune, "test": {**tasks, "split": "val"}, "few": {**tasks, "split": "few"}}
    in_shards = run("run-experiment", written(tmp_path, made), *sets(f"storage={tmp_path}/of-shards"))
    assert in_shards.code == 0, in_shards.output
    assert "3 clips of 8 (limit 3)" in in_shards.output
    del made["stages"]["samples"], made["stages"]["few"], made["datasets"]["web"]
    made["stages"]["pretrain"]["corpora"][0]["dataset"] = "files"
    for stage in ("tuned", "test"):
        made["stages"][stage]["dataset"] = "files"
    in_files = run("run-experiment", written(tmp_path, made), *sets(f"storage={tmp_path}/of-files"))
    assert in_files.code == 0, in_files.output
    for stage in ("tuned", "test"):
        expected = metrics(tmp_path / "of-files", stage)
        assert len(expected) > 5
        assert metrics(tmp_path / "of-shards", stage) == expected


def test_broken_clips_are_named_against_the_ceiling(tmp_path: Path) -> None:
    made = clip_spec(tmp_path)
    good = (tmp_path / "clips" / "0-0.mp4").read_bytes()
    broken = [("cut.mp4", good[: len(good) // 2]), ("cut.txt", b"a man sings"), ("none.txt", b"a man sings")]
    write_tar(tmp_path / "shards" / "00002.tar", [*broken, *clip_members(tmp_path / "clips" / "2-0.mp4")])
    path = written(tmp_path, made)
    arguments = ("run-experiment", path, *sets(f"storage={tmp_path}/storage"), "--until", "samples")
    failed = run(*arguments)
    assert failed.code == 1
    for words in (
        "2 of 15 samples of dataset web cannot be used:",
        "00002.tar, sample cut (byte 0): its mp4 is not a video, or incomplete",
        "00002.tar, sample none (byte ", "it has no video; members: txt", "stages.samples.max_broken=2",
        "What was read is not read again, unless with --force samples",
    ):  # fmt: skip
        assert words in failed.output, failed.output
    allowed = run(*arguments, *sets("stages.samples.max_broken=2"))
    assert allowed.code == 0, allowed.output
    assert "13 samples in 4 shards" in allowed.output
    del made["datasets"]["web"]["decode"]
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(made))
    as_frames = run(*arguments)
    assert as_frames.code == 1
    assert "is a video: say media: video and decode: online of the dataset" in as_frames.output
