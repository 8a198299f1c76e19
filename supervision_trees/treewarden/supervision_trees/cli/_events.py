"""`events`: what happened in the tree, asked of the runtime, or, where none runs, read from its store."""

import time
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, TypeAlias, cast

import typer

from treewarden.supervision_trees.cli._event_since import SINCE_RULE, Since, parse_since
from treewarden.supervision_trees.cli._options import AsJson, Follow, StateDir
from treewarden.supervision_trees.cli._output import Failed, notice, print_document, print_json_line, print_text
from treewarden.supervision_trees.cli._streams import told_of_its_end

if TYPE_CHECKING:
    from treewarden.supervision_trees._control import EventsRead, ReadEvents

__all__ = ["events"]

_STATE: Final = Path(".treewarden")
_WAIT_FOR_EVENT: Final = 10.0  # seconds that one read waits in the runtime
_PAGE: Final = 1000
_MOST: Final = 100_000

_Read: TypeAlias = "Callable[[ReadEvents], EventsRead]"


def _since(text: str) -> Since:
    try:
        return parse_since(text, now=time.time())
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def events(
    *,
    follow: Follow = False,
    since: Annotated[
        Since | None,
        typer.Option("--since", metavar="WHEN", parser=_since, help=f"Only events after that: {SINCE_RULE}."),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit",
            "-n",
            metavar="N",
            min=1,
            max=_MOST,
            help=f"Only the newest N. Without it: {_PAGE}, or all that --since asks for.",
            show_default=False,
        ),
    ] = None,
    state: StateDir = _STATE,
    as_json: AsJson = False,
) -> None:
    """Print what happened in the tree, in earlier runs too."""
    from treewarden.supervision_trees._control import EventPick, ReadEvents  # noqa: PLC0415 - not for --help

    with _source(state, follow=follow) as read:
        pages = _all_pages(read, since) if since is not None and limit is None else _newest(read, since, limit)
        if as_json and not follow:
            found = list(pages)
            document = {
                "events": [event for page in found for event in page.events],
                "last": found[-1].last,
                "missed": sum(page.missed for page in found),
            }
            print_document(document)
            return
        last = 0
        for page in pages:
            last = page.last
            _print_page(page, since=since, limit=limit, as_json=as_json)
        while follow:
            with told_of_its_end(state):
                page = read(ReadEvents(since=last, wait=_WAIT_FOR_EVENT, pick=EventPick.OLDEST))
            last = page.last
            _print_page(page, since=Since(last), limit=None, as_json=as_json)


@contextmanager
def _source(state_dir: Path, *, follow: bool) -> Generator[_Read]:
    """Where to read from."""
    from treewarden.supervision_trees._at_rest import has_store  # noqa: PLC0415 - not for --help
    from treewarden.supervision_trees.cli._connection import ANSWER_WITHIN, open_console  # noqa: PLC0415
    from treewarden.supervision_trees.console import RuntimeNotRunning  # noqa: PLC0415

    with ExitStack() as closers:
        try:
            console = closers.enter_context(open_console(state_dir))
        except RuntimeNotRunning as error:
            if not has_store(state_dir):
                raise
            if follow:
                raise Failed(
                    f"{error}; what happened before: treewarden events --state {state_dir} (without -f)"
                ) from error
        else:
            yield lambda command: console.execute(command, timeout=command.wait + ANSWER_WITHIN)
            return
        yield closers.enter_context(_stopped(state_dir))


@contextmanager
def _stopped(state_dir: Path) -> Generator[_Read]:
    """The events of a tree that does not run. Meanwhile nobody can start it."""
    from treewarden.actors import SystemClock  # noqa: PLC0415 - not for --help
    from treewarden.storage import EventPages  # noqa: PLC0415
    from treewarden.supervision_trees._event_reading import EventReading  # noqa: PLC0415
    from treewarden.supervision_trees._ports import own_store  # noqa: PLC0415
    from treewarden.supervision_trees.telemetry import EventHub  # noqa: PLC0415

    clock = SystemClock()
    with ExitStack() as closers:
        store = own_store(state_dir, tree="(events)", console="", since=clock.wall(), closers=closers)
        kept = EventPages(store)
        hub = EventHub(clock, first=kept.last() + 1)  # nobody emits here: what can be read is in the store
        yield EventReading(hub, kept, runtime="").read


def _newest(read: _Read, since: Since | None, limit: int | None) -> "Iterator[EventsRead]":
    from treewarden.supervision_trees._control import ReadEvents  # noqa: PLC0415 - not for --help

    begin = since or Since()
    yield read(ReadEvents(since=begin.sequence, since_time=begin.time, limit=limit or _PAGE))


def _all_pages(read: _Read, since: Since) -> "Iterator[EventsRead]":
    """From `since` up to what is the newest now, a page at a time."""
    from treewarden.supervision_trees._control import EventPick, ReadEvents  # noqa: PLC0415 - not for --help

    newest = read(ReadEvents(limit=1)).last
    page = read(ReadEvents(since=since.sequence, since_time=since.time, limit=_PAGE, pick=EventPick.OLDEST))
    yield page
    while page.events and page.last < newest:
        page = read(ReadEvents(since=page.last, limit=_PAGE, pick=EventPick.OLDEST))
        yield page


def _print_page(page: "EventsRead", *, since: Since | None, limit: int | None, as_json: bool) -> None:
    if page.missed and (limit is None or len(page.events) < limit):
        if since is None:
            notice(f"{page.missed} earlier events are not shown; all that are kept: treewarden events --since 0")
        else:
            notice(f"{page.missed} events are missing here: they are no longer kept, or could not be")
    today = datetime.now().astimezone().date()
    for event in page.events:
        if as_json:
            print_json_line(event)
        else:
            print_text(_event_line(event, today))


def _event_line(event: dict[str, object], today: date) -> str:
    from treewarden.supervision_trees._drawing import printable  # noqa: PLC0415 - not for --help

    at = datetime.fromtimestamp(cast("float", event["at"])).astimezone()
    clock = at.strftime("%H:%M:%S") + f".{at.microsecond // 1000:03d}"
    day = "" if at.date() == today else f"{at.date().isoformat()} "
    return f"{event['sequence']:>6}  {day}{clock}  {event['level']!s:<7}  {printable(str(event['text']))}"
