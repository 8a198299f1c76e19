"""Views as rows of text. Pure."""

import difflib
from collections.abc import Iterator, Sequence
from typing import Final

from treewarden.supervision_trees._drawing import describe_duration, describe_state, one_line
from treewarden.supervision_trees._inspect import ActorView, CrashView, TreeView

__all__ = ["PS_HEADER", "actor_facts", "closest_paths", "crash_facts", "find_actor", "ps_rows", "workers"]

PS_HEADER: Final = ("PATH", "KIND", "STATE", "PID", "RESTARTS", "UPTIME", "LAST EXIT")
_NOTHING: Final = "-"


def workers(view: TreeView) -> tuple[ActorView, ...]:
    """Everything in the tree that is no supervisor, in the tree's order."""
    return tuple(actor for actor in _walk(view.root) if actor.kind != "supervisor")


def ps_rows(view: TreeView) -> list[tuple[str, ...]]:
    """A row of `PS_HEADER` for each worker."""
    return [
        (
            actor.path,
            actor.kind,
            describe_state(actor),
            _NOTHING if actor.pid is None else str(actor.pid),
            str(actor.restarts),
            _NOTHING if actor.uptime is None else describe_duration(actor.uptime),
            _NOTHING if actor.last_exit is None else one_line(actor.last_exit),
        )
        for actor in workers(view)
    ]


def actor_facts(actor: ActorView) -> list[tuple[str, str]]:
    """What is known of one actor, as names and values; what is not known is left out."""
    facts = {
        "path": actor.path,
        "kind": actor.kind,
        "state": describe_state(actor),
        "generation": str(actor.generation),
        "restarts": str(actor.restarts),
        "uptime": None if actor.uptime is None else describe_duration(actor.uptime),
        "last exit": actor.last_exit,
        "pid": None if actor.pid is None else f"{actor.pid}{' (adopted)' if actor.adopted else ''}",
        "command": " ".join(actor.command) or None,
        "log": actor.log,
        "health": actor.health,
        "strategy": actor.strategy,
        "intensity": actor.intensity,
        "children": ", ".join(child.path for child in actor.children) or None,
    }
    return [(name, value) for name, value in facts.items() if value is not None]


def crash_facts(crashes: Sequence[CrashView]) -> list[tuple[str, str]]:
    """The crashes of one actor, the last one first."""
    return [
        (
            "crash",
            f"{describe_duration(crash.ago)} ago, generation {crash.generation}: {one_line(crash.reason)}"
            + ("" if crash.last_message is None else f"; last message: {one_line(crash.last_message)}")
            + (f"; {crash.mailbox} messages waited" if crash.mailbox else ""),
        )
        for crash in reversed(crashes)
    ]


def find_actor(view: TreeView, path: str) -> ActorView | None:
    """The actor at `path`, if there is one."""
    return next((actor for actor in _walk(view.root) if actor.path == path), None)


def closest_paths(view: TreeView, path: str) -> list[str]:
    """Up to three paths that `path` may have been meant to be, the likeliest first."""
    # Without the tree's name, which all have in common and which would make them all look close.
    known = {_below_root(actor.path): actor.path for actor in _walk(view.root)}
    return [known[near] for near in difflib.get_close_matches(_below_root(path), known)]


def _below_root(path: str) -> str:
    root, _, below = path.lstrip("/").partition("/")
    return below or root


def _walk(actor: ActorView) -> Iterator[ActorView]:
    yield actor
    for child in actor.children:
        yield from _walk(child)
