"""What a tree expects of the machine: programs, directories, variables and classes, before any start.

Only a look: a file may go away before the process starts, and then the start fails and says so.
What depends on a reference is not looked at, since it is not known yet. Importing an actor's
class runs its module.
"""

import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from treewarden.actors import FromEnv
from treewarden.actors.processes import ExecutableMissing, ExecutableNotRunnable, base_environment, resolve_executable
from treewarden.supervision_trees.definitions._classes import ClassUnusable, argument_mistake, import_actor
from treewarden.supervision_trees.definitions._groups import groups, processes
from treewarden.supervision_trees.definitions._mistakes import Finding, Location
from treewarden.supervision_trees.definitions._schema import ActorFields, ProcessFields, TreeFields
from treewarden.supervision_trees.definitions._templates import literal
from treewarden.supervision_trees.definitions._wording import alternatives, clipped

__all__ = ["surroundings_findings"]


def surroundings_findings(tree: TreeFields, *, environment: Mapping[str, str], folder: Path) -> Iterator[Finding]:
    """Every mistake that shows only on this machine.

    `environment` is the runtime's own; relative working directories begin at `folder`.
    """
    usual_path = base_environment(environment)["PATH"]
    for group in groups(tree):
        for location, process in processes(group):
            yield from _missing_variables(process, location, environment)
            yield from _wrong_directory(process, location, folder)
            path = _path_of(process, usual_path, environment)
            yield from _missing_programs(process, location, path, folder)
        for location, child in group.children():
            if isinstance(child, ActorFields):
                yield from _wrong_class(child, location)


def _missing_variables(process: ProcessFields, location: Location, environment: Mapping[str, str]) -> Iterator[Finding]:
    for name, value in process.env.items():
        if isinstance(value, FromEnv) and value.name not in environment:
            yield Finding(
                (*location, "env", name),
                f"from_env: {value.name}, which is not set",
                f"the variable {value.name} in the environment of the runtime",
            )


def _wrong_directory(process: ProcessFields, location: Location, folder: Path) -> Iterator[Finding]:
    cwd = literal(process.cwd)
    if cwd and (why := _why_no_directory(folder / cwd)) is not None:
        yield Finding((*location, "cwd"), f"{clipped(cwd)}, {why}", "a directory that exists")


def _why_no_directory(cwd: Path) -> str | None:
    try:
        mode = cwd.stat().st_mode
    except OSError as error:
        return f"which cannot be used ({error.strerror})"
    if not stat.S_ISDIR(mode):
        return "which is no directory"
    return None if os.access(cwd, os.X_OK) else "which may not be entered"


def _missing_programs(process: ProcessFields, location: Location, path: str | None, folder: Path) -> Iterator[Finding]:
    cwd = literal(process.cwd)
    if not cwd or path is None or _why_no_directory(folder / cwd) is not None:
        return  # not known yet, or complained about already
    rests_on = ((*location, "shell"), (*location, "cwd"), (*location, "env", "PATH"))
    for place, name in _programs(process, location):
        if (program := literal(name)) and program.strip():
            why = _why_not_runnable(program, path=path, cwd=str(folder / cwd))
            if why is not None:
                found, expected = why
                yield Finding(place, found, expected, rests_on)


def _programs(process: ProcessFields, location: Location) -> Iterator[tuple[Location, str]]:
    if isinstance(process.command, list):
        yield (*location, "command", 0), process.command[0]
    for purpose, probe in (("ready", process.ready), ("live", process.live)):
        if probe is not None and probe.command is not None:
            yield (*location, purpose, "command", 0), probe.command[0]


def _path_of(process: ProcessFields, usual: str, environment: Mapping[str, str]) -> str | None:
    """The PATH the child will have; `None` if it is known only at a start or complained about."""
    match process.env.get("PATH"):
        case None:
            return usual
        case FromEnv(name):
            return environment.get(name)
        case str() as text:
            return literal(text)


def _why_not_runnable(name: str, *, path: str, cwd: str) -> tuple[str, str] | None:
    try:
        resolve_executable(name, path=path, cwd=cwd)
    except ExecutableMissing as error:
        where = "at that path" if "/" in name else f"of that name in {alternatives(error.searched)}"
        return f"the program {clipped(name)}, which is not there", f"an executable file {where}"
    except ExecutableNotRunnable as error:
        return f"the program {clipped(error.path)}, {error.found}", "a regular file that may be executed"
    return None


def _wrong_class(actor: ActorFields, location: Location) -> Iterator[Finding]:
    try:
        actor_class = import_actor(actor.class_path)
    except ClassUnusable as error:
        yield Finding((*location, "class"), error.found, error.expected)
        return
    mistake = argument_mistake(actor_class, actor.args)
    if mistake is not None:
        found, expected = mistake
        yield Finding((*location, "args"), found, expected, ((*location, "class"),))
