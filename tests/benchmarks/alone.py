"""A function in an interpreter of its own, so that its memory, its time and its imports are told apart."""

import contextlib
import importlib
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

__all__ = ["alone"]

PATIENCE: Final = 30.0  # seconds that it has to end when it is told to


def alone(function: Callable[..., object], *arguments: object) -> Any:
    """What `function`, a module's own, returns for `arguments`, all of it as JSON has it.

    Raises:
        RuntimeError: it did not come to an end; says what was printed on standard error.
    """
    command = [sys.executable, str(Path(__file__)), function.__module__, function.__name__, json.dumps(arguments)]
    # In a session of its own, so that Ctrl-C reaches it once only, from here: it has a tree to take down.
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            found, said = process.communicate()
        except BaseException:
            process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(PATIENCE)
            process.kill()
            raise
    if process.returncode:
        raise RuntimeError(f"{function.__module__}.{function.__name__} ended {process.returncode}: {said.strip()}")
    return json.loads(found)


if __name__ == "__main__":
    _, module, name, given = sys.argv
    print(json.dumps(getattr(importlib.import_module(module), name)(*json.loads(given))))
