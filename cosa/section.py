"""What all settings are made of: pydantic models, which specs are checked with. No torch here."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    SerializerFunctionWrapHandler,
    ValidationError,
    ValidationInfo,
    create_model,
    field_validator,
    model_serializer,
)
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from cosa.errors import UserError

Checked = TypeVar("Checked", bound=BaseModel)
Probability = Annotated[float, Field(ge=0.0, lt=1.0)]


class Section(BaseModel):
    """Base of every configuration model: unknown keys are errors, values never change after validation."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_for_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse true and false where a number is expected: pydantic would take them for 1 and 0."""
        if isinstance(value, bool) and info.field_name is not None:
            kinds = set(_types_in(cls.model_fields[info.field_name].annotation))
            if kinds & {int, float} and not kinds & {bool, Any}:
                raise PydanticCustomError("number", "expected a number")
        return value

    @model_serializer(mode="wrap")
    def _without_later_defaults(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        dumped: dict[str, Any] = dump(self)
        for name, field in type(self).model_fields.items():
            extra = field.json_schema_extra
            later = isinstance(extra, dict) and extra.get("omitted_by_default") is True
            if later and name in dumped and getattr(self, name) == field.get_default(call_default_factory=True):
                del dumped[name]
        return dumped


def _types_in(annotation: Any) -> Iterator[Any]:
    """Yield an annotation, or the members of a union."""
    if get_origin(annotation) is Annotated:
        yield from _types_in(get_args(annotation)[0])
    elif get_origin(annotation) in (Union, UnionType):
        for member in get_args(annotation):
            yield from _types_in(member)
    else:
        yield annotation


def with_fields(section: Any, *settings: Any) -> Any:
    """A section that also has the fields of settings; the section itself, if it has them all.

    Raises:
        UserError: it has a field of that name already that means something else.
    """
    lacking = [one for one in settings if not issubclass(section, one)]
    if not lacking:
        return section
    for one in lacking:
        if (field := redefined_field(one, section)) is not None:
            raise UserError(f"{one.__name__}: {field!r} is a field of the stage already; give yours another name")
    return create_model(section.__name__, __base__=(section, *lacking), __doc__=section.__doc__)


def checked(section: type[Checked], values: Mapping[str, Any], place: str = "") -> Checked:
    """Settings with these values. place: stands before the message.

    Raises:
        UserError: it names the field that is wrong, and its value.
    """
    try:
        return section.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(f"{place}{'.'.join(map(str, first['loc']))}: {first['msg']}, found {first['input']!r}") from error


def fields_of(settings: Iterable[type[BaseModel]]) -> set[str]:
    """Names of the fields of all of these settings."""
    return {field for one in settings for field in one.model_fields}


def redefined_field(settings: type[Section], other: type[Section]) -> str | None:
    """A field that settings define anew though another section has it with another default or type; None if there is none."""
    shared = set(other.__mro__)
    own = {name for base in settings.__mro__ if base not in shared for name in vars(base).get("__annotations__", ())}
    for name in sorted(own & set(other.model_fields)):
        ours, theirs = settings.model_fields[name], other.model_fields[name]
        if (ours.default, ours.annotation) != (theirs.default, theirs.annotation):
            return name
    return None


def no_effect(*default: Any, **keywords: Any) -> Any:
    """A field that does not change what a stage computes: it stays out of fingerprints."""
    return Field(*default, json_schema_extra={"affects_result": False}, **keywords)


def added_later(default: Any, **keywords: Any) -> Any:
    """A field that older results do not know: while it has its default it stays out of what is written, and of fingerprints."""
    return Field(default, json_schema_extra={"omitted_by_default": True}, **keywords)


class OneOf:
    """Says of a text field that it names an entry of a table: `Annotated[str, OneOf(TABLE)]`.

    A `Literal` would be closed when the class is made; this one knows what extensions have registered since.
    """

    def __init__(self, table: Collection[str]):
        self.table = table

    def __get_pydantic_core_schema__(self, _: Any, __: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self._checked)

    def __get_pydantic_json_schema__(self, _: CoreSchema, __: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"type": "string", "enum": list(self.table)}

    def __repr__(self) -> str:
        return ", ".join(repr(name) for name in self.table)

    def _checked(self, value: Any) -> str:
        if isinstance(value, str) and value in self.table:
            return value
        raise PydanticCustomError("literal_error", "Input should be {expected}", {"expected": repr(self)})
