"""What a managed process does next, as pure functions: adopt or spawn, ready or not, alive or not.

No clock, no process, no thread: the actor in `_managed` asks these and carries out the answer.
"""

from dataclasses import dataclass
from typing import TypeAlias, final

from treewarden.actors._exits import Crashed, ExitReason, Normal
from treewarden.actors._probe import Health, Healthy, Liveness, Readiness
from treewarden.actors.processes._errors import ProcessFailed
from treewarden.actors.processes._exit_watch import ProcessExit
from treewarden.actors.processes._identity import ProcessIdentity
from treewarden.actors.processes._record import Phase, ProcessRecord

__all__ = [
    "Adopt",
    "AtStart",
    "BecomeReady",
    "CheckAgain",
    "GiveUp",
    "Living",
    "ProbeStep",
    "ReplaceLeftover",
    "Spawn",
    "after_live_check",
    "after_ready_check",
    "at_start",
    "exit_reason",
]


@final
@dataclass(frozen=True, slots=True)
class Spawn:
    """Start a new process, the `incarnation`-th of this actor."""

    incarnation: int


@final
@dataclass(frozen=True, slots=True)
class Adopt:
    """The process of an earlier runtime lives and is the right one: watch it again."""

    identity: ProcessIdentity
    incarnation: int


@final
@dataclass(frozen=True, slots=True)
class ReplaceLeftover:
    """A process on record lives but must not go on, for `why`: end it, then start `incarnation`."""

    identity: ProcessIdentity
    incarnation: int
    why: str


AtStart: TypeAlias = Spawn | Adopt | ReplaceLeftover


@final
@dataclass(frozen=True, slots=True)
class Living:
    """What the OS says of the identity on record."""

    alive: bool
    at_gate: bool  # its command has not begun


def at_start(record: ProcessRecord | None, living: Living, *, wanted: str, runtime: str) -> AtStart:
    """Decide from the newest record and what the OS says of it.

    `wanted` is the fingerprint of the spec to run, `runtime` the id of this runtime.
    """
    if record is None:
        return Spawn(1)
    following = record.incarnation + 1
    # INTENDED has no identity: whatever was spawned then stood at a gate whose keeper is dead.
    if record.phase is not Phase.SPAWNED or record.identity is None or not living.alive:
        return Spawn(following)
    if living.at_gate:
        return ReplaceLeftover(record.identity, following, "its runtime died before its command began")
    if record.runtime == runtime:
        return ReplaceLeftover(record.identity, following, "its actor was ended without stopping it")
    if record.fingerprint != wanted:
        return ReplaceLeftover(record.identity, following, "its definition has changed")
    return Adopt(record.identity, record.incarnation)


def exit_reason(ended: ProcessExit, *, success_codes: frozenset[int], log_lines: tuple[str, ...]) -> ExitReason:
    """How the end of the process reads as the end of its actor.

    An adopted process whose exit nobody can know counts as failed: a transient one is restarted.
    """
    if ended.code is not None and ended.code in success_codes:
        return Normal()
    return Crashed(ProcessFailed(ended, log_lines))


@final
@dataclass(frozen=True, slots=True)
class CheckAgain:
    """Probe again in `delay` seconds; the last `failures` checks in a row failed."""

    delay: float
    failures: int


@final
@dataclass(frozen=True, slots=True)
class BecomeReady:
    """The readiness probe passed."""


@final
@dataclass(frozen=True, slots=True)
class GiveUp:
    """The process is not answering: it counts as unresponsive after `after` seconds."""

    after: float


ProbeStep: TypeAlias = CheckAgain | BecomeReady | GiveUp


def after_ready_check(policy: Readiness, health: Health, *, failures: int, waited: float) -> ProbeStep:
    """What a readiness check that ended `waited` seconds after the start means."""
    if isinstance(health, Healthy):
        return BecomeReady()
    if waited >= policy.within:
        return GiveUp(policy.within)
    # The last check is made when the time is up, not after it.
    return CheckAgain(min(policy.every, policy.within - waited), failures + 1)


def after_live_check(policy: Liveness, health: Health, *, failures: int) -> ProbeStep:
    """What a liveness check means after `failures` failed ones in a row."""
    if isinstance(health, Healthy):
        return CheckAgain(policy.every, 0)
    if failures + 1 >= policy.failures:
        return GiveUp((failures + 1) * policy.every)
    return CheckAgain(policy.every, failures + 1)
