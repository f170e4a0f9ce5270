from typing import Annotated, Any

import pytest
from pydantic import Field, ValidationError

from cosa.section import OneOf, Section, added_later, no_effect

TABLE = {"one": 1, "two": 2}


class Old(Section):
    a: int = 1
    speed: int = no_effect(2)


class New(Old):
    later: int = added_later(3)
    names: tuple[Annotated[str, OneOf(TABLE)], ...] = Field(("one",))


def test_a_field_that_was_added_later_is_written_only_when_it_is_used() -> None:
    assert "later" not in New().model_dump()
    assert "later" not in New(later=3).model_dump(mode="json")
    assert New(later=4).model_dump()["later"] == 4
    assert New.model_validate(New(later=4).model_dump()) == New(later=4)
    assert New.model_validate_json(New().model_dump_json()) == New()


class Numbers(Section):
    count: Annotated[int, Field(ge=0)] = 1
    share: float | None = None
    either: bool | float = 0.5
    anything: Any = None


@pytest.mark.parametrize("field", ["count", "share"])
@pytest.mark.parametrize("value", [True, False])
def test_true_and_false_are_no_numbers(field: str, value: bool) -> None:
    with pytest.raises(ValidationError, match="expected a number"):
        Numbers.model_validate({field: value})


def test_true_and_false_stay_where_they_may_be() -> None:
    assert Numbers(either=True, anything=False).model_dump() == {"count": 1, "share": None, "either": True, "anything": False}


def test_a_name_has_to_stand_in_the_table_when_it_is_validated(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValidationError, match=r"Input should be 'one', 'two'") as caught:
        New(names=("three",))
    assert caught.value.errors()[0]["type"] == "literal_error"
    monkeypatch.setitem(TABLE, "three", 3)
    assert New(names=("three",)).names == ("three",)
    with pytest.raises(ValidationError, match="Input should be"):
        New.model_validate({"names": [3]})


def test_the_schema_lists_the_table() -> None:
    assert New.model_json_schema()["properties"]["names"]["items"]["enum"] == ["one", "two"]
