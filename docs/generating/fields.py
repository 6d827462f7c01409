"""What pages say of the fields of a struct: their types, by way of the JSON schema, and their defaults."""

from __future__ import annotations

from typing import Any

import msgspec


def type_of(kind: Any) -> str:
    """A type in words."""
    schema = msgspec.json.schema(kind)
    return schema_type(schema.get("$defs", {}).get(schema.get("$ref", "").rpartition("/")[2], schema))


def schema_type(schema: dict[str, Any]) -> str:
    """The type that a JSON schema means, in words."""
    if "anyOf" in schema:
        return " or ".join(schema_type(each) for each in schema["anyOf"] if each.get("type") != "null")
    if "enum" in schema:
        return ", ".join(f"`{each}`" for each in schema["enum"] if each is not None)
    if "prefixItems" in schema:
        return f"array of {len(schema['prefixItems'])}: " + ", ".join(
            schema_type(each) for each in schema["prefixItems"]
        )
    if schema.get("type") == "array":
        return f"array of {schema_type(schema.get('items', {})) or 'anything'}"
    words = {"object": "table", "": "anything"}
    text = words.get(schema.get("type", ""), schema.get("type", ""))
    return text + _bounds(schema)


def _bounds(schema: dict[str, Any]) -> str:
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    return "".join(f" {sign} {schema[name]}" for name, sign in signs.items() if name in schema)


def default_of(field: msgspec.structs.FieldInfo) -> Any:
    """The default of a field that is not required."""
    if field.default_factory is not msgspec.NODEFAULT:
        return field.default_factory()
    return field.default
