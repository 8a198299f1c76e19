"""Which incarnation lives at which path: the directory of one runtime.

A path resolves from the moment its supervisor reports the incarnation running, and never to one
that has ended (supervision.md A.16).
"""

import threading
from collections.abc import Callable
from typing import Any, final

from treewarden.actors import ActorPath, ActorRef

__all__ = ["Registry"]


@final
class Registry:
    """Paths to refs. Safe from any thread; looking up takes no lock."""

    def __init__(self) -> None:
        self._refs: dict[ActorPath, ActorRef[Any]] = {}
        # Guards the writes to _refs. A supervisor that was killed in the middle of a handler lets go of
        # its children while its successor registers others at the same paths.
        self._writing = threading.Lock()
        self._awaited: Callable[[ActorPath], object] | None = None

    def lookup(self, path: ActorPath) -> ActorRef[Any] | None:
        """The running incarnation at `path`."""
        ref = self._refs.get(path)
        # The supervisor hears of an end a moment after it was declared; until then the ref is dead.
        return ref if ref is not None and ref.is_alive() else None

    def below(self, path: ActorPath) -> tuple[ActorRef[Any], ...]:
        """The incarnations that run at `path` or below it, the latest to register first."""
        refs = reversed(tuple(self._refs.values()))
        return tuple(ref for ref in refs if ref.is_alive() and (ref.path == path or ref.path.startswith(path + "/")))

    def register(self, path: ActorPath, ref: ActorRef[Any]) -> None:
        """`ref` lives at `path` now."""
        with self._writing:
            self._refs[path] = ref
        if self._awaited is not None:
            self._awaited(path)

    def on_register(self, listener: Callable[[ActorPath], object]) -> None:
        """Call `listener` with each path at which somebody begins to live from now on; it must be short, on any thread."""
        self._awaited = listener

    def unregister(self, path: ActorPath, ref: ActorRef[Any]) -> None:
        """`ref` no longer does; a newer one at `path` stays."""
        with self._writing:
            if self._refs.get(path) is ref:
                del self._refs[path]

    def fact(self, path: ActorPath, name: str) -> str:
        """What the actor at `path` made known under `name` (see `Facts`).

        Raises:
            LookupError: if it does not run, or knows nothing of that name.
        """
        ref = self.lookup(path)
        if ref is None:
            raise LookupError(f"{path} is not running, so its {name} is not known")
        facts = getattr(ref.status, "facts", dict[str, str])()
        try:
            return str(facts[name])
        except KeyError:
            raise LookupError(f"{path} has no {name}; it has {', '.join(facts) or 'nothing to offer'}") from None
