"""Says in the words of somebody who writes YAML which values a field takes: "number or null", "list of texts"."""

from __future__ import annotations

import types
from collections.abc import Collection, Iterable, Mapping
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from cosa.section import OneOf

SCALARS: dict[Any, tuple[str, str]] = {  # one of them, and several
    bool: ("true or false", "true or false"),
    int: ("integer", "integers"),
    float: ("number", "numbers"),
    str: ("text", "texts"),
    Any: ("any value", "any values"),
}


def words_of_field(field: FieldInfo) -> str:
    """Return which values a field takes."""
    return _words(Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation)


def sections_in(of: Any) -> list[type[BaseModel]]:
    """Return the sections that a type is made of."""
    if isinstance(of, type) and issubclass(of, BaseModel):
        return [of]
    return [section for argument in get_args(of) for section in sections_in(argument)]


def _words(of: Any, *, several: bool = False) -> str:
    """Return which values a type stands for. several: of which there is a list."""
    if of in SCALARS:
        return SCALARS[of][several]
    origin, arguments = get_origin(of), get_args(of)
    if origin is Annotated:
        tables = [entry for entry in arguments[1:] if isinstance(entry, OneOf)]
        return _one_of(tables[0].table) if tables else _words(arguments[0], several=several)
    if origin is Literal:
        return _one_of(arguments)
    if origin in (Union, types.UnionType):
        return _either(arguments, several=several)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return f"mapping of names to {_words(arguments[1], several=True)}"
    if isinstance(origin, type) and issubclass(origin, Collection):
        items = [argument for argument in arguments if argument is not Ellipsis]
        fixed = origin is tuple and Ellipsis not in arguments
        return f"list{'s' if several else ''} of {f'{len(items)} ' if fixed else ''}{_words(items[0], several=True)}"
    if isinstance(of, type) and issubclass(of, BaseModel):
        return "sections" if several else "section"
    return "values" if several else "value"


def _either(types_: Iterable[Any], *, several: bool) -> str:
    """Return the words of a union, in which null comes last."""
    words = list(dict.fromkeys(_words(one, several=several) for one in types_ if one is not types.NoneType))
    return " or ".join([*words, *(["null"] if types.NoneType in types_ else [])])


def _one_of(choices: Iterable[Any]) -> str:
    *others, last = map(str, choices)
    return f"{', '.join(others)} or {last}" if others else last
