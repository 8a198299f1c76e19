"""Whatever a runtime started is found by the mark in its environment, wherever it went."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from treewarden.actors.processes import _cookies
from treewarden.actors.processes._cookies import COOKIE_VARIABLE, Bearer, Cookie, end_bearers, find_bearers
from treewarden.actors.processes._gated_process import GatedProcess
from treewarden.actors.processes._identity import ProcessIdentity, identify, is_alive
from treewarden.actors.processes._session import end_session

Spawn = Callable[..., GatedProcess]
WaitTrue = Callable[[Callable[[], object]], None]
WaitLine = Callable[[str], None]


@pytest.fixture
def cookie(mark: str) -> Cookie:
    return Cookie(store_id=mark, path="/dev/api", incarnation=3)


@pytest.fixture
def daemon(run: Spawn, cookie: Cookie, tmp_path: Path, wait_line: WaitLine, wait_true: WaitTrue) -> ProcessIdentity:
    """A process that forked twice and left its session, as daemons do."""
    parent = run("setsid sh -c 'sleep 1000 & echo $! >daemon'; echo ready", **{COOKIE_VARIABLE: cookie.render()})
    wait_line("ready")
    identity = identify(int((tmp_path / "daemon").read_text()))
    assert end_session(parent.identity, grace=10.0).ended
    wait_true(lambda: Path(f"/proc/{identity.pid}/cmdline").read_bytes().startswith(b"sleep"))
    return identity


@given(
    store_id=st.text(st.characters(exclude_characters=":\0"), min_size=1),
    path=st.text(st.characters(exclude_characters="\0")),
    incarnation=st.integers(0, 2**64),
)
def test_a_cookie_is_read_as_it_was_written(store_id: str, path: str, incarnation: int) -> None:
    cookie = Cookie(store_id, path, incarnation)

    assert cookie == Cookie.parse(cookie.render())


@pytest.mark.parametrize("text", ["", "a", "a:1", "a:one:/x", "a:-1:/x", ":1:/x", "a::/x"])
def test_what_is_not_a_cookie_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="found"):
        Cookie.parse(text)


@pytest.mark.parametrize(("store_id", "path"), [("", "/x"), ("a:b", "/x"), ("a\0", "/x"), ("a", "/x\0")])
def test_a_cookie_that_could_not_be_read_again_is_refused(store_id: str, path: str) -> None:
    with pytest.raises(ValueError, match="expected a store id"):
        Cookie(store_id, path, 1)


def test_a_gate_bears_its_cookie_before_its_command_runs(spawn: Spawn, cookie: Cookie) -> None:
    process = spawn("true", **{COOKIE_VARIABLE: cookie.render()})

    assert (Bearer(process.identity, cookie),) == find_bearers(cookie.store_id)


def test_a_daemon_that_left_its_session_is_found_and_ended(daemon: ProcessIdentity, cookie: Cookie) -> None:
    bearers = find_bearers(cookie.store_id)

    assert (Bearer(daemon, cookie),) == bearers
    assert end_bearers(bearers, grace=10.0) == ()
    assert not is_alive(daemon)
    assert find_bearers(cookie.store_id) == ()


def test_a_bearer_that_ignores_term_is_killed(run: Spawn, cookie: Cookie, wait_line: WaitLine) -> None:
    run("trap '' TERM; echo ready; exec sleep 1000", **{COOKIE_VARIABLE: cookie.render()})
    wait_line("ready")

    assert end_bearers(find_bearers(cookie.store_id), grace=0.05) == ()
    assert find_bearers(cookie.store_id) == ()


def test_a_stopped_bearer_ends_on_term(
    daemon: ProcessIdentity, cookie: Cookie, stopped: Callable[[ProcessIdentity], ProcessIdentity]
) -> None:
    stopped(daemon)

    assert end_bearers(find_bearers(cookie.store_id), grace=10.0) == ()


def test_only_this_stores_bearers_are_found(spawn: Spawn, cookie: Cookie) -> None:
    for other in (replace(cookie, store_id=cookie.store_id + "x").render(), f"{cookie.store_id}:x:/dev", "", ":::"):
        spawn("true", **{COOKIE_VARIABLE: other})
    spawn("true", **{"NOT_" + COOKIE_VARIABLE: cookie.render()})
    spawn("true")

    assert find_bearers(cookie.store_id) == ()


def test_a_process_that_cleared_its_environment_is_not_found(spawn: Spawn, cookie: Cookie, wait_true: WaitTrue) -> None:
    process = spawn("env", "-u", COOKIE_VARIABLE, "sleep", "1000", **{COOKIE_VARIABLE: cookie.render()})
    assert find_bearers(cookie.store_id)
    process.release()

    wait_true(lambda: not find_bearers(cookie.store_id))
    assert is_alive(process.identity)


def test_a_zombie_bears_nothing(spawn: Spawn, cookie: Cookie, wait_true: WaitTrue) -> None:
    process = spawn("true", **{COOKIE_VARIABLE: cookie.render()})
    process.release()
    os.waitid(os.P_PID, process.identity.pid, os.WEXITED | os.WNOWAIT)

    assert find_bearers(cookie.store_id) == ()


def test_a_long_environment_is_read_to_its_end(spawn: Spawn, cookie: Cookie) -> None:
    padding = {f"PADDING_{number}": "x" * 100_000 for number in range(5)}
    process = spawn("true", **padding, **{COOKIE_VARIABLE: cookie.render()})

    assert (Bearer(process.identity, cookie),) == find_bearers(cookie.store_id)


def test_who_no_longer_bears_the_cookie_is_not_signalled_and_is_named(  # noqa: PLR0917 - pytest fixtures
    spawn: Spawn,
    cookie: Cookie,
    wait_true: WaitTrue,
    stopped: Callable[[ProcessIdentity], ProcessIdentity],
    untouched: Callable[[ProcessIdentity], bool],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    process = spawn("env", "-u", COOKIE_VARIABLE, "sleep", "1000", **{COOKIE_VARIABLE: cookie.render()})
    bearers = find_bearers(cookie.store_id)
    process.release()
    # By its command line: between two programs a process seems, for an instant, to have no environment.
    wait_true(lambda: psutil.Process(process.identity.pid).cmdline() == ["sleep", "1000"])
    assert () == find_bearers(cookie.store_id)
    stopped(process.identity)
    monkeypatch.setattr(_cookies, "KILL_PATIENCE", 0.05)

    assert len(bearers) == 1
    assert (process.identity.pid,) == end_bearers(bearers, grace=0.05)
    assert untouched(process.identity)


def test_a_stranger_that_got_the_pid_of_a_bearer_is_not_signalled(
    spawn: Spawn,
    cookie: Cookie,
    stopped: Callable[[ProcessIdentity], ProcessIdentity],
    untouched: Callable[[ProcessIdentity], bool],
) -> None:
    stranger = spawn("true", **{COOKIE_VARIABLE: cookie.render()}).identity
    stopped(stranger)
    dead = Bearer(replace(stranger, start_ticks=stranger.start_ticks - 1), cookie)

    assert end_bearers([dead], grace=10.0) == ()
    assert untouched(stranger)


def test_the_caller_and_its_ancestors_are_never_touched(environment: dict[str, str], cookie: Cookie) -> None:
    program = (
        "import os, sys\n"
        "from treewarden.actors.processes import _cookies\n"
        "_cookies.KILL_PATIENCE = 0.05\n"
        "bearers = _cookies.find_bearers(sys.argv[1])\n"
        "left = _cookies.end_bearers(bearers, grace=0.05)\n"
        "print(len(bearers), {os.getpid(), os.getppid()} == set(left), flush=True)\n"
    )
    done = subprocess.run(
        ["/bin/sh", "-c", '"$@"; echo parent lives', "sh", sys.executable, "-c", program, cookie.store_id],
        env={**os.environ, **environment, COOKIE_VARIABLE: cookie.render()},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    assert done.stdout.splitlines() == ["2 True", "parent lives"]
