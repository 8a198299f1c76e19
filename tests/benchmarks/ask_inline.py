"""Asks a second of an idle actor whose class says `inline_asks = True`: it may answer on the asker's own thread.

Stock pykka's asks are those of the benchmark `ask`: see there why cores matter.
"""

from contest import OURS, contest
from measure import Effort, Row, Target


def measure(effort: Effort) -> list[Row]:
    """Ours against stock pykka's only way to ask."""
    both = (OURS, "pykka")
    must, aim = Target("ratio", at_least=10.0), Target("p50", at_least=300_000)
    return [
        *contest("ask-inline", effort, contenders=both, aim=aim),
        *contest("ask-inline", effort, contenders=both, cores="two", must=must),
        *contest("ask-inline", effort, contenders=both, cores="one"),
    ]
