"""What concerns several fields or several children: pure checks over a whole tree.

None of them looks outside the tree; `_surroundings` does that. Each answers with every mistake
it can find, in the order of the file.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import cast

from treewarden.actors import BrutalKill, ChildId, Restart, ShutdownTime
from treewarden.supervision_trees._strategy import AutoShutdown, Strategy
from treewarden.supervision_trees.definitions._durations import format_duration
from treewarden.supervision_trees.definitions._groups import Group, groups, processes
from treewarden.supervision_trees.definitions._mistakes import Finding, Location, place_of
from treewarden.supervision_trees.definitions._process_template import http_probe, tcp_probe
from treewarden.supervision_trees.definitions._references import Needs, implied_needs, reference_findings
from treewarden.supervision_trees.definitions._schema import (
    ActorFields,
    ProbeFields,
    ProcessFields,
    SupervisorFields,
    TreeFields,
)
from treewarden.supervision_trees.definitions._templates import literal
from treewarden.supervision_trees.definitions._wording import alternatives, clipped, closest, one_of

__all__ = ["tree_findings"]


def tree_findings(tree: TreeFields) -> Iterator[Finding]:
    """Every mistake that a look at the tree alone can find, beyond those of the schema."""
    needs = implied_needs(tree)
    for group in groups(tree):
        yield from _duplicate_ids(group)
        yield from _unknown_needs(group)
        yield from _cycles(group, needs)
        yield from _too_little_time(group)
        yield from _insignificant(group)
        yield from _own_limits(group)
        for location, process in processes(group):
            yield from _process_findings(process, location)
        for location, child in group.children():
            if child.backoff is not None and child.backoff.max < child.backoff.initial:
                initial = format_duration(child.backoff.initial)
                yield Finding(
                    (*location, "backoff", "max"),
                    format_duration(child.backoff.max),
                    f"at least initial, which is {initial}",
                    ((*location, "backoff", "initial"),),
                )
            if isinstance(child, ActorFields):
                yield from _argument_names(child, location)
    yield from _shared_ports(tree)
    yield from reference_findings(tree)


def _duplicate_ids(group: Group) -> Iterator[Finding]:
    first: dict[ChildId, Location] = {}
    for location, child in group.children():
        known = first.setdefault(child.id, location)
        if known != location:
            yield Finding(
                (*location, "id"),
                f"{clipped(child.id)}, which {place_of(known)} has already",
                "an id of its own among its siblings",
                ((*known, "id"),),
            )


def _unknown_needs(group: Group) -> Iterator[Finding]:
    for location, child in group.children():
        for index, need in enumerate(child.needs):
            place = (*location, "needs", index)
            if need == child.id:
                yield Finding(place, f"{clipped(need)} itself", "siblings only", ((*location, "id"),))
            elif need not in group.named:
                yield Finding(place, clipped(need), _siblings(group, child.id, need), (group.every_id(),))


def _siblings(group: Group, child: ChildId, need: ChildId) -> str:
    others = [name for name in group.named if name != child]
    near = closest(need, others)
    if not others:
        return "nothing: it has no siblings"
    return f"{near} (the siblings: {alternatives(others)})" if near else f"a sibling: {one_of(others)}"


def _cycles(group: Group, implied: Needs) -> Iterator[Finding]:
    """Children that wait for each other; each is named in one cycle at most."""
    order = {name: index for index, name in enumerate(group.named)}
    graph = {
        child.id: [
            need
            for need in dict.fromkeys((*child.needs, *implied.get(location, ())))
            if need in group.named and need != child.id
        ]
        for location, child in group.named.values()
    }
    while (cycle := _one_cycle(graph)) is not None:
        start = cycle.index(min(cycle, key=order.__getitem__))
        members = [*cycle[start:], *cycle[:start]]
        location, first = group.named[members[0]]
        yield Finding(
            (*location, "needs") if members[1] in first.needs else location,
            f"the cycle {' -> '.join((*members, members[0]))}",
            "no child that waits for itself, by needs or by references",
            tuple((*group.named[member][0], "id") for member in members),
        )
        graph = {
            name: [need for need in wanted if need not in members]
            for name, wanted in graph.items()
            if name not in members
        }


def _one_cycle(graph: Mapping[ChildId, Sequence[ChildId]]) -> list[ChildId] | None:
    """Some cycle, each member needing the next; `None` if there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        # graphlib lists predecessors first, its first member again at the end.
        return list(reversed(cast("Sequence[ChildId]", error.args[1])[:-1]))
    return None


def _too_little_time(group: Group) -> Iterator[Finding]:
    """A supervisor stops its children one after another (supervision.md A.7), so their times add up."""
    owner = group.owner
    if isinstance(owner, TreeFields) or not owner.children:
        return
    # Rounded to microseconds: 100ms and 200ms are 300ms, whatever binary floats make of the sum.
    needed = round(math.fsum(_seconds(child.shutdown) for child in owner.children), 6)
    if _seconds(owner.shutdown) >= needed:
        return
    times = alternatives(f"{child.id} {_spelt(child.shutdown)}" for child in owner.children)
    least = "infinity" if math.isinf(needed) else f"{format_duration(needed)} or more"
    yield Finding(
        (*group.location, "shutdown"),
        _spelt(owner.shutdown),
        f"{least}, since its children stop one after another ({times})",
        tuple((*location, "shutdown") for location, _ in group.children()),
    )


def _insignificant(group: Group) -> Iterator[Finding]:
    """Significant children that could not end their supervisor (OTP's bad_combination, supervision.md B 1.1)."""
    switch = (*group.location, "auto_shutdown")
    for location, child in group.children():
        if not child.significant:
            continue
        place = (*location, "significant")
        if child.restart is Restart.PERMANENT:
            expected = "false, or restart: transient or temporary; a permanent child never ends for good"
            yield Finding(place, "true beside restart: permanent", expected, ((*location, "restart"),))
        if group.owner.auto_shutdown is AutoShutdown.NEVER:
            values = alternatives(value.value for value in AutoShutdown if value is not AutoShutdown.NEVER)
            expected = f"false, or one of {values} as auto_shutdown of {group.path}"
            yield Finding(place, f"true, but auto_shutdown of {group.path} is never", expected, (switch,))


def _own_limits(group: Group) -> Iterator[Finding]:
    """Limits of single children where a failure concerns several of them (supervision.md A.5)."""
    strategy = group.owner.strategy
    if strategy is Strategy.ONE_FOR_ONE:
        return
    for location, child in group.children():
        # On a supervisor it is the limit that it keeps for its own children.
        if not isinstance(child, SupervisorFields) and child.intensity is not None:
            yield Finding(
                (*location, "intensity"),
                f"a limit of its own, but the strategy of {group.path} is {strategy.value}",
                f"none, or one_for_one as strategy of {group.path}",
                ((*group.location, "strategy"),),
            )


def _seconds(shutdown: ShutdownTime) -> float:
    return 0.0 if isinstance(shutdown, BrutalKill) else shutdown


def _spelt(shutdown: ShutdownTime) -> str:
    if isinstance(shutdown, BrutalKill):
        return shutdown.value
    return "infinity" if math.isinf(shutdown) else format_duration(shutdown)


def _process_findings(process: ProcessFields, location: Location) -> Iterator[Finding]:
    place, rests_on = (*location, "command"), ((*location, "shell"),)
    if isinstance(process.command, str) and not process.shell:
        yield Finding(
            place, clipped(process.command), "a list such as [python3, -m, http.server], or shell: true", rests_on
        )
    elif isinstance(process.command, list) and process.shell:
        yield Finding(place, "a list", "text for the shell, or no shell: true", rests_on)
    program = process.command if isinstance(process.command, str) else process.command[0]
    if not program.strip():
        yield Finding(place, clipped(program), "the name of a program", rests_on)
    if not process.cwd:
        yield Finding((*location, "cwd"), "''", "a directory")
    for purpose, probe in (("ready", process.ready), ("live", process.live)):
        if probe is not None:
            yield from _probe_findings(probe, (*location, purpose))


def _probe_findings(probe: ProbeFields, location: Location) -> Iterator[Finding]:
    targets = [key for key in ("http", "tcp", "command") if getattr(probe, key) is not None]
    if len(targets) != 1:
        yield Finding(location, " and ".join(targets) or "no target", "exactly one of http, tcp, command")
    if probe.status is not None and probe.http is None:
        yield Finding((*location, "status"), "it without http", "status only beside http", ((*location, "http"),))
    if probe.command and not probe.command[0].strip():
        yield Finding((*location, "command"), clipped(probe.command[0]), "the name of a program")
    for key, text, read in (("http", probe.http, http_probe), ("tcp", probe.tcp, tcp_probe)):
        target = None if text is None else literal(text)
        if target is None:
            continue
        try:
            read(target)
        except ValueError as error:
            yield Finding((*location, key), clipped(target), str(error))


def _argument_names(actor: ActorFields, location: Location) -> Iterator[Finding]:
    for name in actor.args:
        if not name.isidentifier():
            yield Finding((*location, "args", name), f"the argument name {clipped(name)}", "a Python identifier")


def _shared_ports(tree: TreeFields) -> Iterator[Finding]:
    first: dict[int, Location] = {}
    for group in groups(tree):
        for location, process in processes(group):
            for index, port in enumerate(process.ports):
                place = (*location, "ports", index)
                known = first.setdefault(port, place)
                if known != place:
                    yield Finding(place, f"{port}, which {place_of(known)} has already", "a port of its own", (known,))
