"""The console: commands to a running tree over a Unix socket, its server and its client."""

from treewarden.supervision_trees.console._answering import CommandExecutor as CommandExecutor
from treewarden.supervision_trees.console._client import ConsoleClient as ConsoleClient
from treewarden.supervision_trees.console._connection import ServerLimits as ServerLimits
from treewarden.supervision_trees.console._errors import CommandFailed as CommandFailed
from treewarden.supervision_trees.console._errors import ConsoleProtocolError as ConsoleProtocolError
from treewarden.supervision_trees.console._errors import ConsoleUnavailable as ConsoleUnavailable
from treewarden.supervision_trees.console._errors import RuntimeNotRunning as RuntimeNotRunning
from treewarden.supervision_trees.console._server import ConsoleServer as ConsoleServer
from treewarden.supervision_trees.console._socket_path import socket_path_for as socket_path_for

__all__ = [
    "CommandExecutor",
    "CommandFailed",
    "ConsoleClient",
    "ConsoleProtocolError",
    "ConsoleServer",
    "ConsoleUnavailable",
    "RuntimeNotRunning",
    "ServerLimits",
    "socket_path_for",
]
