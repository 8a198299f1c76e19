"""Command checks: run an argument list, read its exit code, leave nobody behind.

No shell (MS3, MS4). The command gets its own session, /dev/null as input, the given environment
over a minimal one and, without a `cwd`, the root directory: neither the runtime's secrets nor its
working directory leak into a check (MS31). It is started from the event loop's thread: `Popen`
uses vfork(2) here and holds the GIL until the exec, so another thread would gain nothing.

Whether the command ended or ran out of time, its group is killed at once, and its whole session
is swept away from the loop if anything of it may be left.

Not promised: a descendant that called setsid(2) is out of reach, and so is, after a pass or fail
in time, one that left both the group and the output (a job of a `set -m` shell, redirected).
A runtime killed with SIGKILL leaves a check that was under way to itself.
"""

import asyncio
import signal
import subprocess
from collections.abc import Mapping

from treewarden.actors._probe import CommandProbe, Health, Healthy, Unhealthy
from treewarden.actors.probes._child_exit import ExitStatusLost, wait_exited
from treewarden.actors.probes._output_tail import OutputTail
from treewarden.actors.probes._sweeper import CheckCommand, Sweeper
from treewarden.actors.probes._wording import describe_os_error, describe_probe, last_line, one_line
from treewarden.actors.processes._identity import ProcessIdentity, look_at

__all__ = ["check_command"]


async def check_command(probe: CommandProbe, *, environment: Mapping[str, str], sweeper: Sweeper) -> Health:
    """Run `probe.argv` once; Healthy when it exits 0. Cancel it to end the command with its session."""
    name = describe_probe(probe)
    if not probe.argv:
        return Unhealthy(f"{name}: expected an argument list that names a program, found none")
    output = OutputTail(asyncio.get_running_loop())
    try:
        try:
            command = _spawn(probe, environment=environment, output=output.writer)
        finally:
            output.close_writer()
        code, last = await _follow(command, output=output, sweeper=sweeper)
    except OSError as error:
        return Unhealthy(f"{name}: cannot start: {describe_os_error(error)}: {_culprit(error, probe)}")
    except ValueError as error:  # a null byte, or '=' in a variable's name: the system cannot be given it
        return Unhealthy(f"{name}: cannot start: {one_line(str(error))}")
    except ExitStatusLost as error:
        return Unhealthy(f"{name}: {error}")
    finally:
        output.close()
    return Healthy() if code == 0 else Unhealthy(f"{name}: {_verdict(code)}" + (f": {last}" if last else ""))


def _spawn(probe: CommandProbe, *, environment: Mapping[str, str], output: int) -> CheckCommand:
    process = subprocess.Popen(
        probe.argv,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        cwd=probe.cwd or "/",
        env={**environment, **probe.env},
        start_new_session=True,
    )
    try:
        return CheckCommand(process, _identity_of(process))
    except BaseException:
        process.kill()  # Popen looks first: nothing is sent if somebody else has reaped it
        process.wait()
        raise


def _identity_of(process: "subprocess.Popen[bytes]") -> ProcessIdentity:
    # Not reaped yet, so what has this pid is the command, be it a zombie already.
    sighting = look_at(process.pid)
    if sighting is None:
        raise ExitStatusLost(process.pid)
    return sighting.identity


async def _follow(command: CheckCommand, *, output: OutputTail, sweeper: Sweeper) -> tuple[int, str]:
    """Wait for the exit code and the last line of output; however the wait ends, nobody is left."""
    only_group = False
    try:
        code = await wait_exited(command.process)
        last = last_line(output.take_rest())
        # Nobody else holds the output: what is left, if anything, left neither it nor the group.
        only_group = output.is_at_end
    finally:  # out of time and closing included
        if only_group:
            sweeper.end_group(command)
        else:
            sweeper.end_session(command)
    return code, last


def _culprit(error: OSError, probe: CommandProbe) -> str:
    """Name what could not be used: `Popen` says whether it was the program or its directory."""
    found = str(error.filename or probe.argv[0])
    return f"{one_line(found)} (in the directory {one_line(probe.cwd or '/')})"


def _verdict(code: int) -> str:
    if code >= 0:
        return f"expected exit code 0, found {code}"
    try:
        return f"expected exit code 0, ended by {signal.Signals(-code).name}"
    except ValueError:  # a real-time signal has no name
        return f"expected exit code 0, ended by signal {-code}"
