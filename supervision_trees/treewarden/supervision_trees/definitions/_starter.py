"""The definition that `treewarden init` writes: small, valid, and worth changing."""

from typing import Final

__all__ = ["STARTER"]

STARTER: Final = """\
# A Treewarden tree. Check it with `treewarden check`, run it with `treewarden up`.
version: 1
name: dev                     # the root's path is /dev

# More than 3 restarts within 5 seconds, and the tree gives up.
intensity: {restarts: 3, within: 5s}

children:
  - id: web                   # its path is /dev/web
    kind: process
    command: [python3, -m, http.server, "8000", --bind, 127.0.0.1]
    ports: [8000]
    restart: permanent        # or transient (only after a failure), temporary (never)
    backoff: {initial: 200ms, max: 30s}
    shutdown: 5s              # SIGTERM, then SIGKILL when the time is up
    env:
      PYTHONUNBUFFERED: 1
    ready:                    # children that need web wait until this passes
      http: http://127.0.0.1:8000/
      within: 30s
    live:                     # three failures in a row restart it
      http: http://127.0.0.1:8000/
      every: 10s
      failures: 3
"""
"""A commented YAML text; it parses wherever `python3` is on the PATH."""
