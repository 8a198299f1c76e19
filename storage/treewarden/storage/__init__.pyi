from ._contract import Discard as Discard
from ._contract import Operation as Operation
from ._contract import Put as Put
from ._contract import Quarantine as Quarantine
from ._contract import Snapshot as Snapshot
from ._contract import SnapshotStore as SnapshotStore
from ._errors import CommitFailed as CommitFailed
from ._errors import OperationRefused as OperationRefused
from ._errors import SchemaTooNew as SchemaTooNew
from ._errors import SnapshotCorrupt as SnapshotCorrupt
from ._errors import SnapshotMissing as SnapshotMissing
from ._errors import StoreClosed as StoreClosed
from ._errors import StoreError as StoreError
from ._errors import StoreLocked as StoreLocked
from ._errors import StoreUnusable as StoreUnusable
from ._file_system import OnNetwork as OnNetwork
from ._lmdb_store import LmdbStore as LmdbStore
from ._memory_store import MemoryStore as MemoryStore
from ._owner import Holder as Holder
from ._owner import OwnerLock as OwnerLock

__all__: list[str]  # noqa: PYI035 - lazy_loader reads the imports above; the names stand once
