"""YAML and the errors in it: one line for each value that is not accepted.

A file is read as DVC reads it: YAML 1.2 by ruamel.yaml, so that `010` is ten for both, `1e-7` is a
number, and a duplicate key is rejected.
"""

import datetime
import re
import reprlib
from collections.abc import Mapping
from typing import Any, get_args

from pydantic import BaseModel
from ruamel.yaml import YAML, YAMLError
from ruamel.yaml.constructor import DuplicateKeyError, SafeConstructor
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode

from descent.addresses import public_url
from descent.errors import UsageError


class InvalidParams(UsageError):
    """params.yaml is not valid; the text has one line per error: the key, its value, what is accepted."""


def printable(text: str) -> str:
    """Replace characters that a terminal does not print, such as escape sequences, by their codes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class _Constructor(SafeConstructor):
    """Rejects keys that are read as something else than text, and names the line of an unreadable value."""

    def construct_object(self, node: Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ValueError, KeyError, OverflowError):  # `!!bool x`, a 13th month, 5,000 digits
            value = _shortened(str(node.value))
            raise _at(node, f"{value!r} cannot be read as {_kind(node)}") from None

    def construct_mapping(self, node: Node, deep: bool = False) -> Any:
        for key, _ in node.value if isinstance(node, MappingNode) else ():
            if not isinstance(key, ScalarNode):
                raise _at(key, f"the key is {_kind(key)}, not text")
            if _kind(key) not in ("a str", "a merge"):
                name = _shortened(key.value)
                raise _at(key, f'the key {name} is {_kind(key)}, not text; it needs quotes: "{name}"')
            if re.search("[\ud800-\udfff]", key.value):
                raise _at(key, "the key has half of a surrogate pair")
        return super().construct_mapping(node, deep)


def _at(node: Node, reason: str) -> InvalidParams:
    return InvalidParams(printable(f"line {node.start_mark.line + 1}: {reason}"))


def _kind(node: Node) -> str:
    kinds = {"int": "a number", "float": "a number", "bool": "a boolean", "null": "nothing", "seq": "a list"}
    tag = str(node.tag).rpartition(":")[2]
    return kinds.get(tag, "a date" if tag == "timestamp" else f"a {tag}")


def load_yaml(text: str) -> Any:
    """Parse YAML as DVC does."""
    yaml = YAML(typ="safe")
    yaml.Constructor = _Constructor
    try:
        return yaml.load(text)
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        problem = getattr(error, "problem", None) or str(error).partition("\n")[0]
        if isinstance(error, DuplicateKeyError):
            problem = problem.partition(" with value")[0]
        place = f"line {mark.line + 1}: " if mark else ""
        reason = f"{place}is not YAML: {' '.join(problem.split())}"
    except RecursionError:
        reason = "is not YAML: nested too deeply"
    except ValueError as error:  # a character that does not exist
        reason = f"is not YAML: {error}"
    raise InvalidParams(printable(reason))


def _shortened(key: str) -> str:
    return key if len(key) <= 64 else f"{key[:61]}..."


def describe_error(error: Mapping, schema: type[BaseModel]) -> str:
    """Describe what is not accepted in one line; `error` is an entry of `ValidationError.errors`."""
    is_key = error["loc"][-1:] == ("[key]",)
    keys = error["loc"][:-2] if is_key else error["loc"]
    name = ".".join(_shortened(str(key)) for key in keys)
    section, accepted = _expected(keys, schema)
    if error["type"] == "missing":
        return f"{name}: is missing; accepted: {accepted}"
    if error["type"] == "extra_forbidden":
        return f"{name}: is not a known key; accepted: {', '.join(section.model_fields)}"
    return rejection(name or "the file", error["input"], accepted) + _quotes(error["type"], error["input"])


def _quotes(error_type: str, value: Any) -> str:
    """Say where quotes are missing, and where there should be none."""
    if error_type == "string_type" and (value is None or isinstance(value, int | float | datetime.date)):
        return "; text needs quotes here"
    if isinstance(value, str) and re.fullmatch(r"[+-]?[\d.]+(e[+-]?\d+)?", value, re.I):
        return "; a number has no quotes"
    return ""


def rejection(name: str, value: Any, accepted: str) -> str:
    """Say in a line that a value is not accepted, without the secrets of a URL."""
    shown = reprlib.Repr()
    shown.maxstring = shown.maxother = shown.maxlong = 60
    shown.maxlist = shown.maxdict = 8
    text = shown.repr(public_url(value) if isinstance(value, str) and "://" in value else value)
    return f"{name}: {text if len(text) <= 80 else text[:77] + '...'} is not accepted; accepted: {accepted}"


def _expected(location: tuple, section: type[BaseModel]) -> tuple[type[BaseModel], str]:
    """Return the section that `location` lies in, and what is accepted there."""
    field = section.model_fields.get(location[0]) if location else None
    if field is None:
        return section, "a mapping with " + ", ".join(section.model_fields)
    kinds = (field.annotation, *get_args(field.annotation))
    inner = next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None)
    rest = location[1:]
    if inner is None or (field.description and not rest):  # one value, or a dictionary of sections
        return section, str(field.description)
    return _expected(rest[1:] if field.description else rest, inner)  # without the name of its entry
