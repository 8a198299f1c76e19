"""A supervised counter: it crashes on bad input, and its supervisor starts a fresh one."""

import time

from treewarden.actors import Actor, ChildSpec
from treewarden.supervision_trees import Runtime, Supervisor


class Counter(Actor):
    """Adds what it is told and answers with the sum."""

    def __init__(self, start: int = 0) -> None:
        super().__init__()
        self.count = start

    def on_receive(self, message: str) -> int:
        """Add `message`; anything that is no number crashes the actor."""
        self.count += int(message)
        return self.count


def main() -> None:
    """Count, crash, count again."""
    tree = ChildSpec.of(Supervisor, children=[ChildSpec.of(Counter, 3, id="counter")], id="dev")
    with Runtime.start(tree) as runtime:
        counter = runtime.supervisor("/dev").rows()[0].ref
        assert counter is not None
        print("3 + 4 =", counter.ask("4"))
        counter.tell("four")  # no number: the actor crashes, its supervisor starts another
        print("it ended:", type(counter.wait_stopped(timeout=5)).__name__)
        while (fresh := runtime.whereis("/dev/counter")) is None:  # until its supervisor reports it running
            time.sleep(0.001)
        print("fresh, + 4 =", fresh.ask("4"))


if __name__ == "__main__":
    main()
