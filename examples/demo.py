"""The main job, told step by step: start, crash, restart, kill -9 of the runtime, adoption, down.

Runs the command line on examples/dev_stack.yaml the way a person would, ends 0 if every step did
what it says, and leaves nothing behind. `make demo` runs it.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

HERE = Path(__file__).resolve().parent
DEFINITION = HERE / "dev_stack.yaml"
STATE = Path(".demo")
PORT = 8642
PATIENCE = 30.0  # seconds for anything to come true


def say(text: str) -> None:
    """Tell what happens next."""
    print(f"\n\033[1m== {text}\033[0m" if sys.stdout.isatty() else f"\n== {text}", flush=True)


def fail(text: str) -> NoReturn:
    """End with a reason; `main` takes the tree down."""
    raise SystemExit(f"demo: FAILED: {text}")


def treewarden(*words: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
    """Run the command line, showing it."""
    print("$ treewarden", *words, flush=True)
    done = run(*words, errors=subprocess.STDOUT)
    print(done.stdout.rstrip(), flush=True)
    if check and done.returncode != 0:
        fail(f"treewarden {words[0]} ended with {done.returncode}")
    return done


def run(*words: str, errors: int = subprocess.PIPE) -> "subprocess.CompletedProcess[str]":
    """Run the command line quietly; `errors` says where its stderr goes."""
    command = [sys.executable, "-m", "treewarden.supervision_trees.cli", *words]
    where = [] if words[0] == "check" else ["--state", str(STATE)]
    return subprocess.run([*command, *where], stdout=subprocess.PIPE, stderr=errors, text=True, check=False)


def look() -> dict[str, Any]:
    """The tree as JSON; the runtime must be running."""
    done = run("tree", "--json")
    if done.returncode != 0:
        fail(done.stderr.strip())
    tree: dict[str, Any] = json.loads(done.stdout)
    return tree


def services(tree: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The two services by name."""
    return {child["path"].rpartition("/")[2]: child for child in tree["root"]["children"]}


def both_ready(tree: dict[str, Any]) -> bool:
    """Whether both services run and are ready."""
    return all(child["state"] == "running" and child["ready"] for child in services(tree).values())


def wait_tree(what: str, is_true: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Look at the tree until `is_true` of it."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        tree = look()
        if is_true(tree):
            return tree
        time.sleep(0.1)
    treewarden("tree", check=False)  # who is not ready, and why
    fail(f"still not so after {PATIENCE:g} s: {what}")


def is_running(pid: int) -> bool:
    """Whether `pid` is there and not a zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        if Path("/proc/self").exists():
            return False
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        return True
    return state not in "ZX"


def wait_gone(pid: int) -> None:
    """Wait until `pid` is no longer running."""
    deadline = time.monotonic() + PATIENCE
    while is_running(pid):
        if time.monotonic() > deadline:
            fail(f"pid {pid} is still running")
        time.sleep(0.02)


def story() -> None:
    """The steps; each fails loudly."""
    say("start: the definition is checked, then run in the background")
    treewarden("check", str(DEFINITION))
    treewarden("up", str(DEFINITION), "--detach")
    before = wait_tree("both services ready", both_ready)
    treewarden("tree")

    server = services(before)["server"]["pid"]
    say(f"crash: the server (pid {server}) is killed with kill -9")
    os.kill(server, signal.SIGKILL)
    replaced = wait_tree(
        "the server replaced and ready", lambda tree: both_ready(tree) and services(tree)["server"]["pid"] != server
    )
    print(f"replaced: pid {server} -> {services(replaced)['server']['pid']}, ready again")
    treewarden("ps")

    runtime = replaced["runtime_pid"]
    pids = {name: service["pid"] for name, service in services(replaced).items()}
    say(f"the runtime itself (pid {runtime}) is killed with kill -9")
    os.kill(runtime, signal.SIGKILL)
    wait_gone(runtime)
    treewarden("ps", check=False)
    for name, pid in pids.items():
        if not is_running(pid):
            fail(f"{name} (pid {pid}) did not survive its runtime")
        print(f"{name} lives on: pid {pid}")

    say("started again: what lives is adopted, nothing is started twice")
    treewarden("up", str(DEFINITION), "--detach")
    adopted = wait_tree("both services ready", both_ready)
    treewarden("tree")
    for name, service in services(adopted).items():
        if service["pid"] != pids[name] or not service["adopted"]:
            fail(f"{name} was not adopted: pid {pids[name]} before, {service['pid']} now")
    print(f"adopted with the same pids: {pids}")

    say("down: everything stops, in reverse order")
    treewarden("events")
    treewarden("down")
    for pid in (*pids.values(), adopted["runtime_pid"]):
        wait_gone(pid)
    print("no process of the tree is left")


def main() -> None:
    """Tell the story on a clean state directory, and clean up however it ends."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", PORT))
        except OSError as error:
            raise SystemExit(
                f"demo: port {PORT} is taken ({error.strerror}); the dev stack needs it free: end what listens there"
            ) from None
    if STATE.exists():
        run("down")
    shutil.rmtree(STATE, ignore_errors=True)
    try:
        story()
    finally:
        if STATE.exists():
            run("down")
            shutil.rmtree(STATE, ignore_errors=True)
    say("done: start, crash, restart and adoption were all shown")


if __name__ == "__main__":
    main()
