"""How a command says that it could not do what it was told."""

__all__ = ["Failed"]


class Failed(Exception):
    """The command ends with exit code 1; the text says what was found, what was expected, and what to try next.

    Not a `TreewardenError`: this module is imported for `--help`, which must not load the runtime.
    """
