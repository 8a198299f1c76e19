"""What a managed process runs: a frozen value that definitions build and the actor carries out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, Self, TypeAlias, final

from treewarden.actors._ids import ActorPath
from treewarden.actors._probe import Liveness, Readiness

__all__ = ["EnvValue", "Facts", "FromEnv", "ProcessPlan", "ProcessSpec"]


@final
@dataclass(frozen=True, slots=True)
class FromEnv:
    """A value taken from the environment that the runtime was started with; never stored, never shown."""

    name: str


EnvValue: TypeAlias = str | FromEnv


@final
@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """One OS process.

    `command` is an argument list, never a shell line; `shell=True` in a definition becomes
    `("/bin/sh", "-c", line)` before it gets here. `cwd` is absolute or relative to the runtime's
    own working directory. `env` is laid over a minimal environment (PATH, HOME, USER, LOGNAME, SHELL, LANG,
    LC_*, TZ, TMPDIR), not over the runtime's whole one. Exit codes in `success_codes` are a
    `Normal` exit, every other ending is a crash. `ports` are the TCP ports the process is said
    to listen on; they are shown, not reserved.
    """

    command: tuple[str, ...]
    cwd: str = "."
    env: Mapping[str, EnvValue] = field(default_factory=dict[str, EnvValue])
    ports: tuple[int, ...] = ()
    ready: Readiness | None = None
    live: Liveness | None = None
    success_codes: frozenset[int] = frozenset({0})

    def resolve(self, facts: "Facts") -> Self:  # noqa: ARG002 - the plan of a spec without references is itself
        """Return this spec: it has no references (see `ProcessPlan`)."""
        return self


class Facts(Protocol):
    """What is known about running actors: the values behind `${ID.FIELD}`. Safe from any thread."""

    def fact(self, path: ActorPath, name: str) -> str:
        """The value called `name` that the actor at `path` made known (a process: `pid`, `log`).

        Raises:
            LookupError: if nothing of that name is known now; the message says what is.
        """
        ...


class ProcessPlan(Protocol):
    """A process whose spec may name facts that are known only when it starts."""

    def resolve(self, facts: Facts) -> ProcessSpec:
        """The spec with every reference filled in; called before each start.

        Raises:
            LookupError: if a fact is not known.
        """
        ...
