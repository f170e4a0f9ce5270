"""Tar shards through the command line: indexed, trained on, killed at random steps, broken, changed."""

import json
import os
import random
import signal
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from safetensors.torch import load_file

from tests.cosa.data.shards.made import sample, spec, write_shards, write_tar
from tests.end_to_end.commands import Done, copy_results, losses, none_left, run, run_until, sets
from tests.end_to_end.services import BUCKET, KEYS, bucket
from workflows.execution.progress import read_records
from workflows.results.layout import BROKEN_TABLE, CACHE_FOLDER, SHARD_PARTS, SHARDS_FOLDER

pytestmark = pytest.mark.slow

SHARDS, STEPS, KILLS = 300, 90, 5


def written(folder: Path, made: Any) -> str:
    path = folder / "spec.yaml"
    path.write_text(yaml.safe_dump(made))
    return str(path)


def index_and_train(path: str, storage: Path, other: Path, indexed: str) -> Done:
    """Index the shards of a spec in a storage, and run all of it in another one, which has the index, too."""
    done = run("run-experiment", path, *sets(f"storage={storage}"), "--until", "samples")
    assert done.code == 0, done.output
    assert indexed in done.output
    copy_results(storage, other, "shards", "samples")
    undisturbed = run("run-experiment", path, *sets(f"storage={other}"))
    assert undisturbed.code == 0, undisturbed.output
    return undisturbed


def result_of(storage: Path, stage: str) -> Path:
    (found,) = (path.parent for path in (storage / "shards" / stage).glob("*/manifest.json"))
    return found


def stored_parts(folder: Path) -> list[Path]:
    """What is stored of single shards, a file for each."""
    return list((folder / "storage" / CACHE_FOLDER / SHARD_PARTS).glob("[!.]*/about.json"))


def training_in(storage: Path) -> int:
    """Steps that are recorded of an unfinished training."""
    folder = next((storage / "shards" / "pretrain").glob("*.partial"), None)
    return max((record.step for record in read_records(folder) if record.kind == "train"), default=0) if folder else 0


def test_a_training_killed_five_times_has_the_same_losses_to_the_bit(tmp_path: Path) -> None:
    write_shards(tmp_path / "shards", SHARDS, [3 + shard % 4 for shard in range(SHARDS)])
    made: Any = spec(tmp_path, steps=STEPS, batch_size=24)
    made["datasets"]["web"]["splits"]["train"] = str(tmp_path / "shards" / "{00000..00299}.tar")
    made["stages"]["pretrain"] |= {"checkpoint_every": 4, "loader_workers": 1}
    path = written(tmp_path, made)
    storage, other = tmp_path / "storage", tmp_path / "undisturbed"
    undisturbed = index_and_train(path, storage, other, f"1350 samples in {SHARDS} shards")
    assert f"web/train: 24 streams over {SHARDS} shards" in undisturbed.output

    draw, killed = random.Random(16), 0
    for low in range(0, STEPS - 15, (STEPS - 15) // KILLS):
        moment = draw.randint(low + 5, low + 14)
        run_until(
            lambda at=moment: training_in(storage) >= at, signal.SIGKILL, "run-experiment", path, *sets(f"storage={storage}")
        )
        killed += 1
        assert none_left(storage) == []
    assert killed == KILLS
    resumed = run("run-experiment", path, *sets(f"storage={storage}"))
    assert resumed.code == 0, resumed.output
    expected, found = result_of(other, "pretrain"), result_of(storage, "pretrain")
    assert len(losses(expected)) == STEPS
    assert losses(found) == losses(expected)
    weights, same = (load_file(one / "checkpoint" / "model.safetensors") for one in (found, expected))
    assert weights.keys() == same.keys()
    assert all(bool((weights[name] == same[name]).all()) for name in weights)


def test_broken_samples_are_named_and_counted_against_a_ceiling(tmp_path: Path) -> None:
    write_shards(tmp_path / "shards", 8)
    write_tar(tmp_path / "shards" / "00003.tar", [*sample("good", 1), ("bad.jpg", b"no picture"), ("bad.txt", b"a man sings")])
    cut = tmp_path / "shards" / "00005.tar"
    cut.write_bytes(cut.read_bytes()[:12_000])
    path = written(tmp_path, spec(tmp_path))
    arguments = ("run-experiment", path, *sets(f"storage={tmp_path}/storage"), "--until", "samples")

    failed = run(*arguments)
    assert failed.code == 1
    for words in (
        "2 of 66 samples of dataset web cannot be used:", "00003.tar, sample bad (byte ", "its jpg is not a readable picture",
        "00005.tar, the shard itself (byte ", "it ends in the middle of a member",
        "or allow that with stages.samples.max_broken=",
    ):  # fmt: skip
        assert words in failed.output, failed.output
    assert "Traceback" not in failed.output
    parts = stored_parts(tmp_path)
    assert len(parts) == 8
    before = {part: part.stat().st_mtime_ns for part in parts}

    plan = run("plan", path, *sets(f"storage={tmp_path}/storage"))
    assert "interrupted: resumes with the shards that are left" in plan.output
    refused = run(*arguments, *sets("stages.samples.max_broken=0.01"))
    assert refused.code == 1
    assert {part: part.stat().st_mtime_ns for part in parts} == before

    allowed = run(*arguments, *sets("stages.samples.max_broken=0.1"))
    assert allowed.code == 0, allowed.output
    assert "unusable samples are left out of the dataset:" in allowed.output
    result = result_of(tmp_path / "storage", "samples")
    broken = pq.read_table(result / BROKEN_TABLE).to_pylist()
    assert {(one["shard"], one["key"]) for one in broken} >= {("00003.tar", "bad"), ("00005.tar", "")}
    shards = json.loads((result / SHARDS_FOLDER / "shards.json").read_text())["train"]
    assert [shard["samples"] for shard in shards][:5] == [10, 10, 10, 1, 10]
    assert run("plan", path, *sets(f"storage={tmp_path}/storage", "stages.samples.max_broken=5")).output.count("done") == 1


def test_a_killed_index_resumes_with_the_shards_that_are_left(tmp_path: Path) -> None:
    write_shards(tmp_path / "shards", 40, 60, side=200)
    made: Any = spec(tmp_path)
    made["datasets"]["web"]["splits"]["train"] = str(tmp_path / "shards" / "*.tar")
    path = written(tmp_path, made)
    arguments = ("run-experiment", path, *sets(f"storage={tmp_path}/storage"), "--until", "samples")

    run_until(lambda: len(stored_parts(tmp_path)) >= 3, signal.SIGKILL, *arguments)
    assert none_left(tmp_path / "storage") == []
    before = {part: part.stat().st_mtime_ns for part in stored_parts(tmp_path)}
    assert 3 <= len(before) < 40
    os.utime(tmp_path / "shards" / "00039.tar")  # It has another time, and the same content.
    resumed = run(*arguments)
    assert resumed.code == 0, resumed.output
    assert "2400 samples in 40 shards" in resumed.output
    after = {part: part.stat().st_mtime_ns for part in stored_parts(tmp_path)}
    assert len(after) == 40
    assert {part: after[part] for part in before} == before


def test_a_shard_that_is_added_is_the_only_one_that_is_read(tmp_path: Path) -> None:
    write_shards(tmp_path / "shards", 4)
    made: Any = spec(tmp_path)
    made["datasets"]["web"]["splits"] = {"train": str(tmp_path / "shards" / "*.tar")}
    path = written(tmp_path, made)
    arguments = ("run-experiment", path, *sets(f"storage={tmp_path}/storage"), "--until", "samples")
    assert run(*arguments).code == 0
    before = {part: part.stat().st_mtime_ns for part in stored_parts(tmp_path)}
    write_tar(tmp_path / "shards" / "00000a.tar", sample("more", 77))
    (tmp_path / "shards" / "00003.tar").rename(tmp_path / "shards" / "moved.tar")
    added = run(*arguments)
    assert added.code == 0, added.output
    assert "41 samples in 5 shards" in added.output
    after = {part: part.stat().st_mtime_ns for part in stored_parts(tmp_path)}
    assert len(after) == 5
    assert {part: after[part] for part in before} == before
    forced = run(*arguments, "--force", "samples")
    assert forced.code == 0, forced.output
    assert all(part.stat().st_mtime_ns > after[part] for part in stored_parts(tmp_path))


def test_shards_in_a_bucket_are_indexed_and_trained_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    write_shards(tmp_path / "shards", 8)
    local, remote, copies = spec(tmp_path), spec(tmp_path), tmp_path / "copies"
    with bucket(tmp_path / "s3.txt") as store:
        for shard in (tmp_path / "shards").iterdir():
            store.client.upload_file(str(shard), BUCKET, f"web/{shard.name}")
        made: Any = remote
        made["datasets"]["web"]["splits"]["train"] = {"shards": store.address("web/{00000..00007}.tar")}
        made["cluster"] |= {"shard_copies": str(copies), "shard_copies_gigabytes": 1}
        made["stages"]["pretrain"]["loader_workers"] = 1
        found = run("run-experiment", written(tmp_path, made), *sets(f"storage={tmp_path}/remote"))
        assert found.code == 0, found.output
        assert len(list(copies.glob("*.tar"))) == 8
        plan = run("plan", written(tmp_path, made), *sets(f"storage={tmp_path}/remote"))
        assert plan.output.count("done") == 2, plan.output
    done = run("run-experiment", written(tmp_path, local), *sets(f"storage={tmp_path}/local"))
    assert done.code == 0, done.output
    expected = losses(result_of(tmp_path / "local", "pretrain"))
    assert len(expected) == 12
    assert losses(result_of(tmp_path / "remote", "pretrain")) == expected


def refuse(folder: Path, made: Any, *words: str) -> Done:
    done = run("plan", "--check", written(folder, made))
    assert done.code != 0
    for word in words:
        assert word in done.output, done.output
    return done


def test_what_a_plan_says_of_shards(tmp_path: Path) -> None:
    write_shards(tmp_path / "shards", 8)
    made: Any = spec(tmp_path)
    made["datasets"]["web"]["splits"]["train"] = str(tmp_path / "shards" / "{00006..00009}.tar")
    refuse(tmp_path, made, "datasets.web.splits.train.shards: no shard (2 of 4 are missing)", "00008.tar")
    made["datasets"]["web"]["splits"]["train"] = str(tmp_path / "none" / "*.tar")
    refuse(tmp_path, made, "no shard fits")
