"""The public names of the package, fixed."""

import subprocess
import sys

from treewarden import storage


def test_the_public_names_are_these() -> None:
    expected = [
        "Append",
        "CommitFailed",
        "CutJournal",
        "Discard",
        "DropRow",
        "Holder",
        "Journal",
        "JournalDamage",
        "JournalEntry",
        "LmdbStore",
        "MemoryStore",
        "Operation",
        "OperationRefused",
        "OwnerLock",
        "Packed",
        "Put",
        "PutRow",
        "Quarantine",
        "RowCorrupt",
        "SchemaTooNew",
        "Snapshot",
        "SnapshotCorrupt",
        "SnapshotMissing",
        "SnapshotStore",
        "StoreClosed",
        "StoreError",
        "StoreFull",
        "StoreLocked",
        "StoreState",
        "StoreUnusable",
        "Table",
        "TableRow",
        "pack",
        "unpack",
    ]

    assert expected == storage.__all__
    assert all(hasattr(storage, name) for name in expected)


def test_storage_imports_no_other_part_of_treewarden() -> None:
    program = "import sys, treewarden.storage; print([n for n in sys.modules if n.startswith('treewarden.') and not n.startswith('treewarden.storage')])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"


def both_stores_fit_the_contract() -> tuple[type[storage.SnapshotStore], ...]:
    """Checked by the type checkers, not run."""
    return (storage.MemoryStore, storage.LmdbStore)
