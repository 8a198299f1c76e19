"""Asks a second by an actor in one turn, one after the other, of another that allows inline answers."""

from contest import OURS, contest
from measure import Effort, Row, Target


def measure(effort: Effort) -> list[Row]:
    """Ours against stock pykka."""
    return contest(
        "actor-ask",
        effort,
        contenders=(
            OURS,
            "pykka",
        ),
        must=Target("ratio", at_least=8.0),
        aim=Target("p50", at_least=200_000),
    )
