"""Specs of a few hundred bytes that stand for gigabytes or hours end in one sentence. (Timings are not asserted: a bomb that is
not defused does not end.)"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from workflows.spec.load import load_spec
from workflows.spec.problems import SpecError

DATA = "datasets: {pics: {media: image, root: images, splits: {train: t.json, val: v.json}}}\n"
STAGE = "stages:\n  test: {kind: finetune, task: retrieval, dataset: pics, epochs: 1, batch_size: 2}\n"
SPEC = f"name: bomb\n{DATA}{STAGE}"


def refused(folder: Path, text: str, *overrides: str) -> str:
    (folder / "spec.yaml").write_text(text)
    with pytest.raises(SpecError) as error:
        load_spec(folder / "spec.yaml", overrides, environment={"LONG": "x" * 100_000})
    assert len(str(error.value)) < 70_000
    return str(error.value).replace(f"{folder}/", "")


def doubling(steps: int, value: str) -> str:
    """`paths` in which each entry refers twice to the one before."""
    lines = ["paths:", f"  p0: {value}", *(f"  p{i}: '${{paths.p{i - 1}}}${{paths.p{i - 1}}}'" for i in range(1, steps))]
    return SPEC + "\n".join(lines) + "\n"


def test_text_that_doubles(tmp_path: Path) -> None:
    assert "spec.yaml:23:8: references bring more than 1000000 characters" in refused(tmp_path, doubling(40, "lol"))


def test_text_that_doubles_from_its_end(tmp_path: Path) -> None:
    first, *rest = doubling(40, "lol").split("paths:\n")
    lines = rest[0].splitlines()
    assert "characters of text" in refused(tmp_path, f"{first}paths:\n" + "\n".join(reversed(lines)) + "\n")


def test_long_variable_many_times(tmp_path: Path) -> None:
    assert "characters of text" in refused(tmp_path, SPEC + "description: '" + "${env:LONG}" * 1000 + "'\n")
    paths = ", ".join(f"p{i}: '${{env:LONG}}'" for i in range(99))
    assert "characters of text" in refused(tmp_path, SPEC + f"paths: {{{paths}}}\n")


def test_mappings_that_triple(tmp_path: Path) -> None:
    lines = [f"  m{i}: {{a: '${{model.m{i - 1}}}', b: '${{model.m{i - 1}}}', c: '${{model.m{i - 1}}}'}}" for i in range(1, 30)]
    text = "\n".join(["model:", "  m0: {a: 1}", *lines, ""])
    assert "references bring more than 20000 values" in refused(tmp_path, SPEC + text)


def test_mapping_in_many_texts(tmp_path: Path) -> None:
    big = "paths: {" + ", ".join(f"p{i}: x" for i in range(3000)) + "}\n"
    said = refused(tmp_path, SPEC + big + "description: '" + "${paths}" * 3000 + "'\n")
    assert "references bring more than 20000 values" in said


def test_chain_of_references(tmp_path: Path) -> None:
    lines = [f"  p{i}: ${{paths.p{i + 1}}}" for i in range(2000)]
    assert "more than 64 references" in refused(tmp_path, SPEC + "paths:\n" + "\n".join([*lines, "  p2000: x"]) + "\n")


def test_chain_of_mappings(tmp_path: Path) -> None:
    lines = ["  m0: {a: 1}", *(f"  m{i}: {{a: '${{model.m{i - 1}}}'}}" for i in range(1, 1000))]
    assert "more than 64 references or values are nested" in refused(tmp_path, SPEC + "model:\n" + "\n".join(lines) + "\n")


def test_many_wrong_references(tmp_path: Path) -> None:
    said = refused(tmp_path, SPEC + "paths: {" + ", ".join(f"p{i}: '${{nothing{i}}}'" for i in range(4000)) + "}\n")
    assert said.count("the spec has no field") == 50


def test_many_unknown_fields(tmp_path: Path) -> None:
    said = refused(tmp_path, SPEC + "\n".join(f"unknown{i}: {i}" for i in range(4000)) + "\n")
    assert said.count("unknown field") <= 100


def test_many_wrong_stages(tmp_path: Path) -> None:
    said = refused(tmp_path, SPEC + "\n".join(f"  stage{i}: {{kind: finetun}}" for i in range(900)) + "\n")
    assert said.count("unknown kind") == 50


def test_diamond_of_files_is_read_once(tmp_path: Path) -> None:
    """Each level has two files that extend both of the level below: 2 to the power of 25 ways to the bottom."""
    (tmp_path / "a0.yaml").write_text(SPEC + "paths: {a: x}\n")
    (tmp_path / "b0.yaml").write_text(SPEC + "paths: {b: y}\n")
    for i in range(1, 26):
        for letter in "ab":
            (tmp_path / f"{letter}{i}.yaml").write_text(f"extends: [a{i - 1}.yaml, b{i - 1}.yaml]\npaths: {{{letter}{i}: z}}\n")
    experiment = load_spec(tmp_path / "a25.yaml")
    # A file of a level overrides the other one, so of 51 files each has its say.
    assert experiment.section.paths == {"a": "x", "b": "y", "a25": "z"} | {f"{x}{i}": "z" for x in "ab" for i in range(1, 25)}


def test_too_many_files(tmp_path: Path) -> None:
    for i in range(200):
        (tmp_path / f"f{i}.yaml").write_text(f"extends: f{i + 1}.yaml\n")
    (tmp_path / "f200.yaml").write_text(SPEC)
    assert "f62.yaml:1:10: extends: more than 64 files are extended" in refused(tmp_path, "extends: f0.yaml\n")


def test_files_that_extend_all_others(tmp_path: Path) -> None:
    """Of sixty files each extends all of the ones before it, which makes two thousand merges of a large one."""
    (tmp_path / "f0.yaml").write_text(SPEC + "paths: {" + ", ".join(f"p{i}: x" for i in range(3000)) + "}\n")
    for i in range(1, 60):
        (tmp_path / f"f{i}.yaml").write_text(f"extends: [{', '.join(f'f{j}.yaml' for j in range(i))}]\n")
    said = refused(tmp_path, "extends: f59.yaml\n")
    assert re.search(r"f\d+\.yaml:1:\d+: extends: more than 1000000 values are merged; extend fewer files", said)


def test_many_large_files(tmp_path: Path) -> None:
    for i in range(8):
        (tmp_path / f"f{i}.yaml").write_text("a: [" + "1, " * 9900 + "]\n")
    said = refused(tmp_path, f"extends: [{', '.join(f'f{i}.yaml' for i in range(8))}]\n" + SPEC)
    assert "spec.yaml:1:56: extends: all files together have more than 50000 values" in said


def _numbers(end: int) -> str:
    return f"[{', '.join(map(str, range(1, end)))}]"


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        (
            f"matrix: {{{', '.join(f'{name}: {_numbers(40)}' for name in ('epochs', 'batch_size', 'seed_x', 'y', 'z'))}}}",
            "stages.test.matrix: 90224199 stages; at most 256",
        ),
        (f"matrix: {{epochs: {_numbers(5000)}}}", "4999 stages; at most 256"),
        (
            f"matrix: {{{', '.join(f'k{i}: [1]' for i in range(4000))}}}",
            "spec.yaml:4:66: stages.test.matrix: 4000 keys; at most 31, because each is part of stage names",
        ),
        (f"matrix: {{description: ['{'-' * 9999}', b]}}", "a value is longer than 64 characters"),
        (
            f"matrix: {{epochs: {_numbers(200)}}}, published: {{{', '.join(f'm{i}: 1' for i in range(1000))}}}",
            "199 stages hold more than 50000 values",
        ),
    ],
    ids=["multiplies", "long list", "many keys", "long texts", "large stage"],
)
def test_matrix(fields: str, says: str, tmp_path: Path) -> None:
    assert says in refused(tmp_path, SPEC.replace("epochs: 1", fields))


def test_many_matrices(tmp_path: Path) -> None:
    values = ", ".join(map(str, range(1, 200)))
    stage = f"{{kind: finetune, task: retrieval, dataset: pics, batch_size: 2, matrix: {{epochs: [{values}]}}}}"
    said = refused(tmp_path, SPEC + "\n".join(f"  s{i}: {stage}" for i in range(20)) + "\n")
    assert "stages: more than 1000 stages" in said


def test_chain_of_stages(tmp_path: Path) -> None:
    """Each starts from the one before it; only the last one is wrong."""
    stage = "kind: finetune, task: retrieval, dataset: pics, epochs: 1, batch_size: 2"
    stages = [f"  s{i}: {{{stage}, init_from: {f's{i - 1}' if i else 'test'}}}" for i in range(700)]
    said = refused(tmp_path, SPEC + "\n".join([*stages, f"  last: {{{stage}, init_from: s700}}", ""]))
    assert "stages.last.init_from: no stage 's700'" in said


def test_override_that_expands(tmp_path: Path) -> None:
    bomb = "[" + ", ".join(["&a0 [l, l, l, l]", *(f"&a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 9))]) + "]"
    assert "expands to more than 10000 values" in refused(tmp_path, SPEC, f"model={bomb}")


def test_override_of_a_deep_field(tmp_path: Path) -> None:
    assert "more than 64 names inside each other" in refused(tmp_path, SPEC, f"model.{'a.' * 3000}b=1")


def test_index_of_many_digits(tmp_path: Path) -> None:
    text = SPEC + "extensions: []\n"
    assert "is not an index in it" in refused(tmp_path, text, f"extensions.{'9' * 5000}=1")
    assert "${extensions.999" in refused(tmp_path, text + f"seed: ${{extensions.{'9' * 5000}}}\n")


def test_long_words(tmp_path: Path) -> None:
    said = refused(tmp_path, SPEC + "? " + "x" * 100_000 + "\n: 1\n")
    assert "unknown field; known: behaviour, cluster" in said
    said = refused(tmp_path, SPEC.replace("dataset: pics", f"dataset: {'pics' * 20_000}"))
    assert "no dataset 'picspics" in said
