"""Annotation files of every form say the same, and every mistake in them is named with its place."""

import bz2
import csv
import gzip
import json
import lzma
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cosa.data import compressed, json_items
from cosa.data.annotation_columns import AnnotationSource
from cosa.data.annotation_formats import FORMATS, format_of
from cosa.data.annotations import lines_of, load_captions, load_questions, load_references, load_video_ids
from cosa.data.column_cache import columns_of
from cosa.data.dataset_files import DatasetFiles, caption_samples, question_samples
from cosa.data.sample import Sample
from cosa.data.split_reading import SplitReading
from cosa.errors import DataError, UserError

Rows = Sequence[dict[str, str]]


def write_json(path: Path, rows: Rows) -> None:
    path.write_text(json.dumps(list(rows), ensure_ascii=False, indent=1), encoding="utf-8")


def write_lines(path: Path, rows: Rows) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def write_table(path: Path, rows: Rows, separator: str = ",") -> None:
    with path.open("w", newline="", encoding="utf-8-sig") as file:
        table = csv.DictWriter(file, list(rows[0]), delimiter=separator)
        table.writeheader()
        table.writerows(rows)


def write_tabs(path: Path, rows: Rows) -> None:
    write_table(path, rows, "\t")


def write_parquet(path: Path, rows: Rows) -> None:
    pq.write_table(pa.Table.from_pylist(list(rows)), path)


def write_coco(path: Path, rows: Rows) -> None:
    path.write_text(json.dumps({"info": {}, "annotations": list(rows)}), encoding="utf-8")


WRITERS: dict[str, Callable[[Path, Rows], None]] = {
    "a.json": write_json, "coco.json": write_coco, "a.jsonl": write_lines, "a.csv": write_table, "a.tsv": write_tabs,
    "a.parquet": write_parquet,
}  # fmt: skip


def zstandard(content: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(content)
    return bytes(sink.getvalue())


COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes, ".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress, ".zst": zstandard
}  # fmt: skip

ids = st.from_regex(r"[a-z0-9_]{1,9}(/[0-9]{1,4})?", fullmatch=True) | st.sampled_from(
    ["007", "1e5", "-1", "true", "null", "é"]
)
texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20).filter(
    lambda text: bool(text.strip()) and "\0" not in text
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(ids, texts), min_size=1, max_size=6), st.sampled_from(list(COMPRESS)))
def test_all_forms_of_captions_give_the_same_samples(tmp_path: Path, rows: list[tuple[str, str]], suffix: str) -> None:
    named = [{"image_id": media_id, "url": "http://x/,y", "title": text} for media_id, text in rows]
    reading = {"train": SplitReading({"media": "image_id", "caption": "title"})}
    for name, write in WRITERS.items():
        path = tmp_path / name
        write(path, named)
        packed = tmp_path / f"{name}{suffix}"
        packed.write_bytes(COMPRESS[suffix](path.read_bytes()))
        dataset = DatasetFiles("own", "image", "", None, {"train": {"captions": str(packed)}}, reading=reading)
        assert list(caption_samples(dataset, "train")) == [Sample(media_id, text) for media_id, text in rows], name
        assert list(load_references(packed, reading["train"].names)) == list(dict.fromkeys(media_id for media_id, _ in rows))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(ids, texts, texts, st.none() | ids, st.none() | texts), min_size=1, max_size=5))
def test_all_forms_of_questions_give_the_same_samples(tmp_path: Path, rows: list[tuple[Any, ...]]) -> None:
    fields = ("video_id", "question", "answer", "question_id", "question_type")
    expected = None
    for name, write in WRITERS.items():
        full = [dict(zip(fields, row, strict=True)) for row in rows]
        absent = "" if name.endswith("sv") else None
        write(tmp_path / name, [{field: absent if value is None else value for field, value in row.items()} for row in full])
        dataset = DatasetFiles("own", "video", "", None, {"train": {"questions": str(tmp_path / name)}})
        assert list(question_samples(dataset, "train")) == [Sample(row[0], "", row[1], row[2]) for row in rows]
        said = [(one.question_id, one.question_type) for one in load_questions(tmp_path / name)]
        expected = expected or said
        assert said == expected == [(row[3], None if row[4] is None else " ".join(row[4].split())) for row in rows]


def test_forms_are_known_by_suffix_or_content(tmp_path: Path) -> None:
    rows = [{"video_id": "a", "desc": "x, y"}]
    for name, write in WRITERS.items():
        write(tmp_path / name, rows)
        (tmp_path / "of-no-suffix").write_bytes((tmp_path / name).read_bytes())
        (tmp_path / "a.gz").write_bytes(gzip.compress((tmp_path / name).read_bytes()))
        for path in (tmp_path / "of-no-suffix", tmp_path / "a.gz"):
            assert format_of(path) == format_of(tmp_path / name)
            assert load_captions(path)[0].captions == ("x, y",)
    (tmp_path / "letter").write_text("Dear annotators")
    with pytest.raises(DataError, match="is none of Parquet, JSON, TSV, CSV; give it a suffix"):
        load_captions(tmp_path / "letter")
    assert len({suffix for one in FORMATS for suffix in one.suffixes}) == sum(len(one.suffixes) for one in FORMATS)


def test_usual_headers_need_no_columns(tmp_path: Path) -> None:
    for media, caption in (("video_id", "caption"), ("videoid", "text"), ("clip_id", "sentence")):
        write_table(tmp_path / "a.csv", [{"key": "1", media: "v", caption: "a man sings"}])
        assert [(one.video_id, one.captions) for one in load_captions(tmp_path / "a.csv")] == [("v", ("a man sings",))]


def test_tables_may_hold_lists_numbers_and_line_breaks(tmp_path: Path) -> None:
    write_parquet(tmp_path / "a.parquet", [{"image_id": 7, "caption": ["a", "b"]}, {"image_id": 8, "caption": ["c"]}])  # type: ignore[dict-item, list-item]
    assert [one.captions for one in load_captions(tmp_path / "a.parquet")] == [("a", "b"), ("c",)]
    assert load_video_ids(tmp_path / "a.parquet") == ["7", "8"]
    (tmp_path / "b.csv").write_text('video_id,desc\r\n"a","one\r\ntwo ""x"""\r\n\r\nb,three\r\n', newline="")
    found = [(one.captions[0], one.line) for one in load_captions(tmp_path / "b.csv")]
    assert found == [('one\r\ntwo "x"', 2), ("three", 5)]
    assert lines_of(tmp_path / "b.csv", ["b"]) == {"b": 5}


CSV_MISTAKES = [
    ("", "is empty; expected a table whose first line names its columns"),
    ("video_id,desc\n", "holds no entries"),
    ("url,title\nu,t\n", "has no column video_id or image_id.*; it has the columns 'url', 'title': say in the split which is "
     "which, such as columns: {media: url, caption: title}"),
    ("video_id,title\nu,t\n", r"has no column desc or caption.* such as columns: \{caption: title\}"),
    ("video_id,desc\na,x\nb,\n", r'line 3 \(entry 2\): column "desc" is empty; correct or remove the row'),
    ("video_id,desc\n,x\n", r'line 2 \(entry 1\): column "video_id" is empty'),
    ("video_id,desc\na,  \n", r'line 2 \(entry 1\): column "desc" is empty, expected text'),
    ("video_id,desc\n../a,x\n", r'line 2 \(entry 1\): column "video_id" \'../a\' leads out of the media folder'),
    ("video_id,desc\na,x,y\n", "line 2: 3 cells, but the first line names 2 columns; put a text with commas into"),
    ("video_id,desc\na,x\nb\n", "line 3: 1 cells, but"),
    ('video_id,desc\na,"x\nb,y\n', "a double quote is never closed"),
    ('video_id,desc\na,"x"y\n', "line 2: found text after a closing double quote"),
    ("video_id,desc,desc\na,x,y\n", "column 'desc' appears twice; keep one"),
    (f"video_id,desc\na,{'x' * 200_000}\n", "line 2: a cell is longer than 131072 characters"),
]  # fmt: skip


@pytest.mark.parametrize(("content", "message"), CSV_MISTAKES)
def test_mistakes_in_tables(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(content)
    with pytest.raises(DataError, match=message) as raised:
        columns_of(AnnotationSource(path, "captions")).require("text")
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_mistakes_in_tables_of_questions(tmp_path: Path) -> None:
    write_table(tmp_path / "q.csv", [{"video_id": "v", "asked": "who?", "answer": "x"}])
    with pytest.raises(DataError, match=r"has no column question; it has the columns .*such as columns: \{question: asked\}"):
        load_questions(tmp_path / "q.csv")
    write_table(tmp_path / "q.csv", [{"video_id": "v", "question": "who?", "answer": ""}])
    assert load_questions(tmp_path / "q.csv", require_answers=False)[0].answers == ()
    with pytest.raises(DataError, match=r'line 2 .*column "answer" is empty'):
        load_questions(tmp_path / "q.csv")


def test_mistakes_in_parquet_files(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(b"PAR1 and nothing more")
    with pytest.raises(DataError, match="is damaged, or no Parquet file"):
        load_captions(path)
    for values, message in (
        ([1.5, 2.5], 'row 1: column "desc" is a number'),
        ([b"x", b"y"], 'row 1: column "desc" is no text'),
        (["x", None], 'row 2: column "desc" is empty'),
        (["x", ""], 'row 2: column "desc" is empty'),
    ):
        pq.write_table(pa.table({"video_id": ["a", "b"], "desc": values}), path)
        with pytest.raises(DataError, match=message):
            load_captions(path)
    write_parquet(path, [{"url": "a", "title": "x"}])
    with pytest.raises(DataError, match="it has the columns 'url', 'title': say in the split"):
        load_captions(path)
    raw = pa.Array.from_buffers(pa.string(), 1, [None, pa.py_buffer(b"\0\0\0\0\1\0\0\0"), pa.py_buffer(b"\xff")])
    pq.write_table(pa.table({"video_id": ["a"], "desc": raw}), path)
    with pytest.raises(DataError, match="not UTF-8 text"):
        load_captions(path)


def test_mistakes_of_columns() -> None:
    with pytest.raises(UserError, match="columns: 'title' is no field of annotations; expected media, caption"):
        SplitReading({"title": "caption"})


def test_text_of_another_encoding_is_named_with_its_line(tmp_path: Path) -> None:
    for name, before in (("a.csv", b"video_id,desc\na,x\n"), ("a.jsonl", b'{"video_id": "a", "desc": "x"}\n\n')):
        (tmp_path / name).write_bytes(before + "b,caf\u00e9".encode("latin-1"))
        with pytest.raises(DataError, match=rf"{name}, line 3: not UTF-8 text \(byte {len(before) + 5}\); save it as UTF-8"):
            load_captions(tmp_path / name)


def test_damaged_and_endless_compressed_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = json.dumps([{"video_id": f"v{i}", "desc": f"caption {i * 7919 % 1000}"} for i in range(3000)]).encode()
    names = {".gz": "gzip", ".bz2": "bzip2", ".xz": "xz", ".zst": "zstandard"}
    for suffix, name in names.items():
        path = tmp_path / f"a.json{suffix}"
        whole = COMPRESS[suffix](rows)
        path.write_bytes(whole)
        assert len(load_captions(path)) == 3000
        path.write_bytes(whole[: len(whole) // 2])
        with pytest.raises(DataError, match=rf"is damaged: its {name} content ends early or is none"):
            load_captions(path)
    monkeypatch.setattr(compressed, "HARMLESS", 2**16)
    for suffix in names:
        path = tmp_path / f"bomb.json{suffix}"
        path.write_bytes(COMPRESS[suffix](b"[" + b" " * 2**23))
        with pytest.raises(DataError, match=r"expands to more than [0-9]+ bytes, over 200 times its size"):
            load_captions(path)
    pq.write_table(pa.table({"video_id": ["v"] * 10**6, "desc": ["x" * 50] * 10**6}), tmp_path / "bomb.parquet")
    monkeypatch.setattr("cosa.data.parquet_items.HARMLESS", 2**16)
    with pytest.raises(DataError, match="expands to over 200 times its size"):
        load_captions(tmp_path / "bomb.parquet")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(ids, texts), min_size=1, max_size=12), st.integers(1, 40), st.booleans())
def test_json_is_read_alike_in_parts_of_any_size(
    tmp_path: Path, rows: list[tuple[str, str]], size: int, as_lines: bool
) -> None:
    entries = [{"video_id": media_id, "desc": text, "more": [1.5, {"x": None}]} for media_id, text in rows]
    path = tmp_path / "a.json"
    (write_lines if as_lines else write_json)(path, entries)  # type: ignore[arg-type]
    whole = load_captions(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_items, "CHUNK", size)
        assert load_captions(path) == whole
        path.write_text(path.read_text(encoding="utf-8").replace('"desc"', "desc"), encoding="utf-8")
        with pytest.raises(DataError, match=rf"line {whole[0].line + (0 if as_lines else 2)}: invalid JSON"):
            load_captions(path)


def test_a_number_at_the_end_of_a_part_is_read_in_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.json").write_text('[{"video_id": 1, "desc": "x"}, 123456]')
    for size in range(1, 40):
        monkeypatch.setattr(json_items, "CHUNK", size)
        with pytest.raises(DataError, match=r"entry 2\): found a number \('123456'\)"):
            load_captions(tmp_path / "a.json")
