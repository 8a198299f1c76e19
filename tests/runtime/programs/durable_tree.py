"""A runtime with one durable actor: prints what it restored, then takes numbers on stdin and prints each once durable."""

import sys
from pathlib import Path

from treewarden.actors import Actor, ChildSpec, Durability
from treewarden.supervision_trees import Runtime, Supervisor


class Tally(Actor):
    """Keeps the numbers it was told, durably."""

    durability = Durability.NONE

    snapshot_schema = "tally"

    def __init__(self) -> None:
        super().__init__()
        self.numbers: list[int] = []

    def on_receive(self, message: int | None) -> list[int]:
        """Keep a number; answer with all of them."""
        if message is not None:
            self.numbers.append(message)
            self.context.persist()
        return self.numbers

    def snapshot(self) -> list[int]:
        """All numbers."""
        return self.numbers

    def restore(self, state: list[int]) -> None:
        """Take them back."""
        self.numbers = state


def main(state_dir: Path) -> None:
    """Serve stdin until it ends."""
    tree = ChildSpec.of(Supervisor, children=[ChildSpec.of(Tally, id="tally")], id="dev")
    with Runtime.start(tree, state_dir=state_dir) as runtime:
        tally = runtime.address("/dev/tally")
        print(tally.ask(None), flush=True)
        for line in sys.stdin:
            print(tally.ask(int(line)), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
