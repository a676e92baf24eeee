"""Google's published schemas as facts: which fields a resource has, and of what type."""

import json
import re
from pathlib import Path
from typing import Any

_DOCUMENTS = json.loads((Path(__file__).parent / "google_schemas.json").read_text("utf-8"))[
    "documents"
]


def problems(document: str, schema: str, value: Any) -> list[str]:
    """Return what Google would not understand in ``value``, each with its path."""
    return list(_object(_DOCUMENTS[document]["schemas"], schema, value, schema))


def _object(schemas: dict[str, Any], schema: str, value: Any, path: str) -> list[str]:
    if not isinstance(value, dict):
        return [f"{path} is no object"]
    fields = schemas[schema]
    found = []
    for name, inner in value.items():
        if name not in fields:
            found.append(f"{path} has no {name}")
        else:
            found += _value(schemas, fields[name], inner, f"{path}.{name}")
    return found


def _value(schemas: dict[str, Any], kind: dict[str, Any], value: Any, path: str) -> list[str]:
    if "ref" in kind:
        return _object(schemas, kind["ref"], value, path)
    if "items" in kind:
        if not isinstance(value, list):
            return [f"{path} is no list"]
        return [
            problem
            for place, item in enumerate(value)
            for problem in _value(schemas, kind["items"], item, f"{path}[{place}]")
        ]
    if "values" in kind:
        if not isinstance(value, dict):
            return [f"{path} is no object"]
        return [
            problem
            for key, item in value.items()
            for problem in _value(schemas, kind["values"], item, f"{path}.{key}")
        ]
    return [] if _fits(kind, value) else [f"{path} cannot be {value!r}"]


def _fits(kind: dict[str, Any], value: Any) -> bool:
    if "enum" in kind:
        return value in kind["enum"]
    if kind.get("format") == "google-duration":
        return isinstance(value, str) and re.fullmatch(r"\d+s", value) is not None
    if kind.get("format") in ("int32", "int64") and not isinstance(value, bool):
        return isinstance(value, int)
    types: dict[str, type | tuple[type, ...]] = {
        "string": str,
        "boolean": bool,
        "number": (int, float),
        "integer": int,
        "object": dict,
    }
    return isinstance(value, types[kind["type"]])
