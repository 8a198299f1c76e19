"""What is wrong around a store: files, the console, processes, room. Pure.

A process is judged by its record and by the cookie it bears; while a runtime runs, what it supervises is
not a stray. Nothing here is ever guessed from a pid alone.
"""

from collections.abc import Iterator
from typing import Final, assert_never

from treewarden.actors import ActorPath
from treewarden.actors.processes import Bearer, Phase, ProcessRecord
from treewarden.supervision_trees._doctor_facts import (
    Area,
    Facts,
    ProcessFacts,
    SocketFact,
    SocketState,
    StoreAbsent,
    Unseen,
)
from treewarden.supervision_trees._findings import (
    EndProcess,
    Finding,
    FindingKind,
    RemoveScratch,
    RemoveSocket,
    Severity,
    TightenModes,
)

__all__ = ["findings_of_system", "suspects"]

_OTHERS: Final = 0o077
_MODE: Final = 0o7777
_NO_ROOM: Final = 2**20  # bytes; below it a store takes no commits
_LITTLE_ROOM: Final = 64 * 2**20


def findings_of_system(facts: Facts) -> Iterator[Finding]:
    """Everything around the store that is not as it should be."""
    yield from _files(facts)
    yield from _room(facts)
    if not facts.runs:
        yield from _runtime(facts)
        for socket in facts.sockets:
            yield _socket(socket, facts)
    yield from _processes(facts)
    yield from _kept(facts)
    for unseen in facts.unseen:
        yield _unseen(unseen)


def suspects(processes: ProcessFacts) -> tuple[Bearer, ...]:
    """The bearers that no record speaks for: of another incarnation than the one on record, or of one that ended."""
    on_record = {record.path: record for record in processes.records}

    def is_spoken_for(bearer: Bearer) -> bool:
        record = on_record.get(ActorPath(bearer.cookie.path))
        # Also one that is only intended: the process is at its gate then.
        return (
            record is not None and record.phase is not Phase.ENDED and record.incarnation == bearer.cookie.incarnation
        )

    return tuple(bearer for bearer in processes.bearers if not is_spoken_for(bearer))


# Files


def _files(facts: Facts) -> Iterator[Finding]:
    for file in facts.files:
        if file.uid != facts.uid:
            yield Finding(
                FindingKind.OTHER_OWNER,
                str(file.path),
                f"it belongs to uid {file.uid}",
                f"uid {facts.uid}, as which this program runs",
                Severity.DAMAGE,
                command=f"chown {facts.uid} {file.path}, or run as uid {file.uid}",
            )
        elif file.mode & _OTHERS:
            yield Finding(
                FindingKind.MODE_TOO_OPEN,
                str(file.path),
                f"mode {file.mode & _MODE:04o}: other users may use it",
                f"mode {file.mode & _MODE & ~_OTHERS:04o}",
                Severity.DAMAGE,
                TightenModes(file.path),
            )
    # Without its creation a store that was begun would be one that is missing.
    is_begun = isinstance(facts.store, StoreAbsent) and facts.store.is_begun
    for scratch in facts.scratch:
        if not scratch.is_busy and not is_begun:
            yield Finding(
                FindingKind.SCRATCH_LEFT,
                str(scratch.path),
                f"{scratch.size} bytes of a copy or a creation that was killed",
                "nothing",
                Severity.LEFTOVER,
                RemoveScratch(scratch.path),
            )


def _room(facts: Facts) -> Iterator[Finding]:
    if facts.free_bytes is None or facts.free_bytes >= _LITTLE_ROOM:
        return
    is_full = facts.free_bytes < _NO_ROOM
    yield Finding(
        FindingKind.SPACE_LOW,
        str(facts.state_dir),
        f"{facts.free_bytes} bytes are free" + (": the store takes no commits" if is_full else ""),
        f"{_LITTLE_ROOM} or more",
        Severity.DAMAGE if is_full else Severity.NOTE,
        command="free disk space",
    )


def _kept(facts: Facts) -> Iterator[Finding]:
    known = {record.path for record in facts.processes.records} | set(facts.processes.unreadable)
    unknown = [log for log in facts.logs if log.actor not in known]
    if unknown:
        size = sum(log.size for log in unknown)
        first = min(log.actor for log in unknown)
        yield Finding(
            FindingKind.LOGS_OF_NOBODY,
            f"{facts.state_dir}/logs",
            f"{len(unknown)} logs of {size} bytes are of processes that are on no record, such as {first}",
            "nothing: they are yours to delete",
            Severity.NOTE,
        )
    for aside in facts.aside:
        yield Finding(
            FindingKind.KEPT_ASIDE,
            str(aside.path),
            f"{aside.what}, {aside.size} bytes",
            "nothing: it is yours to delete",
            Severity.NOTE,
        )


# The runtime that is no more


def _runtime(facts: Facts) -> Iterator[Finding]:
    if facts.left_by is not None:
        yield Finding(
            FindingKind.RUNTIME_KILLED,
            f"{facts.state_dir}/owner",
            f"process {facts.left_by.pid} ({facts.left_by.tree}) ended without giving the directory up",
            "nothing: it is free, and the next start takes over",
            Severity.NOTE,
        )


def _socket(socket: SocketFact, facts: Facts) -> Finding:
    where, found = str(socket.path), socket.state.value
    if socket.uid != facts.uid:
        return Finding(
            FindingKind.OTHER_OWNER,
            where,
            f"it belongs to uid {socket.uid}",
            f"uid {facts.uid}, or nothing there",
            Severity.DAMAGE,
            command="find out who put it there, and remove it",
        )
    match socket.state:
        case SocketState.DEAD:
            return Finding(
                FindingKind.SOCKET_LEFT, where, found, "nothing there", Severity.LEFTOVER, RemoveSocket(socket.path)
            )
        case SocketState.LISTENS:
            return Finding(
                FindingKind.SOCKET_OBSTRUCTED,
                where,
                f"{found}, and no runtime owns the directory",
                "a runtime that owns it, or nothing there",
                Severity.DAMAGE,
                command=f"see who it is (ss -xlp), and end it; no console opens at {where} before",
            )
        case SocketState.NO_SOCKET:
            return Finding(
                FindingKind.SOCKET_OBSTRUCTED,
                where,
                found,
                "a socket, or nothing there",
                Severity.DAMAGE,
                command=f"move it away: no console opens at {where} before",
            )
        case _:
            assert_never(socket.state)


# Processes


def _processes(facts: Facts) -> Iterator[Finding]:
    processes = facts.processes
    for path, why in processes.unreadable.items():
        yield Finding(
            FindingKind.PROCESS_RECORD_UNREADABLE,
            path,
            why,
            "a process record of this release; no tree starts before it is seen to",
            Severity.DAMAGE,
            command=f"treewarden up FILE --discard-state {path} --state {facts.state_dir}",
        )
    strays = suspects(processes)
    if facts.runs:
        for stray in strays:
            yield _stray((stray,))
        return
    for record in processes.records:
        if record.path in processes.living:
            own = tuple(b for b in processes.bearers if _is_of(b, record))
            yield _left(record, own, facts)
            continue
        ended = tuple(bearer for bearer in processes.bearers if bearer not in strays and _is_of(bearer, record))
        if ended:  # its own process is gone, and what that had started is not
            yield _stray(ended)
        elif record.phase is not Phase.ENDED:
            yield _gone(record)
    by_incarnation: dict[tuple[str, int], list[Bearer]] = {}
    for stray in strays:
        by_incarnation.setdefault((stray.cookie.path, stray.cookie.incarnation), []).append(stray)
    for same in by_incarnation.values():
        yield _stray(tuple(same))


def _is_of(bearer: Bearer, record: ProcessRecord) -> bool:
    return (bearer.cookie.path, bearer.cookie.incarnation) == (record.path, record.incarnation)


def _left(record: ProcessRecord, bearers: tuple[Bearer, ...], facts: Facts) -> Finding:
    assert record.identity is not None
    below = sum(1 for bearer in bearers if bearer.identity != record.identity)
    return Finding(
        FindingKind.PROCESS_LEFT,
        record.path,
        f"process {record.identity.pid} lives"
        + (f", with {below} that it started," if below else "")
        + " and no runtime",
        f"a runtime that supervises it; `treewarden up FILE --state {facts.state_dir}` adopts it instead of ending it",
        Severity.LEFTOVER,
        EndProcess(record.path, record.incarnation, record.identity, bearers),
    )


def _gone(record: ProcessRecord) -> Finding:
    who = "it was to be started" if record.identity is None else f"process {record.identity.pid} is gone"
    return Finding(
        FindingKind.PROCESS_GONE,
        record.path,
        f"{who}, and nobody has written down what became of it",
        "nothing: the next start sees to it",
        Severity.NOTE,
    )


def _stray(bearers: tuple[Bearer, ...]) -> Finding:
    cookie = bearers[0].cookie
    pids = ", ".join(str(bearer.identity.pid) for bearer in bearers)
    one = len(bearers) == 1
    return Finding(
        FindingKind.PROCESS_STRAY,
        cookie.path,
        f"process{'' if one else 'es'} {pids}, which incarnation {cookie.incarnation} started,"
        f" live{'s' if one else ''} on unsupervised",
        "nothing of an incarnation that is over",
        Severity.LEFTOVER,
        EndProcess(ActorPath(cookie.path), cookie.incarnation, None, bearers),
    )


# What could not be seen


def _unseen(unseen: Unseen) -> Finding:
    return Finding(
        FindingKind.NOT_EXAMINED,
        unseen.what,
        unseen.why,
        f"a look at {unseen.area.value}: what is wrong there is not known",
        Severity.NOTE if unseen.is_expected else _SEVERITIES[unseen.area],
    )


_SEVERITIES: Final = {
    Area.STORE: Severity.DAMAGE,
    Area.CHECKPOINTS: Severity.DAMAGE,
    Area.PROCESSES: Severity.LEFTOVER,  # something may live on unseen
    Area.FILES: Severity.LEFTOVER,
    Area.CONSOLE: Severity.LEFTOVER,
    Area.OWNER: Severity.DAMAGE,
}
