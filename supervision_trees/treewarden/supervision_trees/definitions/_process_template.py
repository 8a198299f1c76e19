"""A process whose spec names facts that are known only when it starts.

Each class here is the template of one class of `treewarden.actors`; `resolve` turns the one into
the other, before every start, so a restarted process sees the facts of that moment. Targets
(URLs, `host:port`) are read with one meaning when a definition is checked and when one with
references has been filled in.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias, final
from urllib.parse import urlsplit

from treewarden.actors import CommandProbe, FromEnv, HttpProbe, Liveness, Probe, ProcessSpec, Readiness, TcpProbe
from treewarden.actors.processes import Facts
from treewarden.supervision_trees.definitions._frozen import frozen_mapping
from treewarden.supervision_trees.definitions._templates import Template, filled

__all__ = [
    "DEFAULT_STATUS",
    "CommandTemplate",
    "HttpTemplate",
    "LivenessTemplate",
    "ProbeTemplate",
    "ProcessTemplate",
    "ReadinessTemplate",
    "TcpTemplate",
    "http_probe",
    "tcp_probe",
]

DEFAULT_STATUS: Final = 200

_URL_RULE: Final = "a URL such as http://127.0.0.1:8000/health"
_TCP_RULE: Final = '"host:port" with a port from 1 to 65535, such as 127.0.0.1:8000 or [::1]:8000'
_TCP: Final = re.compile(r"(?:\[([0-9A-Fa-f:.%]+)\]|([^\s:\[\]/]+)):([0-9]{1,5})")


@final
@dataclass(frozen=True, slots=True)
class HttpTemplate:
    """The template of an `HttpProbe`."""

    url: Template
    status: int


@final
@dataclass(frozen=True, slots=True)
class TcpTemplate:
    """The template of a `TcpProbe`."""

    address: Template


@final
@dataclass(frozen=True, slots=True)
class CommandTemplate:
    """The template of a `CommandProbe`; it runs where its process runs."""

    argv: tuple[Template, ...]


ProbeTemplate: TypeAlias = HttpTemplate | TcpTemplate | CommandTemplate


@final
@dataclass(frozen=True, slots=True)
class ReadinessTemplate:
    """The template of a `Readiness`."""

    probe: ProbeTemplate
    every: float
    timeout: float
    within: float


@final
@dataclass(frozen=True, slots=True)
class LivenessTemplate:
    """The template of a `Liveness`."""

    probe: ProbeTemplate
    every: float
    timeout: float
    failures: int


@final
@dataclass(frozen=True, slots=True)
class ProcessTemplate:
    """The template of a `ProcessSpec`; a `ProcessPlan`. Safe from any thread."""

    command: tuple[Template, ...]
    cwd: Template
    env: Mapping[str, Template | FromEnv]
    ports: tuple[int, ...]
    ready: ReadinessTemplate | None
    live: LivenessTemplate | None
    success_codes: frozenset[int]

    def resolve(self, facts: Facts) -> ProcessSpec:
        """The spec with every reference filled in.

        A command probe gets the working directory of its process and the variables the file
        spells out, but none taken `from_env`: a secret stays with the process it is for.

        Raises:
            LookupError: if a fact is not known.
            ValueError: if a probe's target, once filled in, is none.
        """
        cwd = filled(self.cwd, facts)
        literal = {name: filled(value, facts) for name, value in self.env.items() if not isinstance(value, FromEnv)}

        def probe(template: ProbeTemplate) -> Probe:
            match template:
                case HttpTemplate(url, status):
                    return http_probe(filled(url, facts), status=status)
                case TcpTemplate(address):
                    return tcp_probe(filled(address, facts))
                case CommandTemplate(argv):
                    return CommandProbe(tuple(filled(part, facts) for part in argv), cwd, frozen_mapping(literal))

        ready, live = self.ready, self.live
        return ProcessSpec(
            command=tuple(filled(part, facts) for part in self.command),
            cwd=cwd,
            env=frozen_mapping(
                {name: value if isinstance(value, FromEnv) else literal[name] for name, value in self.env.items()}
            ),
            ports=self.ports,
            ready=None if ready is None else Readiness(probe(ready.probe), ready.every, ready.timeout, ready.within),
            live=None if live is None else Liveness(probe(live.probe), live.every, live.timeout, live.failures),
            success_codes=self.success_codes,
        )


def http_probe(url: str, *, status: int = DEFAULT_STATUS) -> HttpProbe:
    """The probe of `url`.

    Raises:
        ValueError: saying what would be right.
    """
    try:
        parts = urlsplit(url)
        is_fine = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port out of range, a broken [address]
        is_fine = False
    if not is_fine or any(character.isspace() or not character.isprintable() for character in url):
        raise ValueError(_URL_RULE)
    return HttpProbe(url, status)


def tcp_probe(address: str) -> TcpProbe:
    """The probe of `host:port`; an IPv6 address stands in brackets.

    Raises:
        ValueError: saying what would be right.
    """
    match = _TCP.fullmatch(address)
    port = int(match[3]) if match else 0
    if match is None or not 1 <= port <= 65_535:  # noqa: PLR2004 - the range of TCP ports (RFC 9293, 3.1)
        raise ValueError(_TCP_RULE)
    return TcpProbe(match[1] or match[2], port)
