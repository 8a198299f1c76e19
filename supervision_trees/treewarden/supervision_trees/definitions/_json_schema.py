"""The file format as JSON Schema, so that editors complete and check definitions while they are written."""

from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from treewarden.supervision_trees.definitions._schema import TREE

__all__ = ["schema"]


class _JsonSchema(GenerateJsonSchema):
    """Leaves null out: in a file a field that is not wanted is left out, and null is refused."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        if schema.get("default", ...) is None:
            return self.generate_inner(schema["schema"])
        return super().default_schema(schema)


def schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of a definition file, for editors.

    It is a little more lenient than `load_definition`, which also knows what concerns several
    fields, other children and the machine. A fresh value at each call.
    """
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **TREE.json_schema(by_alias=True, schema_generator=_JsonSchema),
        "title": "Treewarden tree definition",
    }
