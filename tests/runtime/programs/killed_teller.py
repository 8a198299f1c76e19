"""A runtime that tells events until it is killed; prints each number that was given, and `ready` once it runs."""

import os
import sys
from pathlib import Path

from treewarden.actors import Actor, ChildSpec, DeadLetter
from treewarden.supervision_trees import RecordedEvent, Runtime, Supervisor


class Teller(Actor):
    """Emits as many events as it is told."""

    def on_receive(self, message: int) -> None:
        """Emit that many."""
        for number in range(message):
            self.context.system.events.emit(DeadLetter(self.context.path, f"letter {number}"))


def say(line: str) -> None:
    """Print a line in one piece, whatever thread prints the next one."""
    os.write(1, f"{line}\n".encode())


def show(recorded: RecordedEvent) -> None:
    """Print the number of an event."""
    say(str(recorded.sequence))


def main(state_dir: Path) -> None:
    """Serve stdin: how many events to tell."""
    tree = ChildSpec.of(Supervisor, children=[ChildSpec.of(Teller, id="teller")], id="dev")
    with Runtime.start(tree, state_dir=state_dir, events=show) as runtime:
        say("ready")
        for line in sys.stdin:
            runtime.address("/dev/teller").ask(int(line))
            say("told")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
