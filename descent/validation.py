"""YAML and the errors in it: one line for each value that is not accepted.

A file is read as DVC reads it: YAML 1.2 by ruamel.yaml, so that `010` is ten for both, `1e-7` is a
number, and a duplicate key is rejected.
"""

import datetime
import itertools
import re
import reprlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, TypeGuard, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticCustomError
from ruamel.yaml import YAML, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode


class InvalidParams(ValueError):
    """params.yaml is not valid; the text has one line per error: the key, its value, what is accepted."""


class Conflict(NamedTuple):
    """A value that does not fit another one."""

    key: str
    value: Any
    accepted: str


def conflicts(*found: Conflict) -> PydanticCustomError:
    """Make the error that a section's validator raises where values do not fit each other."""
    return PydanticCustomError("conflicts", "values do not fit", {"conflicts": found})


def printable(text: str) -> str:
    """Replace characters that a terminal does not print, such as escape sequences, by their codes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def load_yaml(text: str) -> Any:
    """Parse YAML as DVC does.

    Raises:
        InvalidParams: It is no YAML, or a mapping in it has a duplicate key or one that is no text.
    """
    try:
        lines = list(map(printable, _key_errors(YAML(typ="safe").compose(text), "", set())))
        if not lines:
            return YAML(typ="safe").load(text)
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        problem = getattr(error, "problem", None) or str(error).partition("\n")[0]
        place = f"line {mark.line + 1}: " if mark else ""
        raise InvalidParams(f"{place}is not YAML: {' '.join(problem.split())}") from None
    except RecursionError:
        raise InvalidParams("is not YAML: nested too deeply") from None
    except ValueError as error:  # a character that does not exist
        raise InvalidParams(f"is not YAML: {error}") from None
    raise InvalidParams("\n".join(lines))


def _shortened(key: str) -> str:
    return key if len(key) <= 64 else f"{key[:61]}..."


KINDS = {"int": "a number", "float": "a number", "bool": "a boolean", "null": "nothing"}


def _key_errors(node: Node | None, at: str, seen: set[int]) -> Iterator[str]:
    """Describe the duplicate keys and those that are read as something else than text."""
    if id(node) in seen:  # an alias: of a mapping that it is in, say
        return
    seen.add(id(node))
    if isinstance(node, ScalarNode):
        try:
            YAML(typ="safe").constructor.construct_object(node)
        except (ValueError, KeyError, OverflowError):  # `!!bool x`, a 13th month, 5,000 digits
            kind, value = KINDS.get(str(node.tag).rpartition(":")[2], "a date"), _shortened(node.value)
            yield f"line {node.start_mark.line + 1}: {at}: {value!r} cannot be read as {kind}"
    if isinstance(node, SequenceNode):
        for entry in node.value:
            yield from _key_errors(entry, at, seen)
    if not isinstance(node, MappingNode):
        return
    first: dict[str, int] = {}
    for key, value in node.value:
        kind, text, line = key.tag.rpartition(":")[2], str(key.value), key.start_mark.line + 1
        name = (
            f"{at}.{_shortened(text)}".removeprefix(".") if isinstance(key, ScalarNode) else at or "the file"
        )
        if kind not in ("str", "merge"):
            quotes = (
                f'; a name like this needs quotes: "{_shortened(text)}"'
                if isinstance(key, ScalarNode)
                else ""
            )
            yield f"line {line}: {name}: the key is {KINDS.get(kind, f'a {kind}')}, not text{quotes}"
        elif re.search(r"[\ud800-\udfff]", text):
            yield f"line {line}: {name}: the key has half of a surrogate pair"
        elif text in first:
            yield f"line {line}: {name}: the key is there twice, first in line {first[text]}"
        first.setdefault(text, line)
        yield from _key_errors(value, name, seen)


def describe_errors(errors: ValidationError, raw: Any, schema: type[BaseModel]) -> list[str]:
    """Describe the errors in `raw`, one line for each place in the file."""
    lines: dict[tuple, list[str]] = {}
    for error in errors.errors():
        keys = _place(error, raw)
        of_a_list = bool(keys) and isinstance(keys[-1], int)
        lines.setdefault(keys[:-1] if of_a_list else keys, list(_describe(error, keys, raw, schema)))
    return list(itertools.chain.from_iterable(lines.values()))


def _place(error: Mapping, raw: Any) -> tuple:
    """Return the keys from the top of the file to the error, without pydantic's names of union branches."""
    keys, value = [], raw
    for part in error["loc"]:
        if isinstance(value, dict) and part in value:
            value = value[part]
        elif isinstance(value, list) and isinstance(part, int):
            value = value[part]
        elif error["type"] != "missing":
            break
        keys.append(part)
    return tuple(keys)


def _describe(error: Mapping, keys: tuple, raw: Any, schema: type[BaseModel]) -> Iterator[str]:
    is_key = error["loc"][-1:] == ("[key]",)
    name = ".".join(_shortened(str(key)) for key in keys)
    section, accepted = _expected(error["loc"][:-2] if is_key else error["loc"], schema)
    value = raw
    for key in keys if error["type"] != "missing" else ():
        value = value[key]
    if error["type"] == "conflicts":
        for conflict in error["ctx"]["conflicts"]:
            yield _sentence(".".join(filter(None, [name, conflict.key])), conflict.value, conflict.accepted)
    elif error["type"] == "missing":
        yield f"{name}: is missing; accepted: {accepted}"
    elif error["type"] == "extra_forbidden":
        yield f"{name}: is not a known key; accepted: {', '.join(section.model_fields)}"
    elif is_key:
        yield _sentence(".".join(map(str, keys[:-1])), keys[-1], accepted)
    else:
        yield _sentence(name or "the file", value, accepted) + _quotes(error["type"], value)


def _quotes(error_type: str, value: Any) -> str:
    """Say where quotes are missing, and where there should be none."""
    if error_type == "string_type" and (value is None or isinstance(value, int | float | datetime.date)):
        return "; text needs quotes here"
    if error_type in ("int_type", "float_type") and isinstance(value, str):
        return "; a number has no quotes" if re.fullmatch(r"[+-]?[\d.]+(e[+-]?\d+)?", value, re.I) else ""
    return ""


def _sentence(name: str, value: Any, accepted: str) -> str:
    shown = reprlib.Repr()
    shown.maxstring = shown.maxother = shown.maxlong = 60
    shown.maxlist = shown.maxdict = 8
    text = shown.repr(value)
    return f"{name}: {text if len(text) <= 80 else text[:77] + '...'} is not accepted; accepted: {accepted}"


def _expected(location: tuple, schema: type[BaseModel]) -> tuple[type[BaseModel], str]:
    """Return the section that `location` lies in, and what is accepted there."""
    section, accepted = schema, _mapping(schema)
    entry = None  # the section that a dictionary of names holds
    for part in location:
        if entry is not None:
            section, accepted, entry = entry, _mapping(entry), None
            continue
        field = section.model_fields.get(part) if isinstance(part, str) else None
        if field is None:
            continue
        accepted = field.description or accepted
        if _is_section(field.annotation):
            section, accepted = field.annotation, _mapping(field.annotation)
        else:
            entry = next(filter(_is_section, get_args(field.annotation)), None)
    return section, accepted


def _mapping(section: type[BaseModel]) -> str:
    return "a mapping with " + ", ".join(section.model_fields)


def _is_section(annotation: Any) -> TypeGuard[type[BaseModel]]:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)
