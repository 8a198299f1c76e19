"""How long to wait before a restart. Pure: chance comes in as a number from 0 to 1."""

from typing import Final

from treewarden.actors import Backoff

__all__ = ["restart_delay", "starts_afresh"]

CALM_AT_LEAST: Final = 10.0  # seconds of uptime, whatever `max` is, before a crash counts as the first again


def restart_delay(backoff: Backoff | None, failures: int, chance: float) -> float:
    """Seconds to wait before the restart that follows the `failures`-th failure in a row (from 1).

    `chance` spreads it evenly by up to `jitter` either way; the result never exceeds `max`.
    """
    if backoff is None or backoff.initial == 0:
        return 0.0
    try:
        base = min(backoff.max, backoff.initial * backoff.factor ** (failures - 1))
    except OverflowError:
        base = backoff.max
    return min(backoff.max, base * (1 + backoff.jitter * (2 * chance - 1)))


def starts_afresh(backoff: Backoff | None, uptime: float) -> bool:
    """Whether a child that was up for `uptime` seconds counts its failures from 1 again."""
    if backoff is None:
        return True
    calm = max(backoff.max, CALM_AT_LEAST) if backoff.reset_after is None else backoff.reset_after
    return uptime >= calm
