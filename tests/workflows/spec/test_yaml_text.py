"""What the text of a YAML file means, and what is refused."""

import math
import os
from pathlib import Path

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from workflows.spec.problems import SpecError
from workflows.spec.source import YamlNode
from workflows.spec.yaml_text import parse_yaml, read_yaml

COMMON = "base: &common {epochs: 1, batch_size: 2}\n"
CHAIN = "\n".join(["c0: &c0 {}", *(f"c{i}: &c{i} {{k: *c{i - 1}}}" for i in range(1, 70))])


def node(text: str) -> YamlNode:
    return parse_yaml(text, "spec.yaml")


@pytest.mark.parametrize(("character", "code"), [("\u2028", "2028"), ("\u2029", "2029"), ("\x85", "0085")])
def test_characters_that_end_a_line_only_before_1_2(character: str, code: str) -> None:
    """A comment would end there, and its rest would be read as a field."""
    with pytest.raises(SpecError) as refused:
        node(f"a: 1\n# a comment{character}seed: 5\n")
    assert str(refused.value).startswith(f"spec.yaml:2:1: invalid YAML: character U+{code} does not end a line everywhere")
    assert node(f'a: "\\u{code}"').plain() == {"a": character}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),  # text in YAML 1.1
        ("2.0e-5", 2e-5),
        ("3", 3),
        ("0x10", 16),
        (".5", 0.5),
        ("true", True),
        ("no", "no"),
        ("on", "on"),
        ("2024-01-31", "2024-01-31"),
        ("12:30", "12:30"),
        ("010", "010"),
        ("1_000", "1_000"),
        ("1:30", "1:30"),
        ("0o17", 15),
        ("+3", 3),
        ("-3", -3),
        ("-0x10", "-0x10"),
        ("9223372036854775807", 2**63 - 1),
        ("-9223372036854775807", 1 - 2**63),
        ("0777", "0777"),
        ("0b11", "0b11"),
        ("y", "y"),
        ("Off", "Off"),
        ("TRUE", True),
        ("NULL", None),
        ("!!str 3", "3"),
        ("!!float 3", 3.0),
        ("=", "="),
        ("~", None),
        ("", None),
        ('"1"', "1"),
    ],
)
def test_scalars(text: str, value: object) -> None:
    found = node(f"key: {text}").plain()["key"]
    assert found == value
    assert type(found) is type(value)


def test_every_value_knows_its_place() -> None:
    root = node("a:\n  b: [1, {c: 2}]\nd: x\n")
    assert str(root.find(("a", "b", 0))) == "spec.yaml:2:7"
    assert str(root.find(("a", "b", 1, "c"))) == "spec.yaml:2:14"
    assert str(root.find(("a", "b"), of_key=True)) == "spec.yaml:2:3"
    assert root.find(("d",)).text == "d: x"
    assert str(root.find(("a", "nothing", "deeper"))) == "spec.yaml:2:3"  # the nearest thing that exists


# PyYAML writes the characters that end a line only before version 1.2 as they are.
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x85\u2028\u2029"))


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(1 - 2**63, 2**63 - 1)
        | st.floats(allow_nan=False, allow_infinity=False)
        | TEXTS,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS.filter(bool), inner, max_size=4),
        max_leaves=12,
    )
)
@example(value={"0[": None})  # A colon is there: only what ends with a bracket as well lacks one before it.
@example(value={"0 {": "1"})
def test_what_yaml_writes_is_read_back(value: object) -> None:
    text = yaml.safe_dump({"key": value}, allow_unicode=True)
    found = node(text).plain()["key"]
    if "." not in text and "e" not in text:  # 1e+16 is written with a dot only by some versions
        assert found == value


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused_in_one_way(text: str) -> None:
    try:
        found = parse_yaml(text, "spec.yaml")
    except SpecError as error:
        assert str(error).startswith("spec.yaml")
    else:
        assert isinstance(found.plain(), dict)


@pytest.mark.parametrize(
    "text", ["a: &x [*x]", "a: !!int b", "a: !!python/object:os.system {}", "? {a: 1}\n: 2\n? {a: 1}\n: 2\n"]
)
def test_dangerous_or_impossible_yaml_is_refused(text: str) -> None:
    with pytest.raises(SpecError):
        node(text)


def test_aliases_are_copies() -> None:
    root = node("a: &x {k: 1}\nb: *x\n")
    assert root.children is not None
    assert root.children["a"] is not root.children["b"]
    assert root.plain() == {"a": {"k": 1}, "b": {"k": 1}}


def test_file_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SpecError, match=r"spec\.yaml is no UTF-8 text: it is UTF-16; save it as UTF-8"):
        read_yaml(tmp_path / "spec.yaml")


@pytest.mark.parametrize("text", [".inf", ".Inf", ".INF", "+.inf", "-.INF"])
def test_infinity(text: str) -> None:
    value = node(f"key: {text}").plain()["key"]
    assert math.isinf(value)
    assert (value < 0) == text.startswith("-")


def test_not_a_number() -> None:
    assert all(math.isnan(node(f"key: {text}").plain()["key"]) for text in (".nan", ".NaN", ".NAN"))


@pytest.mark.parametrize(
    "key",
    ["10_1", "2016_2", "0x10", "010", "1:30", "2024-01-31", "yes", "no", "on", "off", "1e3", "true", "True", "null", "~", "3"],
)
def test_keys_are_as_they_are_written(key: str) -> None:
    assert node(f"{key}: 1").plain() == {key: 1}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("b: {<<: *common, epochs: 3}", {"epochs": 3, "batch_size": 2}),
        ("b: {epochs: 3, <<: *common}", {"epochs": 3, "batch_size": 2}),  # the place of << does not count
        ("b: {<<: *common}", {"epochs": 1, "batch_size": 2}),
        ("b: {<<: [*common, {epochs: 7, workers: 1}]}", {"epochs": 1, "batch_size": 2, "workers": 1}),  # the first wins
        ("b: {<<: [{epochs: 7, workers: 1}, *common]}", {"epochs": 7, "batch_size": 2, "workers": 1}),
        ("b: {<<: [*common, *common]}", {"epochs": 1, "batch_size": 2}),
        ("b: {<<: {<<: *common, epochs: 5}, workers: 2}", {"epochs": 5, "batch_size": 2, "workers": 2}),
        ('b: {"<<": text}', {"<<": "text"}),
        ("b: {<<: []}", {}),
    ],
)
def test_merge_keys(text: str, value: object) -> None:
    assert node(COMMON + text).plain()["b"] == value


def test_anchor_that_merges_is_used_several_times() -> None:
    root = node(COMMON + "b: &b {<<: *common, epochs: 3}\nc: *b\nd: {<<: *b, batch_size: 9}\n").plain()
    assert root["b"] == root["c"] == {"epochs": 3, "batch_size": 2}
    assert root["d"] == {"epochs": 3, "batch_size": 9}


def test_merged_values_know_where_they_are_written() -> None:
    root = node(COMMON + "b: {<<: *common, epochs: 3}\n")
    assert str(root.find(("b", "batch_size"), of_key=True)) == "spec.yaml:1:27"
    assert str(root.find(("b", "epochs"))) == "spec.yaml:2:26"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("b: {epochs: 1, epochs: 2}", "spec.yaml:2:16: 'epochs' appears twice (first on line 2); keep one"),
        ("b: {<<: *common, epochs: 1, epochs: 2}", "spec.yaml:2:29: 'epochs' appears twice (first on line 2); keep one"),
        ("b: {<<: *common, <<: *common}", "spec.yaml:2:18: '<<' appears twice (first on line 2); keep one"),
        ("b: {<<: 3}", "spec.yaml:2:9: << merges a mapping, as in <<: *common, or a list of mappings"),
        ("b: {<<: [*common, 3]}", "spec.yaml:2:19: << merges a mapping, as in <<: *common, or a list of mappings"),
        ("b: {1: a, '1': b}", "spec.yaml:2:11: '1' appears twice (first on line 2); keep one"),
        ("b: {[1]: a}", "spec.yaml:2:5: a mapping or a list cannot be a key"),
        ("b:\n  ? \n  : a", "expected a name before the colon"),
        ("b: {!!binary aa: a}", "spec.yaml:2:5: tag 'tag:yaml.org,2002:binary' is not allowed in a spec"),
        ("b: !!set {a}", "spec.yaml:2:4: tag 'tag:yaml.org,2002:set' is not allowed in a spec"),
        ("b: 0x" + "f" * 100_000, "spec.yaml:2:4: '0xffffffffffffffffff'... (100002 characters) is too large for an integer"),
        ("b: " + "9" * 100_000, "spec.yaml:2:4: '99999999999999999999'... (100000 characters) is too large for an integer"),
        ("b: 0o" + "7" * 100_000, "spec.yaml:2:4: '0o777777777777777777'... (100002 characters) is too large for an integer"),
        ("b: -9223372036854775808", "spec.yaml:2:4: '-9223372036854775808' is too large for an integer"),
        ("b: " + "[" * 100 + "]" * 100, "more than 64 mappings and lists inside each other"),
        ("b: " + "[" * 50_000 + "]" * 50_000, "more than 64 mappings and lists inside each other"),
        (
            "\n".join(["c0: &c0 {}", *(f"c{i}: &c{i} {{k: *c{i - 1}}}" for i in range(1, 70))]),
            "more than 64 mappings and lists",
        ),
        ("b: [" + "a, " * 60_000 + "]", "invalid YAML: more than 10000 values"),
        ("b: &b [" + "a, " * 6000 + "]\nc: *b", "the file expands to more than 10000 values"),
        ("b: a\x00c", "spec.yaml:2:1: invalid YAML: character '\\x00' is not allowed in YAML"),
        ("b: [" + "x" * 5000 + ", {]", "spec.yaml:2:5008: invalid YAML"),
    ],
    ids=lambda text: text[:40],
)
def test_what_is_refused(text: str, says: str) -> None:
    with pytest.raises(SpecError) as refused:
        node(COMMON + text)
    assert says in str(refused.value)
    assert len(str(refused.value)) < 1500


def test_aliases_that_expand_to_gigabytes() -> None:
    """Ten lists of ten aliases each would be ten billion values."""
    lines = ["a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)]
    with pytest.raises(SpecError, match=r"spec.yaml:\d+:\d+: the file expands to more than 10000 values"):
        node("\n".join(lines))


def test_merges_that_expand_to_gigabytes() -> None:
    lines = ["a0: &a0 {k: 1}"]
    lines += [f"a{i}: &a{i} {{k: {{<<: *a{i - 1}}}, l: {{<<: *a{i - 1}}}, m: *a{i - 1}}}" for i in range(1, 20)]
    with pytest.raises(SpecError, match="the file expands to more than 10000 values"):
        node("\n".join(lines))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "the file is empty; expected a spec"),
        (b"# only a comment\n", "the file is empty; expected a spec"),
        ("name: x".encode("utf-16"), "is no UTF-8 text: it is UTF-16; save it as UTF-8"),
        (b"\xfe\xff\x00n", "is no UTF-8 text: it is UTF-16; save it as UTF-8"),
        (b"name: caf\xe9\n", "is no UTF-8 text: byte 9 is part of no character; save it as UTF-8"),
        (b"\x7fELF\x02\x01\x01\x00", "invalid YAML: character '\\x7f' is not allowed in YAML"),
        (b"- a\n", "expected a mapping of fields at the top"),
        (b"a" * (2**18 + 1), "is larger than 256 KiB; expected a spec"),
    ],
)
def test_files_that_are_no_specs(content: bytes, says: str, tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_bytes(content)
    with pytest.raises(SpecError) as refused:
        read_yaml(tmp_path / "spec.yaml")
    assert says in str(refused.value)


def test_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_bytes("name: é".encode("utf-8-sig"))
    assert read_yaml(tmp_path / "spec.yaml").plain() == {"name": "é"}


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("nothing.yaml", "no spec file"),
        (".", "is a folder, not a file; expected a YAML file"),
        ("x" * 5000, "cannot be read: File name too long"),
        ("a\0b", "cannot be read: embedded null byte"),
        ("loop", "cannot be read: Too many levels of symbolic links"),
        ("pipe", r"is a pipe \(FIFO\), not a file; expected a YAML file"),
        ("/dev/zero", "is a device, not a file; expected a YAML file"),
    ],
)
def test_paths_that_are_no_specs(path: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SpecError, match=says):
        read_yaml(tmp_path / path)


def test_a_spec_without_permission(tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text("name: x")
    (tmp_path / "spec.yaml").chmod(0)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)  # Root may read everything, nobody may not.
    try:
        with pytest.raises(SpecError, match="cannot be read: Permission denied"):
            read_yaml(tmp_path / "spec.yaml")
    finally:
        os.seteuid(user)
