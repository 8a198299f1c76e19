"""A function in an interpreter of its own, so that its memory, its time and its imports are told apart."""

import importlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["alone"]


def alone(function: Callable[..., object], *arguments: object) -> Any:
    """What `function`, a module's own, returns for `arguments`, all of it as JSON has it.

    Raises:
        RuntimeError: it did not come to an end; says what was printed on standard error.
    """
    command = [sys.executable, str(Path(__file__)), function.__module__, function.__name__, json.dumps(arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{function.__module__}.{function.__name__} ended {done.returncode}: {done.stderr.strip()}")
    return json.loads(done.stdout)


if __name__ == "__main__":
    _, module, name, given = sys.argv
    print(json.dumps(getattr(importlib.import_module(module), name)(*json.loads(given))))
