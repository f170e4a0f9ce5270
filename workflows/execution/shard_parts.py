"""Stores what is known of single shards in a cache of the storage, for all indexes that have a shard of this content.

So a shard is read once, also if others are added to its dataset, an index is interrupted, or another experiment has it, too.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import time
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa
import xxhash

from cosa.checksums import digest_of
from cosa.data.shards.index import write_rows
from cosa.data.shards.paths import is_remote
from cosa.data.shards.scan import Broken, ScannedShard, Scanning
from workflows.results.atomic import flush, rename_durably

ROWS, ABOUT = "rows.arrow", "about.json"
REPLACED_SECONDS = 1.0  # in which a part is there again that another one replaces


@dataclass(frozen=True)
class ShardParts:
    """A folder of parts of indexes, each a folder by the content of a shard and the way in which it was read.

    version: of that way, besides what `Scanning` says.
    """

    folder: Path
    scanning: Scanning
    version: int

    def names(self, paths: Sequence[str], contents: Sequence[str | None]) -> list[str]:
        """Return names of the parts of some shards. contents: their digests, or the states of those in buckets."""
        way = xxhash.xxh3_64_hexdigest(json.dumps([self.version, asdict(self.scanning)], sort_keys=True).encode())
        shards = (f"{path} {content}" if is_remote(path) else content for path, content in zip(paths, contents, strict=True))
        return [f"{xxhash.xxh3_128_hexdigest(str(shard).encode())}-{way}" for shard in shards]

    def has(self, name: str) -> bool:
        """Return whether a part is there, and as it was written. `write` replaces a damaged one."""
        entry = self.folder / name
        try:
            about = json.loads((entry / ABOUT).read_text(encoding="utf-8"))
            is_intact = digest_of(entry / ROWS) == about["rows"]
        except (OSError, ValueError, LookupError, TypeError):
            return False
        if is_intact:
            with suppress(OSError):  # The time shows when it was used last.
                os.utime(entry)
        return is_intact

    def write(self, name: str, scanned: ScannedShard) -> None:
        """Store a part, in the place of an older one; it appears by one rename when it is on the disk."""
        entry, unfinished = self.folder / name, self.folder / f".{name}.{uuid.uuid4().hex}"
        replaced = unfinished.with_name(f"{unfinished.name}.replaced")
        unfinished.mkdir(parents=True)
        try:
            write_rows(unfinished / ROWS, [scanned.samples], scanned.samples.schema)
            about = {
                "rows": digest_of(unfinished / ROWS),
                "size": scanned.size,
                "version": scanned.version,
                "broken": [asdict(one) for one in scanned.broken],
            }
            (unfinished / ABOUT).write_text(json.dumps(about), encoding="utf-8")
            for path in (unfinished / ROWS, unfinished / ABOUT, unfinished):
                flush(path)
            with suppress(FileNotFoundError):
                entry.rename(replaced)  # Another index may be reading it, which its deletion would disturb for longer.
            try:
                rename_durably(unfinished, entry)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):  # Another index has stored the same meanwhile.
                    raise
        finally:
            for folder in (unfinished, replaced):
                shutil.rmtree(folder, ignore_errors=True)

    def read(self, name: str) -> ScannedShard:
        """Return what `write` has stored, also if another index replaces it at this moment."""
        with suppress(FileNotFoundError):
            return self._read(name)
        time.sleep(REPLACED_SECONDS)
        return self._read(name)

    def _read(self, name: str) -> ScannedShard:
        about = json.loads((self.folder / name / ABOUT).read_text(encoding="utf-8"))
        with pa.OSFile(str(self.folder / name / ROWS)) as file:
            rows = pa.ipc.open_file(file).get_batch(0)
        return ScannedShard(about["size"], rows, [Broken(**one) for one in about["broken"]], about["version"])
