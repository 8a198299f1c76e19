"""The public names of the package, fixed."""

import subprocess
import sys

from treewarden import storage


def test_the_public_names_are_these() -> None:
    expected = [
        "ActorChange",
        "ActorEntry",
        "ActorPart",
        "Append",
        "BackupReport",
        "ChangeKind",
        "Checkpoint",
        "CheckpointCorrupt",
        "CheckpointDiff",
        "CheckpointMissing",
        "CheckpointStatistics",
        "CheckpointStatus",
        "CheckpointSweep",
        "Checkpoints",
        "CommitFailed",
        "CompactionReport",
        "Content",
        "ContentDamaged",
        "CopyFailed",
        "CutJournal",
        "DamagedEvent",
        "Discard",
        "DropRow",
        "DurableChange",
        "EventJournal",
        "EventPages",
        "EventsKept",
        "Holder",
        "HolderIdentity",
        "Journal",
        "JournalDamage",
        "JournalEntry",
        "KeptEvent",
        "KeptMailbox",
        "KeptTimer",
        "LmdbStore",
        "MAILBOX_MARK",
        "MAILBOX_SCHEMA",
        "MemoryStore",
        "Migrations",
        "NameDamaged",
        "OldestReader",
        "OnNetwork",
        "Operation",
        "OperationRefused",
        "OwnerLock",
        "Packed",
        "PruneReport",
        "Put",
        "PutRow",
        "Quarantine",
        "RecordDamaged",
        "RecordTooNew",
        "Recovered",
        "RestorePlan",
        "RestoreReport",
        "RowCorrupt",
        "RowDamaged",
        "SchemaTooNew",
        "SchemaUnknown",
        "Snapshot",
        "SnapshotCorrupt",
        "SnapshotMissing",
        "SnapshotStore",
        "StoreClosed",
        "StoreError",
        "StoreFull",
        "StoreLocked",
        "StoreProblem",
        "StoreReader",
        "StoreReport",
        "StoreState",
        "StoreStatistics",
        "StoreUnusable",
        "StructureDamaged",
        "Table",
        "TableRow",
        "Trigger",
        "VersionTooNew",
        "back_up",
        "compact",
        "diff",
        "is_within",
        "leftovers",
        "mailbox_path",
        "pack",
        "read_mailbox",
        "restore",
        "restore_operations",
        "unpack",
        "verify_store",
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
