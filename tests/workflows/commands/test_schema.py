"""What `cosa schema` shows agrees with what specs accept."""

import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import yaml
from annotated_types import Gt
from jsonschema import Draft202012Validator
from pydantic import create_model

from cosa.errors import UserError
from cosa.objectives.all_objectives import OBJECTIVES, PRETRAINING
from cosa.section import OneOf, Section
from workflows.commands import schema as schema_command
from workflows.commands.schema import json_schema, sections, show_schema
from workflows.commands.type_words import words_of_field
from workflows.spec.load import load_spec
from workflows.spec.stage_kinds import STAGE_KINDS

EXPERIMENTS = Path(__file__).parents[3] / "experiments"


@pytest.mark.parametrize("name", sections())
def test_every_field_is_explained(name: str) -> None:
    model = sections()[name]
    assert model.__doc__
    unexplained = {field for field, info in model.model_fields.items() if not info.description}
    explained_elsewhere = {"vision", "text"}  # under their own names
    assert unexplained - explained_elsewhere - {"kind"} == set()


def test_all_sections_are_shown(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    show_schema(None, as_json=False)
    shown = capsys.readouterr().out
    for name, model in sections().items():
        assert f"\n{name}" in f"\n{shown}"
        assert all(f"  {field}" in shown for field in model.model_fields)
    assert all(OBJECTIVES[name].title in shown for name in PRETRAINING)


def test_one_section(capsys: pytest.CaptureFixture[str]) -> None:
    show_schema("extract", as_json=False)
    shown = capsys.readouterr().out
    assert "jpeg_quality" in shown
    assert "zero_shot_first" not in shown


@pytest.mark.parametrize(
    ("field", "section"), [("datasets", "dataset"), ("splits", "split"), ("corpora", "corpus"), ("vision", "model.vision")]
)
def test_a_field_of_sections_leads_to_their_fields(
    field: str, section: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    show_schema(field, as_json=False)
    assert capsys.readouterr().out.splitlines()[-1] == f"  its own fields: cosa schema {section}"
    assert section in sections()


def test_what_is_no_field_of_a_section(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    show_schema("stages", as_json=False)
    show_schema("extends", as_json=False)
    stages, extends = capsys.readouterr().out.splitlines()
    assert all(kind in stages for kind in STAGE_KINDS)
    assert extends.startswith("extends: path, or list of paths")
    with pytest.raises(UserError, match="did you mean 'stages'"):
        show_schema("stage", as_json=False)


def test_names_of_a_table_are_shown_as_the_choices_of_a_field(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Colours(Section):
        """Of a test."""

        one: Annotated[str, OneOf(["red", "blue"])]
        maybe: Annotated[str, OneOf(["red", "blue"])] | None = None
        several: tuple[Annotated[str, OneOf(["red", "blue"])], ...] = ()

    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.setattr(schema_command, "sections", lambda: {"colours": Colours})
    show_schema("colours", as_json=False)
    shown = capsys.readouterr().out.splitlines()[1:4]
    assert [line.strip() for line in shown] == [
        "one  red or blue  required", "maybe  red or blue or null", "several  list of red or blue  []",
    ]  # fmt: skip


def test_a_sweep_says_that_its_keys_are_fields_of_the_stage(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    show_schema("sweep", as_json=False)
    shown = capsys.readouterr().out
    assert "  Any other key is a field of the stage, with a list of values, as in learning_rate: [1e-5, 3e-5]" in shown
    assert "  trials  integer or null\n" in shown
    assert '  search  grid, random or optuna  "grid"\n' in shown


@pytest.mark.parametrize(
    ("type_", "words"),
    [
        (int | None, "integer or null"),
        (tuple[float, ...], "list of numbers"),
        (tuple[float, float] | None, "list of 2 numbers or null"),
        (dict[str, tuple[str, ...]], "mapping of names to lists of texts"),
        (Annotated[int, Gt(0)] | Literal["all"], "integer or all"),
        (dict[str, Section], "mapping of names to sections"),
        (list[bool], "list of true or false"),
        (Path | None, "value or null"),
        (dict[str, Any], "mapping of names to any values"),
    ],
)
def test_types_in_words(type_: Any, words: str) -> None:
    assert words_of_field(create_model("Of a test", field=(type_, ...)).model_fields["field"]) == words


def test_no_field_of_a_spec_has_a_type_without_words() -> None:
    words = {
        f"{name}.{field}": words_of_field(info)
        for name, model in sections().items()
        for field, info in model.model_fields.items()
    }
    assert {field: said for field, said in words.items() if re.search(r"\bvalues?\b(?<!any values)|[\[\]]", said)} == {}


def test_unknown_section() -> None:
    with pytest.raises(UserError, match="no section or field 'evalute'; did you mean 'evaluate'"):
        show_schema("evalute", as_json=False)
    with pytest.raises(UserError, match="no section or field 'captioning', but a value of task: cosa schema task"):
        show_schema("captioning", as_json=False)


def test_json_schema(capsys: pytest.CaptureFixture[str]) -> None:
    show_schema(None, as_json=True)
    schema = json.loads(capsys.readouterr().out)
    assert schema == json.loads(json.dumps(json_schema()))
    kinds = [
        branch["if"]["properties"]["kind"]["const"]
        for branch in schema["properties"]["stages"]["additionalProperties"]["allOf"]
    ]
    assert kinds == list(STAGE_KINDS)


def test_an_editor_accepts_the_specs_and_marks_mistakes() -> None:
    schema = json.loads((EXPERIMENTS / "spec.schema.json").read_text())
    assert schema == json.loads(json.dumps(json_schema())), "run: cosa schema --json > experiments/spec.schema.json"
    Draft202012Validator.check_schema(schema)
    editor = Draft202012Validator(schema)
    for file in sorted(EXPERIMENTS.rglob("*.yaml")):
        first = file.read_text(encoding="utf-8").splitlines()[0]
        assert (file.parent / first.removeprefix("# yaml-language-server: $schema=")).samefile(EXPERIMENTS / "spec.schema.json")
        assert list(editor.iter_errors(yaml.safe_load(file.read_text(encoding="utf-8")))) == [], file
    good = {"name": "a", "stages": {"b": {"kind": "extract", "dataset": "c", "fps": "${env:FPS}"}}}
    assert editor.is_valid(good)
    for field, value in (("fsp", 4), ("fps", "four"), ("jpeg_quality", 101)):
        assert not editor.is_valid({"name": "a", "stages": {"b": {**good["stages"]["b"], field: value}}})
    assert not editor.is_valid({"nam": "a", "stages": {}})
    assert not editor.is_valid({"stages": {}})
    assert editor.is_valid({"extends": "other.yaml"})


def test_a_field_is_found_wherever_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    show_schema("learning_rate", as_json=False)
    shown = capsys.readouterr().out
    assert "in pretrain, finetune:\n  learning_rate  number  0.0001\n      peak learning rate\n" in shown
    show_schema("stages.test.rerank", as_json=False)
    assert "rerank  integer  50" in capsys.readouterr().out
    with pytest.raises(UserError, match="did you mean 'learning_rate'"):
        show_schema("lr", as_json=False)


@pytest.mark.parametrize("name", sections())
def test_nothing_is_cut_in_a_narrow_terminal(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    show_schema(name, as_json=False)
    shown = capsys.readouterr().out
    assert "…" not in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_json_schema_names_every_definition_that_it_uses() -> None:
    text = json.dumps(json_schema())
    used = {part.split('"')[0] for part in text.split("#/$defs/")[1:]}
    assert used <= set(json_schema()["$defs"])


def test_specs_use_only_fields_of_the_schema() -> None:
    schema = json_schema()
    for file in sorted(EXPERIMENTS.glob("*/*.yaml")):
        if file.parent.name == "base":
            continue
        source = load_spec(file, environment={}).source
        assert source is not None
        data = source.plain()
        assert set(data) <= set(schema["properties"])
        for stage in data["stages"].values():
            assert set(stage) <= set(schema["$defs"][STAGE_KINDS[stage["kind"]].section.__name__]["properties"])
