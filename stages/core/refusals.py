"""How a fault in params.yaml is told: one line each, with the key, its value and what is accepted."""

from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticCustomError


def refusal(key: str, value: Any, accepted: str) -> PydanticCustomError:
    """A fault found where two values meet, for a model's validator to raise."""
    return PydanticCustomError("refused", "", {"key": key, "value": value, "accepted": accepted})


def refusal_lines(errors: ValidationError, raw: Any, schema: type[BaseModel]) -> list[str]:
    """The faults found in `raw` as lines, each place in the file named once.

    What is accepted is taken from the description of the schema's field at that place.
    """
    lines = {}
    for error in errors.errors():
        keys = _place(error, raw)
        lines.setdefault(keys[:-1] if _of_a_list(keys) else keys, _line(error, keys, raw, schema))
    return list(lines.values())


def _place(error: dict, raw: Any) -> tuple:
    """The keys from the top of the file to the fault, without pydantic's names for union branches."""
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


def _of_a_list(keys: tuple) -> bool:
    return bool(keys) and isinstance(keys[-1], int)


def _line(error: dict, keys: tuple, raw: Any, schema: type[BaseModel]) -> str:
    is_key = error["loc"][-1:] == ("[key]",)
    name = _dotted(keys)
    section, accepted = _expected(error["loc"][:-2] if is_key else error["loc"], schema)
    if error["type"] == "refused":
        context = error["ctx"]
        return _sentence(
            ".".join(filter(None, [name, context["key"]])), context["value"], context["accepted"]
        )
    if error["type"] == "missing":
        return f"{name}: is missing; accepted: {accepted}"
    if error["type"] == "extra_forbidden":
        return f"{name}: is not a known key; accepted: {', '.join(section.model_fields)}"
    if is_key:
        return _sentence(_dotted(keys[:-1]), keys[-1], accepted)
    return _sentence(name or "the file", _at(raw, keys), accepted)


def _dotted(keys: tuple) -> str:
    texts = map(str, keys)
    return ".".join(text if text.isprintable() else repr(text) for text in texts)


def _at(raw: Any, keys: tuple) -> Any:
    for key in keys:
        raw = raw[key]
    return raw


def _sentence(name: str, value: Any, accepted: str) -> str:
    text = repr(value)
    return f"{name}: {text if len(text) <= 80 else text[:77] + '...'} is not accepted; accepted: {accepted}"


def _expected(loc: tuple, schema: type[BaseModel]) -> tuple[type[BaseModel], str]:
    """The section that `loc` lies in, and what is accepted there."""
    section, accepted = schema, _mapping(schema)
    entry = None  # the section that a dictionary of names holds
    for part in loc:
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


def _is_section(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)
