"""How the state of an actor is kept between its orderly ends: one of three classes of durability.

Pure. What each class costs and promises is docs/decisions/0022; `_kept` carries it out.
"""

import enum
from typing import final

__all__ = ["Durability"]


@final
class Durability(enum.Enum):
    """When the state of a durable actor is written. In every class `persist()` and an orderly end write too."""

    SNAPSHOT = "snapshot"
    """After each message that changed it. What the actor says leaves only once that is on disk."""

    JOURNAL = "journal"
    """As entries that the actor records, with a snapshot now and then. What it says leaves once they are on disk."""

    NONE = "none"
    """Only when the actor asks for it. What it says leaves at once."""
