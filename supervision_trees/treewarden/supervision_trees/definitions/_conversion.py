"""From the checked models of a file to the nodes that leave this package.

Total: every file that passed the checks has nodes. References are looked up here, once, so that
a start has only to ask for their values.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias, assert_never

from treewarden.actors import INFINITY, ActorPath, Backoff, FromEnv, Intensity, ProcessSpec, Restart
from treewarden.supervision_trees.definitions._classes import import_actor
from treewarden.supervision_trees.definitions._frozen import frozen_argument, frozen_mapping
from treewarden.supervision_trees.definitions._groups import Group, groups
from treewarden.supervision_trees.definitions._mistakes import Location
from treewarden.supervision_trees.definitions._nodes import ActorNode, Node, ProcessNode, SupervisorNode
from treewarden.supervision_trees.definitions._process_template import (
    DEFAULT_STATUS,
    CommandTemplate,
    HttpTemplate,
    LivenessTemplate,
    ProbeTemplate,
    ProcessTemplate,
    ReadinessTemplate,
    TcpTemplate,
)
from treewarden.supervision_trees.definitions._references import Needs, fact_of, implied_needs
from treewarden.supervision_trees.definitions._schema import (
    ActorFields,
    BackoffFields,
    Child,
    IntensityFields,
    LiveFields,
    ProbeFields,
    ProcessFields,
    ReadyFields,
    SupervisorFields,
    TreeFields,
)
from treewarden.supervision_trees.definitions._templates import Template, bound

__all__ = ["root_node"]

_Read: TypeAlias = Callable[[str], Template]
_Scopes: TypeAlias = Mapping[Location, Group]
"""The groups of a tree by the location of their supervisor."""


def root_node(tree: TreeFields, folder: Path) -> SupervisorNode:
    """The nodes of a tree in which no check found anything; relative directories begin at `folder`."""
    needs = implied_needs(tree)
    scopes = {group.location: group for group in groups(tree)}
    return SupervisorNode(
        id=tree.name,
        restart=Restart.PERMANENT,
        significant=False,
        shutdown=INFINITY,
        start_timeout=INFINITY,
        needs=(),
        backoff=None,
        strategy=tree.strategy,
        intensity=_intensity(tree.intensity),
        auto_shutdown=tree.auto_shutdown,
        children=_children((), scopes, needs, folder),
    )


def _children(location: Location, scopes: _Scopes, needs: Needs, folder: Path) -> tuple[Node, ...]:
    group = scopes[location]
    return tuple(_node(child, place, scopes, needs, folder) for place, child in group.children())


def _node(child: Child, location: Location, scopes: _Scopes, needs: Needs, folder: Path) -> Node:
    wanted = tuple(dict.fromkeys((*child.needs, *needs.get(location, ()))))
    match child:
        case ProcessFields():
            return ProcessNode(
                id=child.id,
                restart=child.restart,
                significant=child.significant,
                shutdown=child.shutdown,
                start_timeout=child.start_timeout,
                needs=wanted,
                backoff=_backoff(child.backoff),
                intensity=_own_intensity(child.intensity),
                plan=_plan(child, scopes[location[:-2]], folder),
            )
        case ActorFields():
            return ActorNode(
                id=child.id,
                restart=child.restart,
                significant=child.significant,
                shutdown=child.shutdown,
                start_timeout=child.start_timeout,
                needs=wanted,
                backoff=_backoff(child.backoff),
                intensity=_own_intensity(child.intensity),
                class_path=child.class_path,
                actor_class=import_actor(child.class_path),
                args=frozen_mapping({name: frozen_argument(value) for name, value in child.args.items()}),
            )
        case SupervisorFields():
            return SupervisorNode(
                id=child.id,
                restart=child.restart,
                significant=child.significant,
                shutdown=child.shutdown,
                start_timeout=child.start_timeout,
                needs=wanted,
                backoff=_backoff(child.backoff),
                strategy=child.strategy,
                intensity=_intensity(child.intensity),
                auto_shutdown=child.auto_shutdown,
                children=_children(location, scopes, needs, folder),
            )
        case _:
            assert_never(child)


def _intensity(fields: IntensityFields) -> Intensity:
    return Intensity(fields.restarts, fields.within)


def _own_intensity(fields: IntensityFields | None) -> Intensity | None:
    return None if fields is None else _intensity(fields)


def _backoff(fields: BackoffFields | None) -> Backoff | None:
    if fields is None:
        return None
    return Backoff(fields.initial, fields.max, fields.factor, fields.jitter, fields.reset_after)


def _plan(process: ProcessFields, group: Group, folder: Path) -> ProcessSpec | ProcessTemplate:
    """The spec itself if nothing in it waits for a start, else its template."""
    facts_used = 0

    def read(text: str) -> Template:
        nonlocal facts_used
        template = bound(text, lambda reference: fact_of(reference, group))
        facts_used += sum(not isinstance(part, str) for part in template)
        return template

    template = ProcessTemplate(
        command=_command(process.command, read),
        cwd=_below(folder, read(process.cwd)),
        env=frozen_mapping(
            {name: value if isinstance(value, FromEnv) else read(value) for name, value in process.env.items()}
        ),
        ports=tuple(process.ports),
        ready=None if process.ready is None else _ready(process.ready, read),
        live=None if process.live is None else _live(process.live, read),
        success_codes=frozenset(process.success_codes),
    )
    return template if facts_used else template.resolve(_NoFacts())


def _below(folder: Path, cwd: Template) -> Template:
    """An absolute directory: the same wherever the runtime is started from. A reference at its head is one."""
    head = cwd[0] if cwd else ""
    if not isinstance(head, str):
        return cwd
    begin = str(folder / head) + ("/" if len(cwd) > 1 and head.endswith("/") else "")
    return Template((begin, *cwd[1:]))


class _NoFacts:
    """Stands for what is known of running actors where nothing needs to be."""

    def fact(self, path: ActorPath, name: str) -> str:
        raise LookupError(f"{name} of {path}: found no running actors, expected text without references")


def _command(command: str | Sequence[str], read: _Read) -> tuple[Template, ...]:
    argv = ("/bin/sh", "-c", command) if isinstance(command, str) else command
    return tuple(read(part) for part in argv)


def _ready(fields: ReadyFields, read: _Read) -> ReadinessTemplate:
    return ReadinessTemplate(_probe(fields, read), fields.every, fields.timeout, fields.within)


def _live(fields: LiveFields, read: _Read) -> LivenessTemplate:
    return LivenessTemplate(_probe(fields, read), fields.every, fields.timeout, fields.failures)


def _probe(fields: ProbeFields, read: _Read) -> ProbeTemplate:
    if fields.http is not None:
        return HttpTemplate(read(fields.http), DEFAULT_STATUS if fields.status is None else fields.status)
    if fields.tcp is not None:
        return TcpTemplate(read(fields.tcp))
    assert fields.command is not None, "a checked probe has one target"
    return CommandTemplate(tuple(read(part) for part in fields.command))
