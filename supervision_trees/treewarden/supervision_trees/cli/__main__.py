"""`python -m treewarden.supervision_trees.cli`: the same as `treewarden`."""

import sys

from treewarden.supervision_trees.cli._main import main

if __name__ == "__main__":
    sys.exit(main())
