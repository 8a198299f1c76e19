"""The actor that owns one OS process: spawned behind a gate, watched, probed, stopped as a whole.

Guarantees: at most one process of this actor runs at a time, also across runtimes; a command
runs only once its identity is on record; a process of an earlier runtime is adopted when it is
alive and right, ended when it is alive and wrong; the actor's end is the end of the whole
session (`setsid(2)`), or the survivors are named, also when a start fails half-way.
Not promised: that programs which leave the session are ended with it; the runtime's sweep
finds those by their cookie.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Final, final

import pykka

from treewarden.actors._actor import Actor
from treewarden.actors._child_spec import BrutalKill
from treewarden.actors._events import (
    ProbeFailed,
    ProcessAdopted,
    ProcessExited,
    ProcessReplaced,
    ProcessSpawned,
    ProcessStuck,
)
from treewarden.actors._exits import ExitReason, Unresponsive
from treewarden.actors._ids import ActorPath
from treewarden.actors._messages import StopReport
from treewarden.actors._probe import Health, Healthy, Liveness, ProbeRunner, Readiness, Unhealthy
from treewarden.actors._reply import Reply
from treewarden.actors.processes._cookies import COOKIE_VARIABLE, Cookie
from treewarden.actors.processes._errors import VariableMissing
from treewarden.actors.processes._exit_watch import ExitWatch, ProcessExit
from treewarden.actors.processes._identity import ProcessIdentity, is_alive
from treewarden.actors.processes._launcher import Launch, Launcher, base_environment, is_gate
from treewarden.actors.processes._lifecycle import (
    Adopt,
    BecomeReady,
    CheckAgain,
    GiveUp,
    Living,
    ProbeStep,
    ReplaceLeftover,
    Spawn,
    after_live_check,
    after_ready_check,
    at_start,
    exit_reason,
)
from treewarden.actors.processes._log_tail import tail
from treewarden.actors.processes._record import Phase, ProcessRecord, ProcessRecords, RecordClaimed, fingerprint
from treewarden.actors.processes._session import EndReport, end_session, kill_now
from treewarden.actors.processes._spec import Facts, FromEnv, ProcessPlan
from treewarden.storage import HolderIdentity

__all__ = ["ManagedProcess", "ProcessStatus", "ProcessSystem"]

FAILURE_LINES: Final = 10  # of its log, kept with a failure
COMMIT_DEADLINE: Final = 30.0  # seconds; a store that takes longer has failed
REAP_DEADLINE: Final = 2.0  # seconds from the end of the session to the exit watch's word


@final
@dataclass(frozen=True, slots=True)
class ProcessSystem:
    """The ports a managed process works through; the runtime offers it as a service."""

    records: ProcessRecords
    launcher: Launcher
    exits: ExitWatch
    probes: ProbeRunner
    facts: Facts
    environment: Mapping[str, str]
    logs: Path
    store_id: str
    runtime: str

    def log_path(self, path: ActorPath) -> Path:
        """The file that holds the output of the process at `path`."""
        return self.logs.joinpath(*path.strip("/").split("/")).with_name(path.rpartition("/")[2] + ".log")


@final
@dataclass(frozen=True, slots=True)
class ProcessStatus:
    """What a managed process shows of itself (`ref.status`)."""

    pid: int
    incarnation: int
    adopted: bool
    command: tuple[str, ...]
    log: str
    health: str | None = None

    def facts(self) -> dict[str, str]:
        """The values other definitions may refer to."""
        return {"pid": str(self.pid), "log": self.log}


@final
@dataclass(frozen=True, slots=True)
class _Ended:
    exit: ProcessExit


@final
@dataclass(frozen=True, slots=True)
class _CheckDue:
    policy: Readiness | Liveness
    failures: int


@final
@dataclass(frozen=True, slots=True)
class _Checked:
    due: _CheckDue
    health: Health


class ManagedProcess(Actor):
    """One OS process as a child of a supervisor; its end is this actor's end.

    `shutdown` is the grace between SIGTERM and SIGKILL. The actor is started when the command may
    run, and ready when its `ready` probe passed (at once without one).
    """

    stop_allowance: ClassVar[float] = 10.0  # KILL, verification and the last record come after the grace

    def __init__(self, plan: ProcessPlan) -> None:
        super().__init__()
        self._plan = plan
        self._os = self.context.service(ProcessSystem)
        self._exit: Reply[ProcessExit] = Reply()
        self._exit_reported = False
        self._status: ProcessStatus
        self._survivors: tuple[int, ...] = ()
        self._started_at = self.context.clock.monotonic()

    def lease_holder(self) -> HolderIdentity | None:
        """The process itself."""
        if not self._has_process():
            return None
        identity = self._identity
        return HolderIdentity(identity.pid, identity.start_ticks, identity.boot_id)

    def on_start(self) -> None:
        """Adopt the process on record, or spawn one."""
        try:
            self._begin()
        except BaseException:
            # No `on_stop` follows a start that failed, be it that this incarnation was given up on a moment ago.
            if self._has_process():
                self._survivors = self._end_session(self._identity, self._record.incarnation)
            raise

    def _begin(self) -> None:
        spec = self._plan.resolve(self._os.facts)
        # Absolute before it is compared: what runs must not seem the same, or another, from elsewhere.
        self._spec = replace(spec, cwd=str(Path(spec.cwd).absolute()))
        self._log = self._os.log_path(self.context.path)
        wanted = fingerprint(self._spec)
        self._claim = self._os.records.claim(self.context.path)
        record = self._os.records.load(self.context.path)
        step = at_start(record, self._look_at(record), wanted=wanted, runtime=self._os.runtime)
        match step:
            case Adopt(identity):
                assert record is not None
                self._adopt(record, identity)
            case ReplaceLeftover(identity, incarnation, why):
                self._end_leftover(identity, incarnation - 1, why)
                self._spawn(incarnation, wanted)
            case Spawn(incarnation):
                self._spawn(incarnation, wanted)
        self._begin_probes()

    def on_receive(self, message: object) -> None:
        """Begin a check that is due."""
        match message:
            case _CheckDue():
                self._check(message)
            case _:
                super().on_receive(message)

    def on_system(self, message: object) -> None:
        """Take the end of the process and the answers of probes: its stop makes them moot, so they are no dead letters."""
        match message:
            case _Ended(ended):
                self._report_exit(ended)
                reason = exit_reason(ended, success_codes=self._spec.success_codes, log_lines=self._last_lines())
                self.context.exit(reason)
            case _Checked(due, health):
                self._take_answer(due, health)
            case _:
                super().on_system(message)

    def on_stop(self, reason: ExitReason | None = None) -> None:  # noqa: ARG002 - every end is the same here
        """End the whole session: TERM, the grace, KILL, and a look at what is left."""
        self._survivors = self._end_session(self._identity, self._record.incarnation)
        self._note_end()

    def on_kill(self) -> None:
        """SIGKILL the session: an actor that is killed leaves no process behind."""
        if self._has_process():
            self._survivors = self._survivors_of(kill_now(self._identity), self._record.incarnation)
            self._note_end()

    def stop_report(self) -> StopReport:
        """This process, and the pids that could not be ended."""
        return StopReport(stopped=(self.context.path,), orphaned_pids=self._survivors)

    # Starting

    def _look_at(self, record: ProcessRecord | None) -> Living:
        if record is None or record.identity is None or not is_alive(record.identity):
            return Living(alive=False, at_gate=False)
        return Living(alive=True, at_gate=is_gate(record.identity))

    def _spawn(self, incarnation: int, wanted: str) -> None:
        intent = ProcessRecord(
            path=self.context.path,
            incarnation=incarnation,
            phase=Phase.INTENDED,
            identity=None,
            fingerprint=wanted,
            runtime=self._os.runtime,
            spawned_at=self.context.clock.wall(),
        )
        launch = Launch(self._spec.command, self._spec.cwd, self._environment(incarnation), self._log)
        self._commit(intent)
        gated = self._os.launcher.spawn_gated(launch)
        try:
            record = replace(intent, phase=Phase.SPAWNED, identity=gated.identity)
            self._commit(record)
            self._os.exits.watch(gated, self._on_exit)
        except BaseException:
            gated.cancel()  # not on record or not watched, so it must not run
            raise
        self._record, self._identity = record, gated.identity
        # Only now may the command run: identity on record, exit watched.
        gated.release()
        self.context.system.events.emit(ProcessSpawned(self.context.path, incarnation, gated.identity.pid))
        self._publish(adopted=False)

    def _adopt(self, record: ProcessRecord, identity: ProcessIdentity) -> None:
        adopted = replace(record, runtime=self._os.runtime)
        # Until this is durable the process is not this actor's to end: it stays as the record has it, for the next start.
        self._commit(adopted)
        self._record, self._identity = adopted, identity
        self._os.exits.adopt(identity, self._on_exit)
        self.context.system.events.emit(ProcessAdopted(self.context.path, record.incarnation, identity.pid))
        self._publish(adopted=True)

    def _end_leftover(self, identity: ProcessIdentity, incarnation: int, why: str) -> None:
        self.context.system.events.emit(ProcessReplaced(self.context.path, incarnation, identity.pid, why))
        survivors = self._end_session(identity, incarnation)
        if survivors:
            raise ProcessLookupError(
                f"process {identity.pid} of an earlier life of {self.context.path} cannot be ended"
                f" (still there: {', '.join(map(str, survivors))}); a second one is not started beside it"
            )

    def _environment(self, incarnation: int) -> dict[str, str]:
        env = base_environment(self._os.environment)
        for name, value in self._spec.env.items():
            env[name] = self._from_env(value) if isinstance(value, FromEnv) else value
        env[COOKIE_VARIABLE] = Cookie(self._os.store_id, self.context.path, incarnation).render()
        return env

    def _from_env(self, value: FromEnv) -> str:
        try:
            return self._os.environment[value.name]
        except KeyError:
            raise VariableMissing(value.name) from None

    # Probing

    def _begin_probes(self) -> None:
        if self._spec.ready is not None:
            self.context.defer_ready()
            self._check(_CheckDue(self._spec.ready, 0))
        elif self._spec.live is not None:
            self.context.send_after(self._spec.live.every, _CheckDue(self._spec.live, 0))

    def _check(self, due: _CheckDue) -> None:
        tell_system = self.context.incarnation().tell_system
        self._os.probes.check(
            due.policy.probe, timeout=due.policy.timeout, on_result=lambda health: tell_system(_Checked(due, health))
        )

    def _take_answer(self, due: _CheckDue, health: Health) -> None:
        step: ProbeStep
        match due.policy:
            case Readiness():
                waited = self.context.clock.monotonic() - self._started_at
                step = after_ready_check(due.policy, health, failures=due.failures, waited=waited)
            case Liveness():
                step = after_live_check(due.policy, health, failures=due.failures)
        self._show(due, health)
        match step:
            case CheckAgain(delay, failures):
                self.context.send_after(delay, _CheckDue(due.policy, failures))
            case BecomeReady():
                self.context.announce_ready()
                if self._spec.live is not None:
                    self._check(_CheckDue(self._spec.live, 0))
            case GiveUp(after):
                self.context.exit(Unresponsive(after))

    def _show(self, due: _CheckDue, health: Health) -> None:
        if isinstance(health, Unhealthy):
            purpose = "ready" if isinstance(due.policy, Readiness) else "live"
            if self._status.health != health.why:  # said once, not every second
                self.context.system.events.emit(ProbeFailed(self.context.path, purpose, health.why, due.failures + 1))
        shown = "ready" if isinstance(health, Healthy) else health.why
        self._status = replace(self._status, health=shown)
        self.context.publish(self._status)

    # Ending

    def _has_process(self) -> bool:
        """Whether the start came as far as a process that this actor must end."""
        return hasattr(self, "_identity")

    def _end_session(self, identity: ProcessIdentity, incarnation: int) -> tuple[int, ...]:
        """End all of it within this actor's grace; the survivors, who are made known."""
        shutdown = self.context.spec.shutdown
        return self._survivors_of(
            end_session(identity, grace=0.0 if isinstance(shutdown, BrutalKill) else shutdown), incarnation
        )

    def _survivors_of(self, report: EndReport, incarnation: int) -> tuple[int, ...]:
        if report.survivors:
            self.context.system.events.emit(ProcessStuck(self.context.path, incarnation, report.survivors))
        return report.survivors

    def _note_end(self) -> None:
        """Once the whole session is gone: how its leader went, in an event, and the end on record."""
        if self._survivors:
            return
        try:
            self._report_exit(self._exit.get(timeout=REAP_DEADLINE))
        except pykka.Timeout:
            self.context.log.warning("the exit watch did not report the end", pid=self._identity.pid)
        self._save(replace(self._record, phase=Phase.ENDED))

    # Recording

    def _publish(self, *, adopted: bool) -> None:
        self._status = ProcessStatus(
            pid=self._identity.pid,
            incarnation=self._record.incarnation,
            adopted=adopted,
            command=self._spec.command,
            log=str(self._log),
        )
        self.context.publish(self._status)

    def _on_exit(self, ended: ProcessExit) -> None:
        # On the exit watch's thread.
        self._exit.try_set(ended)
        self.context.incarnation().tell_system(_Ended(ended))

    def _report_exit(self, ended: ProcessExit) -> None:
        if not self._exit_reported:
            self._exit_reported = True
            self.context.system.events.emit(
                ProcessExited(self.context.path, self._record.incarnation, self._identity.pid, ended.code, ended.signal)
            )

    def _last_lines(self) -> tuple[str, ...]:
        try:
            return tail(self._log, lines=FAILURE_LINES)
        except OSError as error:  # how the process ended does not hang on its log
            return (f"(the log cannot be read: {error})",)

    def _commit(self, record: ProcessRecord) -> None:
        """Make `record` durable, or raise: what follows relies on it."""
        self.context.ensure_current()
        saving = self._os.records.save(record, self._claim)
        try:
            saving.result(timeout=COMMIT_DEADLINE)
        except TimeoutError:
            saving.cancel()  # what nobody relies on need not be written
            raise TimeoutError(
                f"found no answer of the store within {COMMIT_DEADLINE:g} s, expected the record of"
                f" {record.path} (incarnation {record.incarnation}, {record.phase.value}) to be durable"
            ) from None
        self.context.ensure_current()
        # A supervisor that is killed at work is replaced before it could end its children, so this
        # one may have a successor and not know. From here on a successor finds the record.
        self._os.records.ensure_newest(self._claim)

    def _save(self, record: ProcessRecord) -> None:
        """Hand `record` over without waiting: if it is lost, the next boot sees the same by looking."""
        log = self.context.log
        try:
            saving = self._os.records.save(record, self._claim)
        except RecordClaimed:
            return  # a successor is at work: what became of this process is in the past
        saving.add_done_callback(
            lambda saved: saved.exception() and log.error("record not saved", error=str(saved.exception()))
        )
