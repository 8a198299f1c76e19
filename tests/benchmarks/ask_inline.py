"""Asks a second of an idle actor whose class says `inline_asks = True`: it may answer on the asker's own thread."""

from contest import OURS, contest
from measure import Effort, Row, Target


def measure(effort: Effort) -> list[Row]:
    """Ours against stock pykka's only way to ask."""
    return contest(
        "ask-inline",
        effort,
        contenders=(
            OURS,
            "pykka",
        ),
        must=Target("ratio", at_least=10.0),
        aim=Target("p50", at_least=300_000),
    )
