"""Backs a store up under a file size limit (RLIMIT_FSIZE). Arguments: the store's directory, the backup's."""

import resource
import sys
from pathlib import Path

from treewarden.storage import CopyFailed, back_up

resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, resource.RLIM_INFINITY))
try:
    back_up(Path(sys.argv[1]), Path(sys.argv[2]))
except CopyFailed as error:
    print(type(error).__name__, "File too large" in error.found)
