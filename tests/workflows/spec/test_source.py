"""How specs inherit."""

from typing import Any

import yaml
from hypothesis import given
from hypothesis import strategies as st

from workflows.spec.source import YamlNode, merge
from workflows.spec.yaml_text import parse_yaml


def node(text: str) -> YamlNode:
    return parse_yaml(text, "spec.yaml")


def merged(base: str, child: str) -> Any:
    return merge(node(base), node(child)).plain()


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
    st.integers(-1000, 1000) | st.none(), lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3), max_leaves=8
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
