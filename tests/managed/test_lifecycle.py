"""What a managed process does next, decided from values alone."""

import pytest

from treewarden.actors import ActorPath, Crashed, Healthy, HttpProbe, Liveness, Normal, Readiness, Unhealthy
from treewarden.actors.processes import Phase, ProcessFailed, ProcessIdentity, ProcessRecord
from treewarden.actors.processes._lifecycle import (
    Adopt,
    BecomeReady,
    CheckAgain,
    GiveUp,
    Living,
    ReplaceLeftover,
    Spawn,
    after_live_check,
    after_ready_check,
    at_start,
    exit_reason,
)
from treewarden.actors.processes._process_exit import ProcessExit

IDENTITY = ProcessIdentity(4711, 99, "boot")
DEAD = Living(alive=False, at_gate=False)
ALIVE = Living(alive=True, at_gate=False)
AT_GATE = Living(alive=True, at_gate=True)
PROBE = HttpProbe("http://127.0.0.1:1/")


def record(phase: Phase = Phase.SPAWNED, *, runtime: str = "earlier", fingerprint: str = "same") -> ProcessRecord:
    identity = None if phase is Phase.INTENDED else IDENTITY
    return ProcessRecord(ActorPath("/dev/a"), 7, phase, identity, fingerprint, runtime, 1.0)


@pytest.mark.parametrize(
    ("known", "living", "step"),
    [
        pytest.param(None, DEAD, Spawn(1), id="nothing on record: the first"),
        pytest.param(record(Phase.INTENDED), DEAD, Spawn(8), id="never got past its intent"),
        pytest.param(record(Phase.ENDED), DEAD, Spawn(8), id="ended and known to have"),
        pytest.param(record(Phase.ENDED), ALIVE, Spawn(8), id="ended: whoever has that identity is not ours"),
        pytest.param(record(), DEAD, Spawn(8), id="died while no runtime watched"),
        pytest.param(record(), ALIVE, Adopt(IDENTITY, 7), id="lives and is right"),
        pytest.param(
            record(), AT_GATE, ReplaceLeftover(IDENTITY, 8, "its runtime died before its command began"), id="at gate"
        ),
        pytest.param(
            record(runtime="this"),
            ALIVE,
            ReplaceLeftover(IDENTITY, 8, "its actor was ended without stopping it"),
            id="left by an earlier incarnation in this runtime",
        ),
        pytest.param(
            record(fingerprint="other"),
            ALIVE,
            ReplaceLeftover(IDENTITY, 8, "its definition has changed"),
            id="runs something else than is wanted now",
        ),
    ],
)
def test_the_record_and_the_os_decide_whether_to_adopt_replace_or_spawn(
    known: ProcessRecord | None, living: Living, step: object
) -> None:
    assert step == at_start(known, living, wanted="same", runtime="this")


def test_a_success_code_is_a_normal_end_and_every_other_end_a_failure_with_the_log() -> None:
    codes = frozenset({0, 3})

    assert Normal() == exit_reason(ProcessExit(3, None), success_codes=codes, log_lines=())
    for ended in (ProcessExit(1, None), ProcessExit(None, 9), ProcessExit(None, None)):
        reason = exit_reason(ended, success_codes=codes, log_lines=("last words",))
        assert isinstance(reason, Crashed)
        assert isinstance(reason.error, ProcessFailed)
        assert ("last words",) == reason.error.log_lines


@pytest.mark.parametrize(
    ("code", "signal", "words"),
    [
        (1, None, "exit code 1"),
        (None, 9, "killed by SIGKILL"),
        (None, 99, "killed by signal 99"),
        (None, None, "ended; it was adopted, so its exit code is not known"),
    ],
)
def test_the_end_of_a_process_in_words(code: int | None, signal: int | None, words: str) -> None:
    assert words == str(ProcessFailed(ProcessExit(code, signal), ()))


def test_readiness_is_asked_again_until_its_time_is_up_and_the_last_check_is_made_then() -> None:
    policy = Readiness(PROBE, every=1.0, within=2.5)
    no = Unhealthy("refused")

    assert BecomeReady() == after_ready_check(policy, Healthy(), failures=9, waited=99.0)
    assert CheckAgain(1.0, 1) == after_ready_check(policy, no, failures=0, waited=0.1)
    assert CheckAgain(0.5, 3) == after_ready_check(policy, no, failures=2, waited=2.0)
    assert GiveUp(2.5) == after_ready_check(policy, no, failures=3, waited=2.5)


def test_liveness_gives_up_after_so_many_failures_in_a_row_and_one_success_forgets_them() -> None:
    policy = Liveness(PROBE, every=2.0, failures=3)
    no = Unhealthy("refused")

    assert CheckAgain(2.0, 1) == after_live_check(policy, no, failures=0)
    assert CheckAgain(2.0, 2) == after_live_check(policy, no, failures=1)
    assert GiveUp(6.0) == after_live_check(policy, no, failures=2)
    assert CheckAgain(2.0, 0) == after_live_check(policy, Healthy(), failures=2)
