"""Does the work of an index stage in Ray tasks, a shard each. What a task has stored is not done again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from cosa.checksums import digest_of
from cosa.data.shards.cache import ShardCache
from cosa.data.shards.clip_trial import ClipTrial
from cosa.data.shards.index import IndexedShard, index_file, write_rows, write_shards
from cosa.data.shards.paths import is_remote, short_names
from cosa.data.shards.scan import Scanning, scan_shard
from cosa.errors import DataError
from cosa.message_text import shown
from workflows.execution.context import StageContext
from workflows.execution.fit import user_error_in
from workflows.execution.shard_parts import ShardParts
from workflows.planning.plan import digests_in
from workflows.records.outcome import StageOutcome
from workflows.results.layout import BROKEN_TABLE, CACHE_FOLDER, SHARD_PARTS, SHARDS_FOLDER
from workflows.spec.sections import DatasetSection
from workflows.spec.shard_reads import contents_of

LISTED = 10  # broken samples that are named
Context = StageContext[Any]  # of `workflows.stages.index.IndexSection`, which stands above


class _Shard(NamedTuple):
    """A shard. content: its digest, or the state of one in a bucket. part: name of what is known of it."""

    path: str
    content: str
    part: str


def index(context: Context) -> StageOutcome:
    """Index all shards of the dataset.

    Raises:
        DataError: more samples are broken than `max_broken` allows, none is usable, or a shard ends its process.
    """
    dataset = context.plan.experiment.section.datasets[context.section.dataset]
    paths = context.shards_of(context.section.dataset)
    cache = context.plan.storage.root.absolute() / CACHE_FOLDER / SHARD_PARTS
    parts = ShardParts(cache, _scanning(context.section, dataset), context.kind.version)
    shards = _shards(context, paths, parts)
    # Shards of the same content, in whatever splits, are read once.
    by_part = {shard.part: shard for split in shards.values() for shard in split}
    left = [shard for name, shard in by_part.items() if context.step.starts_over or not parts.has(name)]
    if left:
        _scan_all(context, left, parts, len(by_part))
    return _gathered(context, shards, parts)


def _shards(context: Context, paths: dict[str, list[str]], parts: ShardParts) -> dict[str, list[_Shard]]:
    """Return the shards of each split."""
    context.line.update("reading shards")
    digests = digests_in(context.plan.storage, context.run.tracker.reporter.reading)
    found = {}
    for split, of_split in paths.items():
        contents = contents_of(of_split, digests)
        names = parts.names(of_split, contents)
        found[split] = [_Shard(*one) for one in zip(of_split, map(str, contents), names, strict=True)]
    digests.save()
    return found


def _scanning(section: Any, dataset: DatasetSection) -> Scanning:
    """Return how samples are read."""
    decode, clips = dataset.decode, None
    if decode is not None:
        clips = ClipTrial(dataset.max_pixels, decode.max_seconds, section.seconds_per_clip)
    return Scanning(dataset.media, section.caption, dataset.max_pixels, clips)


def _scan_all(context: Context, left: list[_Shard], parts: ShardParts, count: int) -> None:
    """Scan shards in Ray tasks. count: of all shards, with those that are done."""
    context.line.update("starting Ray")
    context.cluster.start()
    import ray

    remote = ray.remote(num_cpus=1, max_retries=2)(scan_part).options(name=f"index {context.step.name}")
    waiting, pending, done = list(left), dict[Any, _Shard](), count - len(left)
    cache = ShardCache(*context.shard_copies)
    at_once = 2 * max(1, int(ray.cluster_resources().get("CPU", 1)))
    while waiting or pending:
        while waiting and len(pending) < at_once:
            shard = waiting.pop(0)
            pending[remote.remote(shard, parts, cache)] = shard
        finished, _ = ray.wait(list(pending), num_returns=1, timeout=0.5)
        for reference in finished:
            shard = pending.pop(reference)
            try:
                ray.get(reference)
            except ray.exceptions.RayTaskError as error:
                raise user_error_in(error) from None
            except (ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError) as error:
                raise DataError(
                    f"{shown(shard.path)}: the process that reads it crashed or was killed, three times; see with dmesg "
                    "whether memory ran out, or take the shard out of the dataset. Other shards stay indexed."
                ) from error
            done += 1
        context.line.update("shards", done, count)


def scan_part(shard: _Shard, parts: ShardParts, cache: ShardCache) -> None:
    """Scan a shard in a Ray worker, and store what was found.

    Raises:
        DataError: the shard is missing, or was changed.
    """
    scanned = scan_shard(shard.path, parts.scanning, cache)
    if not is_remote(shard.path) and digest_of(Path(shard.path)) != shard.content:  # Others are compared when they are fetched.
        raise DataError(f"{shown(shard.path)} was changed while it was read; run the same command again")
    parts.write(shard.part, scanned)


def _gathered(context: Context, shards: dict[str, list[_Shard]], parts: ShardParts) -> StageOutcome:
    """Put the parts together to the index."""
    context.line.update("putting the index together")
    folder = context.folder / SHARDS_FOLDER
    folder.mkdir(exist_ok=True)
    names = iter(short_names([shard.path for split in shards.values() for shard in split]))
    indexed: dict[str, list[IndexedShard]] = {split: [] for split in shards}
    broken: list[dict[str, Any]] = []

    def rows(split: str) -> Iterator[pa.RecordBatch]:
        for shard in shards[split]:
            part, name = parts.read(shard.part), next(names)
            indexed[split].append(IndexedShard(name, part.size, part.samples.num_rows, len(part.broken), part.version))
            broken.extend({"split": split, "shard": name, **asdict(one)} for one in part.broken)
            yield part.samples

    for split in shards:
        write_rows(index_file(folder, split), rows(split), parts.scanning.schema)
    write_shards(folder, indexed)
    schema = pa.schema([(name, pa.string()) for name in ("split", "shard", "key")])
    schema = schema.append(pa.field("offset", pa.int64())).append(pa.field("problem", pa.string()))
    pq.write_table(pa.Table.from_pylist(broken, schema), context.folder / BROKEN_TABLE)
    found = [shard for split in indexed.values() for shard in split]
    _check(context, broken, sum(shard.samples for shard in found))
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
                if usable
                else "  None is left to train on; repair them. "
            )
            + f"What was read is not read again, unless with --force {context.step.name}; use that if the machine was too slow "
            "for a clip, or short of memory."
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
