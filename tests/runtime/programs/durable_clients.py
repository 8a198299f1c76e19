"""A runtime with durable actors and clients that ask them all the time: prints each answer's name, until it is killed.

First one line with all that the actors restored, as JSON: what each was told, and what the mirror heard of them.
"""

import json
import os
import sys
import threading
from pathlib import Path
from typing import Any, ClassVar

from treewarden.actors import Actor, Address, ChildSpec, Durability
from treewarden.supervision_trees import Runtime, Supervisor

CLIENTS = 4  # of each actor


class Mirror(Actor):
    """Keeps what it hears."""

    snapshot_schema: ClassVar[str | None] = "mirror"

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def on_receive(self, message: str | None) -> list[str]:
        """Keep a name; answer with all of them."""
        if message is not None:
            self.names.append(message)
        return self.names

    def snapshot(self) -> list[str]:
        """All names."""
        return self.names

    def restore(self, state: list[str]) -> None:
        """Take them back."""
        self.names = state


class Tally(Mirror):
    """Keeps what it is told, and tells the mirror."""

    def on_receive(self, message: str | None) -> Any:
        """Keep a name and answer with it; None asks for all."""
        if message is None:
            return self.names
        self.names.append(message)
        self.context.address("/dev/mirror").tell(message)
        return message


class Ledger(Tally):
    """Does so by a journal."""

    durability = Durability.JOURNAL
    snapshot_every = 20

    def on_receive(self, message: str | None) -> Any:
        """As the tally does."""
        if message is not None:
            self.context.record(message)
        return super().on_receive(message)

    def replay(self, entry: str) -> None:
        """Keep it again."""
        self.names.append(entry)


def serve(actor: Address, name: str) -> None:
    """Ask for ever, and say what was answered."""
    for number in range(1_000_000):
        answer = actor.ask(f"{name}-{number}", timeout=60)
        os.write(1, f"{answer}\n".encode())


def main(state_dir: Path, life: str) -> None:
    """Run until killed."""
    kinds: dict[str, type[Actor]] = {"mirror": Mirror, "tally": Tally, "ledger": Ledger}
    children = [ChildSpec.of(kind, id=name) for name, kind in kinds.items()]
    with Runtime.start(ChildSpec.of(Supervisor, children=children, id="dev"), state_dir=state_dir) as runtime:
        restored = {name: runtime.address(f"/dev/{name}").ask(None) for name in kinds}
        os.write(1, (json.dumps(restored) + "\n").encode())
        clients = [
            threading.Thread(target=serve, args=(runtime.address(f"/dev/{actor}"), f"{actor}-{life}-{client}"))
            for actor in ("tally", "ledger")
            for client in range(CLIENTS)
        ]
        for client in clients:
            client.start()
        for client in clients:
            client.join()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
