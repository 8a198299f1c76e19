"""A durable counter: its sum outlives a crash of the actor and the end of the runtime."""

import tempfile
import time
from typing import Any, ClassVar

from treewarden.actors import Actor, ChildSpec
from treewarden.supervision_trees import Runtime, Supervisor


class Counter(Actor):
    """Adds what it is told; answers with the sum once that is on disk."""

    snapshot_version: ClassVar[int] = 2
    snapshot_schema: ClassVar[str | None] = "example.counter"  # a name of its own, so the class may move

    def __init__(self) -> None:
        super().__init__()
        self.sum, self.added = 0, 0

    def on_receive(self, message: str) -> int:
        """Add `message`; anything that is no number crashes the actor."""
        self.sum += int(message)
        self.added += 1
        return self.sum  # heard once the new state is on disk: it survives kill -9

    def snapshot(self) -> dict[str, int]:
        """All that `restore` needs, as plain values."""
        return {"sum": self.sum, "added": self.added}

    def restore(self, state: dict[str, int]) -> None:
        """Take the state of an earlier life in; runs before `on_start`."""
        self.sum, self.added = state["sum"], state["added"]

    def migrate(self, state: Any, from_version: int) -> Any:
        """Version 1 stored the sum alone."""
        return {"sum": state, "added": 0} if from_version == 1 else state


def main() -> None:
    """Count, crash, go on; end the runtime, start another, go on."""
    tree = ChildSpec.of(Supervisor, children=[ChildSpec.of(Counter, id="counter")], id="dev")
    with tempfile.TemporaryDirectory() as state_dir:
        with Runtime.start(tree, state_dir=state_dir) as runtime:
            counter = runtime.whereis("/dev/counter")
            assert counter is not None
            print("0 + 3 =", counter.ask("3"))
            counter.tell("four")  # no number: the actor crashes, its supervisor starts another
            counter.wait_stopped(timeout=5)
            while (fresh := runtime.whereis("/dev/counter")) is None:  # until its supervisor reports it running
                time.sleep(0.001)
            print("after a crash, + 4 =", fresh.ask("4"))
        with Runtime.start(tree, state_dir=state_dir) as runtime:
            print("in the next runtime, + 5 =", runtime.address("/dev/counter").ask("5"))


if __name__ == "__main__":
    main()
