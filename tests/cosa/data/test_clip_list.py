"""Lists of clips as columns."""

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from cosa.data import clip_list
from cosa.data.clip_list import NO_SHARD, ClipList, ShardPlace

CLIPS = {f"v{number}": f"c{number % 70}" for number in range(100)}
PLACES = {f"c{number}": ShardPlace(f"s{number % 3}", number, 10 + number) for number in range(30)}
ABOUT = {"store": "../.frames", "extraction": "fps4"}


def test_a_mapped_list_says_what_was_written(tmp_path: Path) -> None:
    ClipList.of(CLIPS, PLACES).write(tmp_path / "clips.arrow", ABOUT)
    found = ClipList.read(tmp_path / "clips.arrow")
    for clips in (found, pickle.loads(pickle.dumps(found)), ClipList.of(CLIPS, PLACES)):
        assert dict(clips.pairs()) == dict(clips) == CLIPS
        assert (list(clips), len(clips), clips.shards) == (list(CLIPS), 100, ["s0", "s1", "s2"])
        rows = clips.rows(["v99", "none", "v0", "v71"])
        assert rows.tolist() == [99, -1, 0, 71]
        assert [clips.place(row) for row in (99, 0, 71)] == [PLACES["c29"], PLACES["c0"], PLACES["c1"]]
        assert clips.place(40) is None
        assert clips.shard_numbers(np.array([99, 40, 71])).tolist() == [2, NO_SHARD, 1]
        assert "none" not in clips
    assert found.about == {**ABOUT, "shards": ["s0", "s1", "s2"]}
    assert len(pickle.dumps(found)) < 1000, "another process maps the file"


def test_a_plan_does_not_wait_for_pandas(tmp_path: Path) -> None:
    ClipList.of(CLIPS, PLACES).write(tmp_path / "clips.arrow", ABOUT)
    code = (
        "import sys; from pathlib import Path; from cosa.data.stored_frames import StoredFrames; "
        "print(StoredFrames.read(Path(sys.argv[1])).lost(), sorted({'pandas', 'PIL', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "clips.arrow"], capture_output=True, text=True, check=True)
    assert done.stdout == "100 []\n"


def test_an_empty_list(tmp_path: Path) -> None:
    ClipList.of({}, {}).write(tmp_path / "clips.arrow", ABOUT)
    found = ClipList.read(tmp_path / "clips.arrow")
    assert (dict(found), found.rows(["a", "b"]).tolist()) == ({}, [-1, -1])


def test_identifiers_of_the_same_hash_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        clip_list, "hashes_of", lambda texts: np.array([len(text) for text in texts], np.uint64)
    )  # "v10" to "v99" have the same.
    clips = ClipList.of(CLIPS, PLACES)
    assert dict(clips) == CLIPS
    assert clips.rows(["v57", "v00", "w", "v3"]).tolist() == [57, -1, -1, 3]


def damaged(column: str, value: object, kind: pa.DataType | None = None) -> pa.RecordBatch:
    rows = ClipList.of(CLIPS, PLACES)._rows
    values = [value, *rows.column(column).to_pylist()[1:]]
    place = rows.schema.get_field_index(column)
    return rows.set_column(place, column, pa.array(values, kind or rows.schema.field(column).type))


@pytest.mark.parametrize(
    ("column", "value", "kind"),
    [
        ("row", 100, None), ("row", -1, None), ("row", None, None), ("shard", 3, None), ("shard", -2, None),
        ("offset", -1, None), ("size", 2**60, None), ("hash", 0, pa.int64()),
    ],
)  # fmt: skip
def test_numbers_that_lead_out_of_a_list_are_refused(
    tmp_path: Path, column: str, value: object, kind: pa.DataType | None
) -> None:
    rows = damaged(column, value, kind) if kind is None else damaged("row", 0).rename_columns(list("abcdefg"))
    with pa.OSFile(str(tmp_path / "a.arrow"), "wb") as sink, pa.ipc.new_file(sink, rows.schema) as writer:
        writer.write_batch(rows)
    with pytest.raises((ValueError, LookupError)):
        ClipList.read(tmp_path / "a.arrow")


def test_names_of_shards_do_not_lead_out_of_the_store(tmp_path: Path) -> None:
    ClipList.of({"v": "c"}, {"c": ShardPlace("../other", 0, 1)}).write(tmp_path / "a.arrow", ABOUT)
    with pytest.raises(ValueError, match="names that no shard has"):
        ClipList.read(tmp_path / "a.arrow")


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.95])
def test_a_cut_list_is_refused(tmp_path: Path, share: float) -> None:
    path = tmp_path / "a.arrow"
    ClipList.of(CLIPS, PLACES).write(path, ABOUT)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(ValueError):
        ClipList.read(path)


def test_flipped_bits_are_refused_or_read_without_a_crash(tmp_path: Path) -> None:
    path = tmp_path / "a.arrow"
    ClipList.of(CLIPS, PLACES).write(path, ABOUT)
    content, rng, refused = path.read_bytes(), np.random.default_rng(0), 0
    for _ in range(300):
        changed = bytearray(content)
        changed[rng.integers(len(content))] ^= 1 << int(rng.integers(8))
        path.write_bytes(changed)
        try:
            clips = ClipList.read(path)
            assert len(list(clips.pairs())) == len(clips)
            list(map(clips.place, range(len(clips))))
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            refused += 1
    assert refused
