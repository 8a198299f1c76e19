"""Storage: durable snapshots of actors by path, and the ownership of a state directory.

The names are listed in `__init__.pyi`. Each is imported when it is first used, so that who only
needs the contract does not load LMDB (docs/decisions/0012).
"""

import lazy_loader  # pyright: ignore[reportMissingTypeStubs] - it ships none

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)  # pyright: ignore[reportUnknownVariableType] - as above
