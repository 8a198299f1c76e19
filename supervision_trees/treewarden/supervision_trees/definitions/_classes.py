"""Actor classes named in a definition: importing them and fitting their arguments.

Importing a module runs it, so whatever it raises is a mistake in the definition's surroundings
and is quoted, not passed on.
"""

import importlib
import inspect
from collections.abc import Mapping
from typing import TypeGuard

from treewarden.actors import Actor, TreewardenError
from treewarden.supervision_trees.definitions._wording import alternatives, clipped, closest

__all__ = ["ClassUnusable", "argument_mistake", "import_actor"]


class ClassUnusable(TreewardenError):
    """A class path leads to nothing that can run as an actor. Ends inside this package."""

    def __init__(self, found: str, expected: str) -> None:
        super().__init__(f"found {found}, expected {expected}")
        self.found, self.expected = found, expected


def import_actor(class_path: str) -> type[Actor]:
    """The actor class at `module:Name`.

    Raises:
        ClassUnusable: if the module cannot be imported, has no such name, or it is no actor class.
    """
    module_name, _, name = class_path.partition(":")
    quoted = clipped(class_path)
    importlib.invalidate_caches()  # a runtime that has been up for days meets modules written a moment ago
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:  # boundary: a user's module may raise anything
        found = f"{quoted}, whose module failed to import ({_in_one_line(error)})"
        raise ClassUnusable(found, "a module on sys.path that imports") from error
    try:
        named: object = getattr(module, name)
    except AttributeError as error:
        near = closest(name, [known for known in vars(module) if not known.startswith("_")])
        expected = f"{module_name}:{near}" if near else f"the name of a class in {module_name}"
        raise ClassUnusable(f"{quoted}, but there is no {name} in that module", expected) from error
    if not _is_actor_class(named):
        kind = "a class that is no Actor" if isinstance(named, type) else f"a value of type {type(named).__name__}"
        raise ClassUnusable(f"{quoted}, {kind}", "a subclass of treewarden.actors.Actor")
    return named


def _is_actor_class(named: object) -> TypeGuard[type[Actor]]:
    return isinstance(named, type) and issubclass(named, Actor)


def argument_mistake(actor_class: type[Actor], args: Mapping[str, object]) -> tuple[str, str] | None:
    """What is wrong with `args` as keyword arguments of the class, as (found, expected); else `None`."""
    try:
        signature = inspect.signature(actor_class)
    except (TypeError, ValueError):  # a class without a readable signature takes what it takes
        return None
    try:
        signature.bind(**args)
    except TypeError as error:
        names = [name for name, known in signature.parameters.items() if known.kind is not known.VAR_POSITIONAL]
        return (
            f"arguments that do not fit ({error})",
            f"those of {actor_class.__name__}: {alternatives(names) or 'none'}",
        )
    return None


def _in_one_line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
