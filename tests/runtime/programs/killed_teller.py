"""A runtime that tells events until it is killed; prints each number that was given, and `ready` once it runs.

It tells as many as each line of stdin says, then prints `told`; at `0` it waits until all are durable first.
"""

import os
import sys
from pathlib import Path
from typing import Any

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
            if int(line) == 0:
                wait_kept(runtime)
            say("told")


def wait_kept(runtime: Runtime) -> None:
    """Wait until every event of `runtime` is durable."""
    writer: Any = runtime.whereis("/system/events")
    actor = writer.incarnation().actor
    while actor._doing.name != "RESTING" or actor._keeping.journal.last() < actor._keeping._hub.last:
        os.sched_yield()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
