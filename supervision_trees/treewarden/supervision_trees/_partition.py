"""N copies of one child, routed to by key: Elixir's PartitionSupervisor (supervision.md A.1, B 4).

The partitions are the children "0" to "N-1". A key belongs to the same partition in every process
and every runtime, as long as there are as many partitions: who keeps state by key finds it again.

How many keys are spread over is published as the actor's status, so that routing asks nobody.
`resize` keeps it true: a partition that goes is no longer routed to before it is stopped, one that
comes is routed to when it has started. One that goes is forgotten, not merely stopped as in
Elixir, where a group restart would bring it back unrouted.
"""

import os
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar, Final, TypeAlias, cast, final

from treewarden.actors import ActorRef, ChildId, ChildSpec, Intensity, Reply
from treewarden.supervision_trees._checks import check_spec, is_count
from treewarden.supervision_trees._effects import CallId, Change, DeleteChild, Request, RetireChild, StartChild
from treewarden.supervision_trees._errors import InvalidSupervisor, NotApplicable
from treewarden.supervision_trees._strategy import DEFAULT_INTENSITY, Strategy
from treewarden.supervision_trees._supervisor import Supervisor

__all__ = ["Key", "PartitionStatus", "PartitionSupervisor", "Resize", "partition_id", "partition_of"]

Key: TypeAlias = int | str | bytes
Arguments: TypeAlias = tuple[Any, ...]

RESIZE: Final = "partitions(path).resize(n) changes how many partitions there are"
CHANGE: Final = "of a partition supervisor only strategy and intensity"


def partition_of(key: Key, partitions: int) -> int:
    """The partition of `key` among so many: the same in every process, unlike `hash`.

    An int goes to `abs(key) % partitions` (Elixir's rule), text and bytes by their CRC-32.

    Raises:
        TypeError: a key of any other type; its hash might be another one in the next process.
        ValueError: there are no partitions.
    """
    if partitions < 1:
        raise ValueError(f"found {partitions} partitions, expected 1 or more")
    match key:
        case int():
            return abs(key) % partitions
        case str():
            return zlib.crc32(key.encode(errors="surrogatepass")) % partitions
        case bytes():
            return zlib.crc32(key) % partitions
        case _:
            raise TypeError(f"a partition key is an int, a str or bytes, found {key!r} ({type(key).__name__})")


@final
@dataclass(frozen=True, slots=True)
class PartitionStatus:
    """Over how many partitions keys are spread now, and over how many at most (as many as at the start)."""

    partitions: int
    most: int


@final
@dataclass(frozen=True, slots=True)
class Resize:
    """Have so many partitions from now on."""

    partitions: int


@final
@dataclass(frozen=True, slots=True)
class _Stepped:
    """To the supervisor itself: the partition that was being stopped or started, is, or could not be."""

    number: int
    outcome: "Reply[ActorRef[Any] | None]"


class PartitionSupervisor(Supervisor):
    """Runs copies of `child` and spreads keys over them; see `PartitionHandle`.

    Strategy and intensity are any supervisor's; the end of a partition never ends it
    (`auto_shutdown` is never). A partition can be terminated and restarted by its id ("0", "1", ...);
    children are added and deleted by `resize` alone. When the supervisor itself is restarted it
    begins with `partitions` again.

    Example:
        ChildSpec.of(PartitionSupervisor, ChildSpec.of(Cache), partitions=8, id="caches")
    """

    blocks_nowhere: ClassVar[bool] = True
    refused_calls: ClassVar[Mapping[type, str]] = {StartChild: RESIZE, DeleteChild: RESIZE}

    @classmethod
    def declared_children(cls, spec: ChildSpec) -> tuple[ChildSpec, ...]:
        """All partitions."""
        named = dict(zip(("child",), spec.args, strict=False)) | dict(spec.kwargs)
        if "child" not in named:
            return ()  # it will not start
        return _partition_specs(named["child"], named.get("partitions"), named.get("with_arguments"))

    def __init__(
        self,
        child: ChildSpec,
        *,
        partitions: int | None = None,
        with_arguments: Callable[[Arguments, int], Arguments] | None = None,
        strategy: Strategy = Strategy.ONE_FOR_ONE,
        intensity: Intensity = DEFAULT_INTENSITY,
    ) -> None:
        """Take what each partition is made from.

        Without `partitions` there are as many as cores this process may use; say how many where
        state is kept by key, for another machine has other cores. `with_arguments` makes a
        partition's arguments from those of `child` and its number, and does nothing else.

        Raises:
            InvalidSupervisor: `partitions` is no whole number from 1 on, `child` needs siblings, or
                `with_arguments` is no such function.
            InvalidChildSpec: `child` is no spec, or significant, or has a limit of its own under a group strategy.
        """
        self._specs: Final = _partition_specs(child, partitions, with_arguments)
        super().__init__(self._specs, strategy=strategy, intensity=intensity)
        self._wanted: deque[tuple[int, Reply[Any]]] = deque()  # the first one is under way
        self._routed = len(self._specs)

    def on_start(self) -> None:
        """Show how keys are routed, then begin to start the partitions."""
        self._route(self._routed)  # before anybody can find this supervisor
        super().on_start()

    def on_receive(self, message: object) -> None:
        """Take a call."""
        match message:
            case Resize(partitions):
                self._resize(partitions, self.context.take_reply())
            case Change() if message.auto_shutdown is not None or message.children is not None:
                self.context.take_reply().try_fail(NotApplicable(self.context.path, "change", CHANGE))
            case _:
                super().on_receive(message)

    def on_system(self, message: object) -> None:
        """Take what came of a step, and what every supervisor takes."""
        match message:
            case _Stepped():
                self._stepped(message)
            case _:
                super().on_system(message)

    def _route(self, partitions: int) -> None:
        self._routed = partitions
        self.context.publish(PartitionStatus(partitions, len(self._specs)))

    # Resizing: one partition after the other, one resize after the other

    def _resize(self, partitions: int, reply: Reply[Any]) -> None:
        most = len(self._specs)
        if not is_count(partitions) or partitions > most:
            expected = f"a whole number from 0 to {most}, which it was started with"
            reply.try_fail(InvalidSupervisor("partitions", partitions, expected))
            return
        self._wanted.append((partitions, reply))
        if len(self._wanted) == 1:
            self._step()

    def _step(self) -> None:
        """Do the next step of the resize under way, or begin the next one."""
        while self._wanted:
            partitions, reply = self._wanted[0]
            known = [
                number
                for number in range(partitions, len(self._specs))
                if partition_id(number) in self._machine.children
            ]
            if partitions < self._routed:
                # Nobody is sent to a partition from the moment on that it may be gone.
                self._route(partitions)
            if known:
                self._call(known[-1], RetireChild(partition_id(known[-1])))
                return
            if partitions > self._routed:
                self._call(self._routed, StartChild(self._specs[self._routed]))
                return
            self._wanted.popleft()
            reply.try_set(partitions)

    def _call(self, number: int, call: StartChild | RetireChild) -> None:
        name, outcome = CallId(next(self._call_ids)), Reply[ActorRef[Any] | None]()
        # Told by message: the answer may come while effects are being carried out.
        outcome.when_done(partial(self.context.incarnation().tell_system, _Stepped(number, outcome)))
        self._replies[name] = outcome
        self._feed(Request(name, call))

    def _stepped(self, step: _Stepped) -> None:
        partitions, reply = self._wanted[0]
        if partitions > step.number:  # it was started: it, or at least its place, is there
            try:
                step.outcome.get(timeout=0)
            except Exception as error:  # noqa: BLE001 - whatever the call was refused with goes to who asked for the resize
                self._wanted.popleft()
                reply.try_fail(error)
            else:
                self._route(step.number + 1)
        self._step()


def partition_id(number: int) -> ChildId:
    """The id of a partition among its siblings."""
    return ChildId(str(number))


def _partition_specs(
    child: ChildSpec, partitions: int | None, with_arguments: Callable[[Arguments, int], Arguments] | None
) -> tuple[ChildSpec, ...]:
    count = _cores() if partitions is None else partitions
    if not is_count(count) or count == 0:
        raise InvalidSupervisor("partitions", partitions, "a whole number, 1 or more, or None for one per core")
    check_spec("child", child)
    if with_arguments is not None and not callable(with_arguments):
        raise InvalidSupervisor("with_arguments", with_arguments, "a function of the arguments and the number, or None")
    return tuple(
        replace(
            child,
            id=partition_id(number),
            id_is_given=True,
            args=child.args if with_arguments is None else _arguments(with_arguments(child.args, number)),
        )
        for number in range(count)
    )


def _arguments(found: object) -> Arguments:
    if not isinstance(found, tuple | list):
        raise InvalidSupervisor("with_arguments", found, "a function that returns a tuple of arguments")
    return tuple(cast("Iterable[Any]", found))


def _cores() -> int:
    affinity: Callable[[int], set[int]] | None = getattr(os, "sched_getaffinity", None)  # not on every system
    return os.cpu_count() or 1 if affinity is None else len(affinity(0))
