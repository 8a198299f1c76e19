"""Storage: durable snapshots of actors by path, and the ownership of a state directory."""

from treewarden.storage._contract import Discard as Discard
from treewarden.storage._contract import Operation as Operation
from treewarden.storage._contract import Put as Put
from treewarden.storage._contract import Quarantine as Quarantine
from treewarden.storage._contract import Snapshot as Snapshot
from treewarden.storage._contract import SnapshotStore as SnapshotStore
from treewarden.storage._errors import CommitFailed as CommitFailed
from treewarden.storage._errors import OperationRefused as OperationRefused
from treewarden.storage._errors import SchemaTooNew as SchemaTooNew
from treewarden.storage._errors import SnapshotCorrupt as SnapshotCorrupt
from treewarden.storage._errors import SnapshotMissing as SnapshotMissing
from treewarden.storage._errors import StoreClosed as StoreClosed
from treewarden.storage._errors import StoreError as StoreError
from treewarden.storage._errors import StoreLocked as StoreLocked
from treewarden.storage._errors import StoreUnusable as StoreUnusable
from treewarden.storage._lmdb_store import LmdbStore as LmdbStore
from treewarden.storage._memory_store import MemoryStore as MemoryStore
from treewarden.storage._owner import Holder as Holder
from treewarden.storage._owner import OwnerLock as OwnerLock

__all__ = [
    "CommitFailed",
    "Discard",
    "Holder",
    "LmdbStore",
    "MemoryStore",
    "Operation",
    "OperationRefused",
    "OwnerLock",
    "Put",
    "Quarantine",
    "SchemaTooNew",
    "Snapshot",
    "SnapshotCorrupt",
    "SnapshotMissing",
    "SnapshotStore",
    "StoreClosed",
    "StoreError",
    "StoreLocked",
    "StoreUnusable",
]
