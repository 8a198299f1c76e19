"""Children that come and go: agents on demand, counters spread by key, and tasks that may fail."""

from treewarden.actors import Actor, ChildSpec, Intensity, Restart
from treewarden.supervision_trees import (
    DynamicSupervisor,
    PartitionSupervisor,
    Runtime,
    Supervisor,
    TaskFailed,
    TaskReturned,
    TaskSupervisor,
    TooManyChildren,
)


class Agent(Actor):
    """Knows its own place."""

    def on_receive(self, message: object) -> str:
        """Say who heard it."""
        return f"{self.context.path} heard {message!r}"


class Counter(Actor):
    """Counts words; each word always comes to the same counter."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: dict[str, int] = {}

    def on_receive(self, message: str) -> int:
        """How often `message` has come, this time included."""
        self.seen[message] = self.seen.get(message, 0) + 1
        return self.seen[message]


def root(number: int) -> float:
    """A square root, the slow way; there is none of a negative number."""
    if number < 0:
        raise ValueError(f"no root of {number}")
    return float(number**0.5)


TREE = ChildSpec.of(
    Supervisor,
    id="dev",
    children=[
        ChildSpec.of(DynamicSupervisor, id="agents", max_children=2, intensity=Intensity(10, within=60.0)),
        ChildSpec.of(PartitionSupervisor, ChildSpec.of(Counter), partitions=4, id="counters"),
        ChildSpec.of(TaskSupervisor, id="tasks"),
    ],
)


def main() -> None:
    """Start agents, count words, run tasks."""
    with Runtime.start(TREE) as runtime:
        agents = runtime.supervisor("/dev/agents")
        agent = ChildSpec.of(Agent, restart=Restart.TRANSIENT)
        for _ in range(2):
            ref = agents.start_child(agent)  # the same spec each time: its children are numbered
            assert ref is not None
            print("an agent:", ref.ask("hello"))
        try:
            agents.start_child(agent)
        except TooManyChildren as refused:
            print("refused:", refused)

        counters = runtime.partitions("/dev/counters")
        for word in ["to", "be", "or", "not", "to", "be"]:
            seen = counters.address(word).ask(word)
        print("'be' was seen", seen, "times by one of", counters.partitions)

        for number, result in zip(
            [9, -1, 16], runtime.tasks("/dev/tasks").map_tasks(root, [9, -1, 16], max_concurrency=2), strict=True
        ):
            match result:
                case TaskReturned(value):
                    print(f"root of {number}: {value:g}")
                case TaskFailed(error):
                    print(f"root of {number}: {error}")


if __name__ == "__main__":
    main()
