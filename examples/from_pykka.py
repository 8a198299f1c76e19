"""From pykka to a tree, a step at a time: the class of pykka's users stays as it is, but for its base."""

import time

import pykka

from treewarden.actors import Actor, ChildSpec
from treewarden.supervision_trees import Runtime, Supervisor


class Plain(pykka.ThreadingActor):
    """Before: pykka's own actor."""

    def __init__(self, start: int = 0) -> None:
        super().__init__()
        self.count = start

    def add(self, number: int) -> int:
        """Add `number`."""
        self.count += number
        return self.count


class Counter(Actor):
    """After: another base class, and nothing else."""

    def __init__(self, start: int = 0) -> None:
        super().__init__()
        self.count = start

    def add(self, number: int) -> int:
        """Add `number`."""
        self.count += number
        return self.count


def main() -> None:
    """Take the steps one after the other."""
    # Step 1: another base class. `start`, proxies and futures are as they were.
    for actor_class in (Plain, Counter):
        counter = actor_class.start(3).proxy()
        print(f"{actor_class.__name__}: 3 + 4 =", counter.add(4).get())

    # Step 2: a supervisor. The same class is described, not started, and a crash is not the end.
    tree = ChildSpec.of(Supervisor, children=[ChildSpec.of(Counter, 3, id="counter")], id="dev")
    with Runtime.start(tree) as runtime:
        counters = pykka.ActorRegistry.get_by_class(Counter)
        print("pykka's registry knows", ", ".join(str(ref) for ref in counters))
        supervised = runtime.whereis("/dev/counter")
        assert supervised is not None
        supervised.proxy().add.defer("four")  # no number: it crashes, and its supervisor starts another
        supervised.wait_stopped(timeout=5)
        while (fresh := runtime.whereis("/dev/counter")) is None:  # until its supervisor reports it running
            time.sleep(0.001)
        print("restarted: 3 + 4 =", fresh.proxy().add(4).get())

        # pykka's way to end: all of them, the last started first, the tree as one.
        print("stopped:", pykka.ActorRegistry.stop_all())


if __name__ == "__main__":
    main()
