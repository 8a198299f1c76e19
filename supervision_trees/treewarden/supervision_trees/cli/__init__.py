"""The command line: `treewarden up FILE`, `ps`, `tree` and the rest."""

from treewarden.supervision_trees.cli._main import main as main

__all__ = ["main"]
