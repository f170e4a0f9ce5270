"""Does the work of an index stage in Ray tasks, a shard each. What a task has written is not done again."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from cosa.data.shards.cache import ShardCache
from cosa.data.shards.clip_trial import ClipTrial
from cosa.data.shards.index import IndexedShard, index_file, write_rows, write_shards
from cosa.data.shards.paths import short_names
from cosa.data.shards.scan import Broken, ScannedShard, Scanning, scan_shard
from cosa.errors import DataError
from cosa.message_text import shown
from workflows.execution.context import StageContext
from workflows.execution.fit import user_error_in
from workflows.records.outcome import StageOutcome
from workflows.results.atomic import flush, write_atomically
from workflows.results.layout import BROKEN_TABLE, SHARDS_FOLDER
from workflows.spec.sections import DatasetSection

LISTED = 10  # broken samples that are named
PARTS = "parts"  # folder of what is known of each shard while others are still read
Context = StageContext[Any]  # of `workflows.stages.index.IndexSection`, which stands above
Key = tuple[str, int]  # a split, and the number of a shard in it


@dataclass(frozen=True)
class _Part:
    """What a task leaves of a shard: its rows, and beside them what else is known, which is written last."""

    rows: Path
    record: Path

    @classmethod
    def of(cls, folder: Path, split: str, number: int) -> _Part:
        return cls(folder / split / f"{number}.arrow", folder / split / f"{number}.json")

    def write(self, scanned: ScannedShard) -> None:
        self.rows.parent.mkdir(parents=True, exist_ok=True)
        write_rows(self.rows, [scanned.samples], scanned.samples.schema)
        flush(self.rows)
        broken = [asdict(one) for one in scanned.broken]
        write_atomically(self.record, json.dumps({"size": scanned.size, "version": scanned.version, "broken": broken}))

    def read(self) -> ScannedShard:
        record = json.loads(self.record.read_text(encoding="utf-8"))
        with pa.OSFile(str(self.rows)) as file:
            rows = pa.ipc.open_file(file).get_batch(0)
        return ScannedShard(record["size"], rows, [Broken(**one) for one in record["broken"]], record["version"])


def index(context: Context) -> StageOutcome:
    """Index all shards of the dataset.

    Raises:
        DataError: more samples are broken than `max_broken` allows, none is usable, or a shard ends its process.
    """
    dataset = context.plan.experiment.section.datasets[context.section.dataset]
    paths = context.shards_of(context.section.dataset)
    parts = context.folder / SHARDS_FOLDER / PARTS
    scanning = _scanning(context.section, dataset)
    keys = [(split, number) for split in paths for number in range(len(paths[split]))]
    left = [key for key in keys if not _Part.of(parts, *key).record.is_file()]
    if left:
        _scan_all(context, {key: paths[key[0]][key[1]] for key in left}, scanning, parts, len(keys))
    return _gathered(context, paths, parts, scanning)


def _scanning(section: Any, dataset: DatasetSection) -> Scanning:
    """Return how samples are read."""
    decode, clips = dataset.decode, None
    if decode is not None:
        clips = ClipTrial(dataset.max_pixels, decode.max_seconds, section.seconds_per_clip)
    return Scanning(dataset.media, section.caption, dataset.max_pixels, clips)


def _scan_all(context: Context, paths: dict[Key, str], scanning: Scanning, parts: Path, count: int) -> None:
    """Scan shards in Ray tasks. count: of all shards, with those that are done."""
    context.line.update("starting Ray")
    context.cluster.start()
    import ray

    remote = ray.remote(num_cpus=1, max_retries=2)(scan_part).options(name=f"index {context.step.name}")
    waiting, pending, done = list(paths), dict[Any, Key](), count - len(paths)
    cache = ShardCache(*context.shard_copies)
    at_once = 2 * max(1, int(ray.cluster_resources().get("CPU", 1)))
    while waiting or pending:
        while waiting and len(pending) < at_once:
            key = waiting.pop(0)
            pending[remote.remote(paths[key], scanning, cache, parts, *key)] = key
        finished, _ = ray.wait(list(pending), num_returns=1, timeout=0.5)
        for reference in finished:
            key = pending.pop(reference)
            try:
                ray.get(reference)
            except ray.exceptions.RayTaskError as error:
                raise user_error_in(error) from None
            except (ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError) as error:
                raise DataError(
                    f"{shown(paths[key])}: the process that reads it crashed or was killed, three times; see with dmesg "
                    "whether memory ran out, or take the shard out of the dataset. Other shards stay indexed."
                ) from error
            done += 1
        context.line.update("shards", done, count)


def scan_part(path: str, scanning: Scanning, cache: ShardCache, parts: Path, split: str, number: int) -> None:
    """Scan a shard in a Ray worker, and write what was found."""
    _Part.of(parts, split, number).write(scan_shard(path, scanning, cache))


def _gathered(context: Context, paths: dict[str, list[str]], parts: Path, scanning: Scanning) -> StageOutcome:
    """Put the parts together to the index."""
    context.line.update("putting the index together")
    folder = context.folder / SHARDS_FOLDER
    names = iter(short_names([path for split in paths.values() for path in split]))
    shards: dict[str, list[IndexedShard]] = {split: [] for split in paths}
    broken: list[dict[str, Any]] = []

    def rows(split: str) -> Iterator[pa.RecordBatch]:
        for number in range(len(paths[split])):
            part, name = _Part.of(parts, split, number).read(), next(names)
            shards[split].append(IndexedShard(name, part.size, part.samples.num_rows, len(part.broken), part.version))
            broken.extend({"split": split, "shard": name, **asdict(one)} for one in part.broken)
            yield part.samples

    for split in paths:
        write_rows(index_file(folder, split), rows(split), scanning.schema)
    write_shards(folder, shards)
    schema = pa.schema([(name, pa.string()) for name in ("split", "shard", "key")])
    schema = schema.append(pa.field("offset", pa.int64())).append(pa.field("problem", pa.string()))
    pq.write_table(pa.Table.from_pylist(broken, schema), context.folder / BROKEN_TABLE)
    found = [shard for split in shards.values() for shard in split]
    _check(context, broken, sum(shard.samples for shard in found))
    shutil.rmtree(parts, ignore_errors=True)
    return _outcome(context, found, len(broken))


def _check(context: Context, broken: list[dict[str, Any]], usable: int) -> None:
    """Raise DataError if too many samples are broken; name them otherwise."""
    if not broken and usable:
        return
    total, most = usable + len(broken), context.section.max_broken
    allowed = most if isinstance(most, int) else int(most * total)
    field = f"stages.{context.step.name}.max_broken"
    if not usable or len(broken) > allowed:
        raise DataError(
            f"{len(broken)} of {total} samples of dataset {context.section.dataset} cannot be used:\n{_listed(broken)}\n"
            + (
                f"  Repair them, or allow that with {field}={len(broken)} (or a share of all): they are then left out. "
                "What was read is not read again."
                if usable
                else "  None is left to train on."
            )
        )
    which = f"{len(broken)} unusable samples are" if len(broken) > 1 else "an unusable sample is"
    context.run.tracker.reporter.warn(f"{which} left out of the dataset:\n{_listed(broken)}")


def _listed(broken: list[dict[str, Any]]) -> str:
    """Count what is wrong, and name the first samples, a line each."""
    kinds = Counter(one["problem"] for one in broken).most_common(LISTED)
    lines = [f"    {count} times: {shown(problem)}" for problem, count in kinds if count > 1]
    for one in broken[:LISTED]:
        what = f"sample {shown(one['key'])}" if one["key"] else "the shard itself"
        lines.append(f"    {shown(one['shard'])}, {what} (byte {one['offset']}): {shown(one['problem'])}")
    more = [f"    and {len(broken) - LISTED} more, which {BROKEN_TABLE} names"] if len(broken) > LISTED else []
    return "\n".join([*lines, *more])


def _outcome(context: Context, shards: list[IndexedShard], broken: int) -> StageOutcome:
    counts = {
        "samples": sum(shard.samples for shard in shards),
        "shards": len(shards),
        "broken": broken,
        "megabytes": sum(shard.size for shard in shards) / 1e6,
    }
    left_out = f", {broken} unusable left out" if broken else ""
    return StageOutcome(
        f"{counts['samples']} samples in {len(shards)} shards, {counts['megabytes']:.1f} MB{left_out}",
        metrics={name: float(value) for name, value in counts.items()},
        artifacts=[context.folder / BROKEN_TABLE] if broken else [],
        outputs={"shards": SHARDS_FOLDER, "broken": BROKEN_TABLE},
        details={"counts": counts},
    )
