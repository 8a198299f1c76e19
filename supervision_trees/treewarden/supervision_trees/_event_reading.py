"""Reading events: from the hub what it remembers, from the journal what came before, as one sequence of lines.

Safe from any thread. A page is bounded in size, since it must fit in a frame of the console. What is
damaged in the journal is a line of its own, at its place. Not promised: that a line is durable; the newest may not be yet.
"""

import json
from collections.abc import Iterable
from typing import Final, TypeAlias, assert_never, final

from treewarden.storage import DamagedEvent, EventPages, EventsKept, KeptEvent, StoreError
from treewarden.supervision_trees._control import CommandRefused, EventPick, EventsRead, ReadEvents
from treewarden.supervision_trees._inspect import RecordedEvent
from treewarden.supervision_trees.telemetry import EventHub, event_fields

__all__ = ["EventReading"]

LONGEST_WAIT: Final = 30.0  # seconds a reader may wait for an event
LONGEST_PAGE: Final = 2 * 1024 * 1024  # characters of JSON, about
_Lines: TypeAlias = list[dict[str, object]]


@final
class EventReading:
    """All that can be read of the events of a tree: of the runtime `runtime`, and, with what is `kept` in a store, of those before."""

    def __init__(self, hub: EventHub, kept: EventPages | None, *, runtime: str) -> None:
        self._hub, self._kept, self._runtime = hub, kept, runtime

    def read(self, command: ReadEvents) -> EventsRead:
        """The answer to `command`.

        Raises:
            CommandRefused: the journal cannot be read.
        """
        try:
            since = max(command.since, self._before(command.since_time))
            if command.wait > 0:
                self._hub.wait_after(since, timeout=min(command.wait, LONGEST_WAIT))
            match command.pick:
                case EventPick.NEWEST:
                    lines, missed = self._newest(since, command.limit)
                case EventPick.OLDEST:
                    lines, missed = self._oldest(since, command.limit)
                case _:
                    assert_never(command.pick)
        except StoreError as error:
            raise CommandRefused(f"the events before this runtime's newest cannot be read: {error}") from error
        return EventsRead(tuple(lines), max((_number(line) for line in lines[-1:]), default=since), missed)

    def _before(self, wall: float | None) -> int:
        """The number before the first event of `wall` seconds or later."""
        if wall is None:
            return 0
        remembered, is_surely_the_first = self._hub.first_at(wall)
        if self._kept is not None and not is_surely_the_first:
            kept = self._kept.first_at(wall)
            if kept <= self._kept.last():
                return kept - 1
        return remembered - 1

    def _newest(self, since: int, limit: int) -> tuple[_Lines, int]:
        found, missed = self._hub.since(since, limit=limit, wait=0.0)
        lines = [self._line(recorded) for recorded in found]
        if missed and self._kept is not None:
            if len(found) < limit:
                before = found[0].sequence if found else self._hub.last + 1
                kept = self._kept.tail(limit - len(found), after=since, before=before)
                earlier = _kept_lines(kept)
                lines = [*earlier, *lines]
                if earlier:  # what lies between the journal's last and the hub's first is on its way, or forgotten
                    missed = kept.missed + max(0, before - 1 - _number(earlier[-1]))
            else:
                missed -= self._kept.void_after(since)
        fitting = _as_many_as_fit(reversed(lines))
        return fitting[::-1], missed + len(lines) - len(fitting)

    def _oldest(self, since: int, limit: int) -> tuple[_Lines, int]:
        found, forgotten = self._hub.after(since, limit=limit)
        if forgotten and self._kept is not None:
            kept = self._kept.since(since, limit)
            lines = _kept_lines(kept)
            if lines:
                fitting = _as_many_as_fit(lines)
                if len(fitting) < len(lines):  # count only what is missed up to there
                    kept = self._kept.since(since, len(fitting))
                return fitting, kept.missed
        return _as_many_as_fit(self._line(recorded) for recorded in found), forgotten

    def _line(self, recorded: RecordedEvent) -> dict[str, object]:
        return {
            **event_fields(recorded.event),
            "sequence": recorded.sequence,
            "at": recorded.at,
            "runtime": self._runtime,
        }


def _kept_lines(kept: EventsKept) -> _Lines:
    """What is kept and what is damaged, in the order of the numbers."""
    at = kept.events[0].at if kept.events else 0.0
    lines = _Lines()
    both: tuple[KeptEvent | DamagedEvent, ...] = (*kept.events, *kept.damaged)
    for found in sorted(both, key=lambda each: each.sequence):
        match found:
            case KeptEvent(sequence, at, runtime, fields):
                lines.append({**fields, "sequence": sequence, "at": at, "runtime": runtime})
            case DamagedEvent(sequence, why):
                text = f"event {sequence} cannot be read: {why}"
                lines.append(
                    {
                        "event": "EventDamaged",
                        "level": "error",
                        "text": text,
                        "sequence": sequence,
                        "at": at,  # of the one before it
                        "runtime": "",
                    }
                )
            case _:
                assert_never(found)
    return lines


def _as_many_as_fit(lines: Iterable[dict[str, object]]) -> _Lines:
    """The first of `lines`, as many as a page takes, but at least one."""
    fitting, room = _Lines(), LONGEST_PAGE
    for line in lines:
        room -= len(json.dumps(line, default=str))
        if room < 0 and fitting:
            break
        fitting.append(line)
    return fitting


def _number(line: dict[str, object]) -> int:
    number = line["sequence"]
    assert isinstance(number, int)
    return number
