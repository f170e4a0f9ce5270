"""What `cosa schema` shows agrees with what specs accept."""

import json
from pathlib import Path
from typing import Annotated

import pytest

from cosa.errors import UserError
from cosa.objectives.all_objectives import OBJECTIVES, PRETRAINING
from cosa.section import OneOf, Section
from workflows.commands import schema as schema_command
from workflows.commands.schema import json_schema, sections, show_schema
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
    assert all("['red', 'blue']" in line for line in shown)
    assert "tuple[['red', 'blue'], ...]" in shown[2]


def test_unknown_section() -> None:
    with pytest.raises(UserError, match="no section 'evalute'; did you mean 'evaluate'"):
        show_schema("evalute", as_json=False)


def test_json_schema(capsys: pytest.CaptureFixture[str]) -> None:
    show_schema(None, as_json=True)
    schema = json.loads(capsys.readouterr().out)
    assert schema == json.loads(json.dumps(json_schema()))
    assert {"name", "stages"} <= set(schema["required"])
    kinds = [
        branch["if"]["properties"]["kind"]["const"]
        for branch in schema["properties"]["stages"]["additionalProperties"]["allOf"]
    ]
    assert kinds == list(STAGE_KINDS)


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
