"""Health checks: HTTP, TCP and command probes, carried out on one asyncio thread."""

from treewarden.actors._probe import CommandProbe as CommandProbe
from treewarden.actors._probe import Health as Health
from treewarden.actors._probe import Healthy as Healthy
from treewarden.actors._probe import HttpProbe as HttpProbe
from treewarden.actors._probe import Probe as Probe
from treewarden.actors._probe import ProbeRunner as ProbeRunner
from treewarden.actors._probe import TcpProbe as TcpProbe
from treewarden.actors._probe import Unhealthy as Unhealthy
from treewarden.actors.probes._loop import ProbeLoop as ProbeLoop

__all__ = [
    "CommandProbe",
    "Health",
    "Healthy",
    "HttpProbe",
    "Probe",
    "ProbeLoop",
    "ProbeRunner",
    "TcpProbe",
    "Unhealthy",
]
