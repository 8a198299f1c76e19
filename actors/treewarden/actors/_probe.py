"""What a health check asks, as frozen values, and the port that carries one out.

A failing check and the decision to restart are two things (processes.md R5): a `Probe` only
answers `Healthy` or `Unhealthy`; the process actor counts and decides.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias, final

__all__ = [
    "CommandProbe",
    "Health",
    "Healthy",
    "HttpProbe",
    "Liveness",
    "Probe",
    "ProbeRunner",
    "Readiness",
    "TcpProbe",
    "Unhealthy",
]


@final
@dataclass(frozen=True, slots=True)
class HttpProbe:
    """Passes when `GET url` answers with `status`; redirects are not followed."""

    url: str
    status: int = 200


@final
@dataclass(frozen=True, slots=True)
class TcpProbe:
    """Passes when a connection to `host`:`port` is accepted."""

    host: str
    port: int


@final
@dataclass(frozen=True, slots=True)
class CommandProbe:
    """Passes when `argv` exits 0. No shell; ended with its whole session when its time is up."""

    argv: tuple[str, ...]
    cwd: str | None = None
    env: Mapping[str, str] = field(default_factory=dict[str, str])


Probe: TypeAlias = HttpProbe | TcpProbe | CommandProbe


@final
@dataclass(frozen=True, slots=True)
class Readiness:
    """Gates the start: asked `every` seconds, each answer within `timeout`, ready `within` seconds in all."""

    probe: Probe
    every: float = 1.0
    timeout: float = 2.0
    within: float = 60.0


@final
@dataclass(frozen=True, slots=True)
class Liveness:
    """Runs for ever after: `failures` in a row make the process unresponsive."""

    probe: Probe
    every: float = 1.0
    timeout: float = 2.0
    failures: int = 3


@final
@dataclass(frozen=True, slots=True)
class Healthy:
    """The check passed."""


@final
@dataclass(frozen=True, slots=True)
class Unhealthy:
    """The check failed; `why` is one line for a person."""

    why: str


Health: TypeAlias = Healthy | Unhealthy


class ProbeRunner(Protocol):
    """Carries out probes away from the caller's thread."""

    def check(self, probe: Probe, *, timeout: float, on_result: Callable[[Health], None]) -> None:
        """Start one check and return at once.

        `on_result` is called exactly once, from another thread, at most about `timeout`
        seconds later, whatever the probed thing does.
        """
        ...
