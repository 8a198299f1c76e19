"""The public names, fixed: what is exported, that it is documented, and what an import drags in."""

import importlib
import inspect
import subprocess
import sys
from types import ModuleType

import pytest

STORAGE = frozenset(
    """
    ActorChange ActorEntry ActorPart Append back_up BackupReport ChangeKind Checkpoint CheckpointCorrupt
    CheckpointDiff CheckpointMissing Checkpoints CheckpointStatistics CheckpointStatus CheckpointSweep
    CommitFailed compact CompactionReport Content ContentDamaged CopyFailed CutJournal DamagedEvent diff
    Discard DropRow DurableChange EventJournal EventPages EventsKept Holder HolderIdentity is_within Journal
    JournalDamage JournalEntry KeptEvent KeptMailbox KeptTimer leftovers LmdbStore MAILBOX_MARK mailbox_path
    MAILBOX_SCHEMA MemoryStore Migrations NameDamaged OldestReader OnNetwork Operation OperationRefused
    OwnerLock pack Packed PruneReport Put PutRow Quarantine read_mailbox RecordDamaged RecordTooNew
    Recovered restore restore_operations RestorePlan RestoreReport RowCorrupt RowDamaged SchemaTooNew
    SchemaUnknown Snapshot SnapshotCorrupt SnapshotMissing SnapshotStore StoreClosed StoreError StoreFull
    StoreLocked StoreProblem StoreReader StoreReport StoreState StoreStatistics StoreUnusable
    StructureDamaged Table TableRow Trigger unpack verify_store VersionTooNew
""".split()  # noqa: SIM905 - ninety quoted names are harder to read and to compare
)

ACTORS = frozenset(
    """
    Actor ActorCrashed ActorDead ActorPath ActorRef ActorStatistics ActorStatus ActorSystem ActorTraced
    Address AlreadyRegistered ApplyFailed ApplyStep AskCycle AskInFlight Asks Backoff BRUTAL_KILL BrutalKill
    capture CheckpointFailed CheckpointRequests CheckpointRestored CheckpointsPruned CheckpointTaken
    CHILD_ID_RULE child_path ChildAbandoned ChildDeclined ChildExited ChildFailed ChildId ChildNotice
    ChildReady ChildRestarting ChildSpec ChildStarted ChildStartFailed ChildStopped ChildType ChildWaiting
    Clock CommandProbe Context Crashed CrashReport Cut CutFailed DeadLetter Declined DEDICATED describe_exit
    Directory Dispatcher DispatcherKind Down Durability Event EventSink Exited ExitReason ExitSignal Fenced
    FromEnv Generation GivingBack Gone GroupRestarting Health Healthy HttpProbe Ignore INFINITY Instruments
    Intensity InvalidChildSpec is_abnormal is_child_id join_pykka_registry JournalCut Killed ListedTree
    Liveness Log LogFactory MailboxBound MailboxFull MailboxWithheld ManagedProcess Member MessageFenced
    MessageUnreadable Monitor Names Normal Overflow OwnThread parse_path PostMortem Probe ProbeFailed
    ProbeRunner ProcessAdopted ProcessExited ProcessReplaced ProcessSpawned ProcessSpec ProcessStuck
    Readiness Ready Rejected Reply Restart Runnable RuntimeStarted RuntimeStopped RuntimeStopping
    ServiceMissing SHARED Shutdown ShutdownTime SnapshotFellBack SnapshotQuarantined Snapshots spawn Started
    StateCallbackFailed StateInUse StateNotReplaceable StateRequest StateUnusable StopReport StoreResumed
    StoreStalled StrayEnded SupervisorGaveUp SystemCalls SystemClock take_cut TcpProbe ThreadDispatcher
    Timer Timers TimerThread TraceOptions TreeApplied TreewardenError Unhealthy Unresponsive
""".split()  # noqa: SIM905 - ninety quoted names are harder to read and to compare
)

SUPERVISION_TREES = frozenset(
    """
    ActorView AlreadyPresent AlreadyStarted AnotherTree ApplyReport ApplyTree AutoShutdown
    CheckpointDocument Checkpointing checkpoints_at_rest Child ChildCounts ChildState Command CommandRefused
    Complaint CrashesRead CrashRecord CrashView CreateCheckpoint DefinitionErrors DiffCheckpoints
    DiscardState DynamicSupervisor EventPick EventsRead Inspect InvalidSupervisor ListCheckpoints
    load_definition LogRead NoPartitions NotApplicable NotFound parse_definition PartitionHandle
    PartitionStatus PartitionSupervisor PlannedStep PlanTree PruneCheckpoints ReadCrashes ReadEvents ReadLog
    RecordedEvent RestartActor RestoreCheckpoint Runtime RuntimeEnd ShowCheckpoint StartActor StartFailed
    StateCorrupt StillRestarting StillRunning StopActor StopReport StopTree Strategy SupervisionError
    Supervisor SupervisorHandle SupervisorSettings SweepReport Task TaskExit TaskFailed TaskHandle
    TaskResult TaskReturned TaskSupervisor TooManyChildren TreeDefinition TreePlan TreeView
""".split()  # noqa: SIM905 - ninety quoted names are harder to read and to compare
)

TESTING = frozenset(
    """
    ChildUnderTest CrashesAtStop Declines EndlessLoop FailsAtStart HangsAtStart IgnoresStop LeftAlive Life
    LogLine ManualClock NotAnswered NotReady RecordedEvents Runs scripted Scripted ScriptedCrash SlowStop
    TreeUnderTest UnknownChild WrongState
""".split()  # noqa: SIM905 - as above
)

SURFACE = {
    "treewarden.storage": STORAGE,
    "treewarden.actors": ACTORS,
    "treewarden.actors.testing": frozenset(
        {"EndlessLoop", "ManualClock", "NotAnswered", "SeededDispatcher", "StepDispatcher"}
    ),
    "treewarden.supervision_trees": SUPERVISION_TREES,
    "treewarden.supervision_trees.testing": TESTING,
}


@pytest.fixture(params=SURFACE)
def module(request: pytest.FixtureRequest) -> ModuleType:
    return importlib.import_module(request.param)


def test_the_public_names_are_these_and_exist(module: ModuleType) -> None:
    expected = SURFACE[module.__name__]

    assert set(module.__all__) == expected
    assert len(module.__all__) == len(expected)
    assert [name for name in expected if not hasattr(module, name)] == []


def test_every_public_class_and_function_and_method_is_documented(module: ModuleType) -> None:
    bare: list[str] = []
    for name in module.__all__:
        value = getattr(module, name)
        if inspect.isfunction(value) and not value.__doc__:
            bare.append(name)
        if inspect.isclass(value) and value.__module__.startswith("treewarden."):
            methods = inspect.getmembers_static(value, inspect.isfunction)
            bare += [f"{name}.{found}" for found, member in methods if not found.startswith("_") and not member.__doc__]
            # A dataclass without a docstring gets its own signature for one.
            if not value.__doc__ or value.__doc__.startswith(f"{name}("):
                bare.append(name)

    assert bare == []


@pytest.mark.parametrize(
    ("package", "heavy"),
    [
        ("treewarden.storage", "pykka aiohttp structlog pydantic typer treewarden.actors"),
        ("treewarden.actors", "lmdb aiohttp starlette structlog pydantic typer treewarden.supervision_trees"),
        ("treewarden.supervision_trees", "starlette uvicorn textual typer prompt_toolkit"),
    ],
)
def test_an_import_loads_nothing_it_does_not_need(package: str, heavy: str) -> None:
    program = f"import {package}, sys; print(*(name for name in {heavy.split()} if name in sys.modules))"

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.split() == []
