"""Supervision trees: supervisors, definitions, the runtime, and what can be seen and asked of a running tree.

The names are listed in `__init__.pyi`. Each is imported when it is first used, so that the command
line and small clients do not pay for the whole runtime (docs/decisions/0012).
"""

import lazy_loader  # pyright: ignore[reportMissingTypeStubs] - it ships none

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)  # pyright: ignore[reportUnknownVariableType] - as above
