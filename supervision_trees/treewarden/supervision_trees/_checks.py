"""What a set of child specs must be before any of them is started (supervision.md B 1.1 and 1.2).

Pure. A spec alone checks itself when it is made; here is what only its siblings and its
supervisor's settings can tell.
"""

from collections.abc import Iterable, Iterator
from graphlib import CycleError, TopologicalSorter
from typing import cast

from treewarden.actors import ChildId, ChildSpec, Intensity, InvalidChildSpec
from treewarden.supervision_trees._errors import InvalidSupervisor
from treewarden.supervision_trees._strategy import AutoShutdown, Strategy, SupervisorSettings

__all__ = [
    "check_child",
    "check_settings",
    "check_spec",
    "checked_children",
    "given_children",
    "is_count",
    "is_duration",
]


def checked_children(children: Iterable[ChildSpec], settings: SupervisorSettings) -> tuple[ChildSpec, ...]:
    """The specs, if a supervisor with these settings can have them.

    Raises:
        InvalidSupervisor: as `given_children`, or naming the setting, the duplicate id, the unknown
            need, or the cycle of needs.
        InvalidChildSpec: as `given_children`, or naming the child's field that does not go with the settings.
    """
    given = given_children(children)
    check_settings(settings)
    specs: dict[ChildId, ChildSpec] = {}
    for spec in given:
        if spec.id in specs:
            raise InvalidSupervisor("children", spec.id, "an id that no sibling has")
        specs[spec.id] = spec
    for spec in specs.values():
        check_child(spec, settings)
        for need in spec.needs:
            if need not in specs:
                raise InvalidSupervisor(f"children.{spec.id}.needs", need, f"a sibling: one of {', '.join(specs)}")
    try:
        TopologicalSorter({spec.id: spec.needs for spec in specs.values()}).prepare()
    except CycleError as error:
        raise InvalidSupervisor("children", " -> ".join(error.args[1]), "needs that form no cycle") from None
    return tuple(specs.values())


def check_settings(settings: SupervisorSettings) -> None:
    """Check the settings themselves: what is no strategy would be noticed at the first crash only.

    Raises:
        InvalidSupervisor: naming the setting (OTP's supervisor_data errors).
    """
    _require("strategy", settings.strategy, Strategy)
    _require("intensity", settings.intensity, Intensity)
    _require("auto_shutdown", settings.auto_shutdown, AutoShutdown)


def _require(field: str, found: object, kind: type) -> None:
    if not isinstance(found, kind):
        raise InvalidSupervisor(field, found, f"an object of {kind.__name__}")


def check_spec(field: str, found: object) -> None:
    """Check that what should be a spec is one: a caller's mistake must not be the supervisor's crash.

    Raises:
        InvalidChildSpec: it is something else (OTP's invalid_child_spec).
    """
    if not isinstance(found, ChildSpec):
        raise InvalidChildSpec(field, found=found, expected="a ChildSpec: ChildSpec.of(SomeActor, ...)")


def given_children(found: object) -> tuple[ChildSpec, ...]:
    """The specs that a supervisor was given.

    Raises:
        InvalidSupervisor: it is no collection, or one that can be read once only: the supervisor
            would begin without children when it is started again.
        InvalidChildSpec: something in it is no spec.
    """
    if not _can_be_read_again(found):
        raise InvalidSupervisor("children", found, "a list or tuple of ChildSpec, which can be read at each start")
    children = tuple(cast("Iterable[ChildSpec]", found))
    for place, spec in enumerate(children):
        check_spec(f"children[{place}]", spec)
    return children


def _can_be_read_again(found: object) -> bool:
    return isinstance(found, Iterable) and not isinstance(found, Iterator | str)


def check_child(spec: ChildSpec, settings: SupervisorSettings) -> None:
    """Check what a spec asks of its supervisor.

    Raises:
        InvalidChildSpec: a significant child where nothing looks at that (OTP's bad_combination), or
            a limit of its own under a strategy that restarts siblings together.
    """
    if spec.significant and settings.auto_shutdown is AutoShutdown.NEVER:
        raise InvalidChildSpec(
            f"children.{spec.id}.significant", found=True, expected="a supervisor with auto_shutdown, or False"
        )
    if spec.intensity is not None and settings.strategy is not Strategy.ONE_FOR_ONE:
        # Under a group strategy one child's crash restarts others: whose limit would it be charged to?
        raise InvalidChildSpec(
            f"children.{spec.id}.intensity",
            found=spec.intensity,
            expected=f"none: under {settings.strategy.value} restarts are charged to the supervisor",
        )


def is_count(value: object) -> bool:
    """Whether `value` is a whole number from 0 on; True and False are none."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def is_duration(value: object) -> bool:
    """Whether `value` is a number of seconds above 0, or infinity; True and False are none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0
