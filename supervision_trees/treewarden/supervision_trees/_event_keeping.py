"""From the hub into the journal: which events are written next, and what stands for those that cannot be.

One batch after the other is taken from the hub, oldest first. What the hub has forgotten meanwhile, because events
came faster than they could be written or the store took no writes, becomes a gap with its count; numbers that
a killed runtime may have given become a gap without one. Nothing here waits, but for `begin` and `finish`.

Not promised: an event that was emitted less than `GATHER` and a commit before kill -9.
"""

import contextlib
from collections.abc import Callable
from concurrent.futures import Future
from typing import Final, final

from treewarden.actors import ActorPath, ActorTraced, Clock, Event, Log
from treewarden.storage import EventJournal, KeptEvent, SnapshotStore, StoreError
from treewarden.supervision_trees._inspect import RecordedEvent
from treewarden.supervision_trees.telemetry import EventHub, Watcher, event_fields

__all__ = ["BATCH", "EVENTS_LOST", "GATHER", "EventKeeping", "is_trace_of", "keep_events"]

GATHER: Final = 0.05  # seconds that an event waits for company: a burst is a few commits, not one for each event
BATCH: Final = 250  # events of a commit: no other commit waits for more than that
EVENTS_LOST: Final = "EventsLost"
WITHIN: Final = 5.0  # seconds for the store to take the first commit, and the last ones
_LAST_BATCH: Final = 2_000  # events of a commit once nobody else commits


@final
class EventKeeping:
    """The way of one runtime's events into its journal. Safe from any thread; one batch is under way at a time."""

    def __init__(
        self,
        hub: EventHub,
        journal: EventJournal,
        *,
        runtime: str,
        clock: Clock,
    ) -> None:
        self._hub, self.journal, self._runtime = hub, journal, runtime
        self._clock = clock
        self._first = 1  # the first number of this runtime

    def begin(self, log: Log, *, within: float) -> None:
        """Let the hub's numbers go on after all that were ever given, and reserve the next ones.

        Raises:
            StoreError: the journal cannot be read. That it cannot be written keeps nobody from running.
        """
        self._first = max(self.journal.last(), self.journal.reserved()) + 1
        self._hub.number_from(self._first)
        try:
            self.journal.append(self._gaps(())).result(within)
        except (StoreError, TimeoutError) as error:
            _tell(log, "numbers of events are not reserved", error)

    def watch(self, watcher: Watcher) -> None:
        """Call `watcher` whenever there are events from now on, on the hub's thread."""
        self._hub.watch(watcher)

    def unwatch(self, watcher: Watcher) -> None:
        """Call `watcher` no more."""
        self._hub.unwatch(watcher)

    def write(self, writer: ActorPath) -> "Future[int] | None":
        """Hand in the next batch; None if there is nothing to write but what a trace of `writer` itself tells.

        Raises:
            StoreError: here or through the future: nothing was written. The hub goes on remembering.
        """
        events = self._next(BATCH)
        # A traced writer tells of each batch. Were that written at once, it would write for ever.
        if len(events) < BATCH and all(is_trace_of(recorded.event, writer) for recorded in events):
            return None
        return self.journal.append(self._batch(events))

    def when_writable(self, callback: Callable[[], object]) -> None:
        """Call `callback` once, when a full store takes commits again."""
        self.journal.when_writable(callback)

    def finish(self, log: Log, *, within: float) -> None:
        """Write what is left, and give back the numbers that were not used. The last thing before the store closes."""
        deadline = self._clock.monotonic() + within
        try:
            while len(events := self._next(_LAST_BATCH)) == _LAST_BATCH:
                self.journal.append(self._batch(events)).result(deadline - self._clock.monotonic())
            self.journal.finish(self._batch(events)).result(deadline - self._clock.monotonic())
        except (StoreError, TimeoutError) as error:
            _tell(log, "the last events are not kept", error)

    def _next(self, limit: int) -> tuple[RecordedEvent, ...]:
        events, _ = self._hub.after(max(self.journal.last(), self._first - 1), limit=limit)
        return events

    def _batch(self, events: tuple[RecordedEvent, ...]) -> list[KeptEvent]:
        return [*self._gaps(events), *map(self._kept, events)]

    def _gaps(self, events: tuple[RecordedEvent, ...]) -> list[KeptEvent]:
        """What stands for the numbers between the journal's last and `events`."""
        following = events[0].sequence if events else self._hub.last + 1
        at = events[0].at if events else self._clock.wall()
        start = self.journal.last() + 1
        gaps = list[KeptEvent]()
        if start < self._first:
            gaps.append(self._gap(start, self._first - 1, at, None))
            start = self._first
        if events and start < following:
            gaps.append(self._gap(start, following - 1, at, following - start))
        return gaps

    def _gap(self, first: int, last: int, at: float, lost: int | None) -> KeptEvent:
        if lost is None:
            text = "the runtime before ended without notice: the last that it told may be missing here"
        else:
            text = f"{lost} events were not kept: they came too fast, or the store took no writes"
        fields = {"event": EVENTS_LOST, "level": "warning", "text": text, "first": first, "lost": lost}
        return KeptEvent(last, at, self._runtime, fields, first, lost or 0)

    def _kept(self, recorded: RecordedEvent) -> KeptEvent:
        return KeptEvent.of(recorded.sequence, recorded.at, self._runtime, event_fields(recorded.event))


def is_trace_of(event: Event, path: ActorPath) -> bool:
    """Whether `event` was told by a trace of the actor at `path`."""
    return isinstance(event, ActorTraced) and event.path == path


def _tell(log: Log, what: str, error: BaseException) -> None:
    log.error(what, error=str(error) or repr(error))


def keep_events(
    hub: EventHub, store: SnapshotStore, *, runtime: str, clock: Clock, log: Log, closers: contextlib.ExitStack
) -> EventKeeping:
    """Number the events of `hub` after those in `store`; what is not written when `closers` close is written then.

    Raises:
        StoreError: the journal cannot be read.
    """
    keeping = EventKeeping(hub, EventJournal(store, wall=clock.wall), runtime=runtime, clock=clock)
    keeping.begin(log, within=WITHIN)
    closers.callback(keeping.finish, log, within=WITHIN)
    return keeping
