"""A supervisor's own settings: which siblings a child's end concerns, how many restarts, and when it ends itself.

The flags are OTP's (supervisor(3), "Supervision Principles" and "Automatic Shutdown").
"""

import enum
from dataclasses import dataclass
from typing import Final, final

from treewarden.actors import Intensity

__all__ = ["DEFAULT_INTENSITY", "AutoShutdown", "Strategy", "SupervisorSettings"]

DEFAULT_INTENSITY: Final = Intensity(3, within=5.0)


@final
class Strategy(enum.Enum):
    """Which children are restarted when one of them ended and is to be restarted."""

    ONE_FOR_ONE = "one_for_one"  # only that child
    ONE_FOR_ALL = "one_for_all"  # all of them
    REST_FOR_ONE = "rest_for_one"  # that child and those after it in start order


@final
class AutoShutdown(enum.Enum):
    """Whether the end of `significant` children ends their supervisor, with `Shutdown("auto_shutdown")`."""

    NEVER = "never"
    ANY_SIGNIFICANT = "any_significant"  # as soon as one of them ended by itself
    ALL_SIGNIFICANT = "all_significant"  # once none of them is left alive


@final
@dataclass(frozen=True, slots=True)
class SupervisorSettings:
    """What a supervisor goes by; `change` replaces it on a living one."""

    strategy: Strategy = Strategy.ONE_FOR_ONE
    intensity: Intensity = DEFAULT_INTENSITY
    auto_shutdown: AutoShutdown = AutoShutdown.NEVER
