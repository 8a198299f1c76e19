"""How records of an earlier release become records of this one: one pure step from each version to the next.

The steps of a schema stand in one frozen table. The newest version of a schema is the one its last
step leads to, so a version cannot be raised without its step, and a gap is an error where the table
is made. What is migrated is written back by whoever writes the record next; a step may run any
number of times. A version that is newer than the table knows was written by a newer release: it is
refused by name, and is no damage.

The states of actors are migrated by their own classes; this is for the records of Treewarden itself.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, TypeAlias, final

from treewarden.storage._errors import SchemaUnknown, VersionTooNew

__all__ = ["CHECKPOINT_ROW_SCHEMA", "CHECKPOINT_SCHEMA", "MAILBOX_SCHEMA", "MIGRATIONS", "Migrations", "Step"]

Step: TypeAlias = Callable[[object], object]
"""From the state of one version to that of the next. Pure, and free to return what it was given, unchanged."""


@final
class Migrations:
    """The known schemas, their newest versions, and the ways there.

    Args:
        steps: for each schema the step from each version, 1 first; none for a schema that never changed.

    Raises:
        ValueError: a step is missing between the first and the last.
    """

    def __init__(self, steps: Mapping[str, Mapping[int, Step]]) -> None:
        for schema, of_schema in steps.items():
            missing = set(range(1, max(of_schema, default=0) + 1)) - set(of_schema)
            if missing or any(version < 1 for version in of_schema):
                raise ValueError(
                    f"the steps of {schema!r} start from versions {sorted(of_schema)}, expected each from 1 on"
                )
        self._steps: Final[Mapping[str, tuple[Step, ...]]] = MappingProxyType(
            {schema: tuple(of_schema[version] for version in sorted(of_schema)) for schema, of_schema in steps.items()}
        )

    @property
    def schemas(self) -> frozenset[str]:
        """The names of all known schemas."""
        return frozenset(self._steps)

    def newest(self, schema: str) -> int:
        """The version that this release writes of `schema`.

        Raises:
            SchemaUnknown: there is no such schema.
        """
        if schema not in self._steps:
            raise SchemaUnknown(schema, None)
        return len(self._steps[schema]) + 1

    def migrate(self, schema: str, version: int, state: object) -> tuple[int, object]:
        """The newest version of `schema`, and `state`, which is of `version`, in its shape.

        Raises:
            VersionTooNew: a newer release wrote it.
            SchemaUnknown: no release has written such a schema or version.
        """
        newest = self.newest(schema)
        if version > newest:
            raise VersionTooNew(schema, found=version, known=newest)
        if version < 1:
            raise SchemaUnknown(schema, version)
        for step in self._steps[schema][version - 1 :]:
            state = step(state)
        return newest, state


CHECKPOINT_SCHEMA: Final = "checkpoint"
CHECKPOINT_ROW_SCHEMA: Final = "checkpoint-row"
MAILBOX_SCHEMA: Final = "mailbox"

MIGRATIONS: Final = Migrations(
    {
        CHECKPOINT_SCHEMA: {},
        CHECKPOINT_ROW_SCHEMA: {},
        MAILBOX_SCHEMA: {},
    }
)
"""Those of the schemas that this package reads. Whoever reads others keeps a table of his own."""
