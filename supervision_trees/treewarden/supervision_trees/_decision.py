"""Whether a child that ended by itself is started again (supervision.md B 1.3)."""

import enum
from typing import assert_never, final

from treewarden.actors import Crashed, ExitReason, Restart, StateUnusable, is_abnormal

__all__ = ["AfterExit", "after_exit", "is_unrecoverable"]


@final
class AfterExit(enum.Enum):
    """What becomes of the child."""

    RESTART = "restart"
    KEEP = "keep"  # stopped; its spec stays, `restart_child` may start it
    FORGET = "forget"  # its spec is dropped


def after_exit(restart: Restart, reason: ExitReason) -> AfterExit:
    """OTP's table of restart type and exit reason."""
    match restart:
        case Restart.PERMANENT:
            return AfterExit.RESTART
        case Restart.TRANSIENT:
            return AfterExit.RESTART if is_abnormal(reason) else AfterExit.KEEP
        case Restart.TEMPORARY:
            return AfterExit.FORGET
        case _:
            assert_never(restart)


def is_unrecoverable(reason: ExitReason) -> bool:
    """Whether a start failed so that another attempt can only fail the same way (supervision.md A.18)."""
    return isinstance(reason, Crashed) and isinstance(reason.error, StateUnusable)
