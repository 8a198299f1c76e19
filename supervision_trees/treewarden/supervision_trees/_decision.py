"""Whether a child that ended by itself is started again (supervision.md B 1.3)."""

import enum
from typing import assert_never, final

from treewarden.actors import ExitReason, Restart, is_abnormal

__all__ = ["AfterExit", "after_exit"]


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
