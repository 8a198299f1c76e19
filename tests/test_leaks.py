"""The leak check of conftest.py, proved on small runs of its own."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

CONFTEST = Path(__file__).with_name("conftest.py")
QUICK = "PATIENCE: Final = 0.3"


@pytest.fixture
def small_run(pytester: pytest.Pytester) -> pytest.Pytester:
    """A folder with our conftest.py in it, only less patient."""
    source = CONFTEST.read_text()
    assert "PATIENCE: Final = 5.0" in source
    pytester.makeconftest(source.replace("PATIENCE: Final = 5.0", QUICK))
    return pytester


@pytest.fixture
def stranger() -> Iterator[subprocess.Popen[bytes]]:
    """A process of another run: it bears a cookie and that run's mark."""
    environment = {**os.environ, "TREEWARDEN_COOKIE": "s:1:/dev/api", "LC_TREEWARDEN_TEST_RUN": "another"}
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, env=environment) as process:
        yield process
        process.kill()


def test_a_run_that_gives_everything_back_passes(small_run: pytest.Pytester, stranger: subprocess.Popen[bytes]) -> None:
    small_run.makepyfile(
        """
        import socket, subprocess, sys, tempfile, threading

        def test_everything_is_given_back():
            thread = threading.Thread(target=int, name="treewarden-x")
            thread.start()
            subprocess.run([sys.executable, "-c", ""], check=True)
            with socket.create_server(("127.0.0.1", 0)), tempfile.TemporaryDirectory(prefix="treewarden-"):
                pass
        """
    )

    result = small_run.runpytest_subprocess("-p", "no:cacheprovider")

    assert result.ret == pytest.ExitCode.OK
    result.stdout.no_fnmatch_line("*LEFT BEHIND*")
    assert stranger.poll() is None


def test_a_run_that_leaves_things_behind_fails_and_names_each(
    small_run: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test itself passes; the run does not."""
    small_run.makepyfile(
        """
        import os, socket, subprocess, sys, tempfile, threading

        kept = []

        def test_much_is_left():
            gate = threading.Event()
            threading.Thread(target=gate.wait, args=(20,), name="forgotten", daemon=True).start()
            kept.append(socket.create_server(("127.0.0.1", 0)))
            bound = socket.socket(socket.AF_UNIX)
            bound.bind("forgotten.sock")
            kept.append(bound)
            tempfile.mkdtemp(prefix="treewarden-forgotten-", dir=None)
            zombie = subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE)
            zombie.stdout.read()
            kept.append(zombie)
            cookie = {**os.environ, "TREEWARDEN_COOKIE": "s:1:/dev/api"}
            orphan = [sys.executable, "-c", "import os; os.fork() or (os.setsid(), open('pid', 'w').write(str(os.getpid())), os.close(1), __import__('signal').pause())"]
            subprocess.run(orphan, env=cookie, check=True, stdout=subprocess.PIPE)
        """
    )
    monkeypatch.setenv("TMPDIR", str(small_run.path))

    result = small_run.runpytest_subprocess("-p", "no:cacheprovider", "-W", "ignore")

    orphan = psutil.Process(int((small_run.path / "pid").read_text()))
    orphan.kill()
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["*LEFT BEHIND: the run fails*"])
    for line in (
        "threads: forgotten (*",
        "children: *",
        f"bearers: {orphan.pid} *",
        "sockets: *127.0.0.1*",
        "sockets: forgotten.sock*",
        "temporary: */treewarden-forgotten-*",
    ):
        result.stdout.fnmatch_lines([line])
    result.stdout.fnmatch_lines(["*1 passed*"])


def test_a_framework_thread_that_outlives_its_test_fails_that_test(small_run: pytest.Pytester) -> None:
    """The next test, in whatever order, is not blamed for it."""
    small_run.makepyfile(
        """
        import threading

        gate = threading.Event()

        def test_forgets_its_thread():
            threading.Thread(target=gate.wait, args=(20,), name="treewarden-worker-7", daemon=True).start()

        def test_is_innocent():
            pass
        """
    )

    result = small_run.runpytest_subprocess("-p", "no:cacheprovider")

    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["*test_forgets_its_thread left threads behind: treewarden-worker-7*"])


def test_a_failed_run_keeps_its_own_exit_status(small_run: pytest.Pytester) -> None:
    small_run.makepyfile("import no_such_module")

    result = small_run.runpytest_subprocess("-p", "no:cacheprovider")

    assert result.ret == pytest.ExitCode.INTERRUPTED
