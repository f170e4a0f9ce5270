"""YAML with places, and how specs inherit."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from workflows.spec.problems import SpecError
from workflows.spec.source import YamlNode, merge, parse_yaml, read_yaml


def node(text: str) -> YamlNode:
    return parse_yaml(text, "spec.yaml")


def merged(base: str, child: str) -> Any:
    return merge(node(base), node(child)).plain()


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
        ("1_000", 1000),
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


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(min_size=1), inner, max_size=4),
        max_leaves=12,
    )
)
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
    with pytest.raises(SpecError, match=r"spec\.yaml cannot be read"):
        read_yaml(tmp_path / "spec.yaml")


def test_mappings_merge_and_the_rest_is_replaced() -> None:
    assert merged("{a: {b: 1, c: [1, 2]}, d: x}", "{a: {c: [3]}, e: y}") == {"a": {"b": 1, "c": [3]}, "d": "x", "e": "y"}


def test_null_removes_a_mapping_and_only_that() -> None:
    base = "{stages: {frames: {kind: extract}, test: {frames: 4, tasks: [x]}}}"
    assert merged(base, "{stages: {frames: ~}}") == {"stages": {"test": {"frames": 4, "tasks": ["x"]}}}
    assert merged(base, "{stages: {test: {frames: ~}}}")["stages"]["test"] == {"frames": None, "tasks": ["x"]}
    assert merged(base, "{stages: {test: {tasks: ~}}}")["stages"]["test"]["tasks"] is None
    assert merged(base, "{stages: {other: ~}}")["stages"]["other"] is None  # nothing to remove: said later


def test_removed_and_given_again() -> None:
    base, child = node("{a: {x: {k: 1}}}"), node("{a: {x: ~}}")
    assert merge(merge(base, child), node("{a: {x: {n: 2}}}")).plain() == {"a": {"x": {"n": 2}}}


def test_plain_path_of_a_split_is_a_mapping() -> None:
    base = "{datasets: {d: {splits: {test: a.json, train: b.json}}}}"
    splits = merged(base, "{datasets: {d: {splits: {test: {references: r.json}}}}}")["datasets"]["d"]["splits"]
    assert splits == {
        "test": {"captions": "a.json", "questions": "a.json", "references": "r.json"},
        "train": "b.json",
    }
    assert merged(base, "{datasets: {d: {splits: {test: ~}}}}")["datasets"]["d"]["splits"] == {"train": "b.json"}
    assert merged(base, "{datasets: {d: {splits: {test: c.json}}}}")["datasets"]["d"]["splits"]["test"] == "c.json"


def test_plain_values_elsewhere_are_no_splits() -> None:
    assert merged("{a: {b: {c: {d: x}}}}", "{a: {b: {c: {d: {e: 1}}}}}") == {"a": {"b": {"c": {"d": {"e": 1}}}}}


NESTED = st.recursive(
    st.integers() | st.none(), lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3), max_leaves=8
)
MAPPINGS = st.dictionaries(st.sampled_from("abc"), NESTED, max_size=3)


@given(MAPPINGS)
def test_merging_nothing_changes_nothing(value: dict[str, Any]) -> None:
    base = node(yaml.safe_dump(value))
    assert merge(base, node("{}")).plain() == value


@given(MAPPINGS, MAPPINGS)
def test_merging_twice_is_merging_once(base: dict[str, Any], child: dict[str, Any]) -> None:
    def without_null(value: Any) -> Any:
        return {k: without_null(v) for k, v in value.items() if v is not None} if isinstance(value, dict) else value

    child = without_null(child)
    once = merge(node(yaml.safe_dump(base)), node(yaml.safe_dump(child)))
    assert merge(once, node(yaml.safe_dump(child))).plain() == once.plain()
