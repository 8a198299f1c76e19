"""The public names, fixed: what is exported, that it is documented, and what an import drags in."""

import importlib
import inspect
import subprocess
import sys
from types import ModuleType

import pytest

STORAGE = frozenset(
    """
    CommitFailed Discard Holder LmdbStore MemoryStore Operation OperationRefused OwnerLock Put Quarantine
    SchemaTooNew Snapshot SnapshotCorrupt SnapshotMissing SnapshotStore StoreClosed StoreError StoreLocked
    StoreUnusable
""".split()  # noqa: SIM905 - ninety quoted names are harder to read and to compare
)

ACTORS = frozenset(
    """
    BRUTAL_KILL CHILD_ID_RULE INFINITY Actor ActorCrashed ActorDead ActorPath ActorRef ActorSystem Address Backoff BrutalKill
    ChildAbandoned ChildDeclined ChildExited ChildFailed ChildId ChildNotice ChildReady ChildRestarting ChildSpec
    ChildStartFailed ChildStarted ChildStopped ChildType ChildWaiting Clock CommandProbe Context CrashReport Crashed DeadLetter
    Declined Directory Dispatcher Event EventSink ExitReason Exited Fenced FromEnv Generation Gone GroupRestarting Health Healthy
    HttpProbe Ignore Intensity InvalidChildSpec Killed Liveness Log LogFactory ManagedProcess MessageFenced Normal PostMortem
    Probe ProbeFailed ProbeRunner ProcessAdopted ProcessExited ProcessReplaced ProcessSpawned ProcessSpec
    ProcessStuck Readiness Ready Rejected Reply Restart RuntimeStarted RuntimeStopped RuntimeStopping ServiceMissing
    Shutdown ShutdownTime SnapshotQuarantined Started StateUnusable StopReport StrayEnded SupervisorGaveUp SystemClock TcpProbe
    ThreadDispatcher Timer TimerThread Timers TreewardenError Unhealthy Unresponsive child_path describe_exit
    is_abnormal is_child_id parse_path spawn
""".split()  # noqa: SIM905 - ninety quoted names are harder to read and to compare
)

SUPERVISION_TREES = frozenset(
    """
    ActorView ChildCounts CrashRecord TooManyChildren AlreadyPresent AlreadyStarted AnotherTree AutoShutdown Child ChildState Command CommandRefused Complaint
    DynamicSupervisor NoPartitions PartitionHandle PartitionStatus PartitionSupervisor Task TaskExit TaskFailed TaskHandle
    TaskResult TaskReturned TaskSupervisor DefinitionErrors StopTree EventsRead Inspect InvalidSupervisor LogRead NotApplicable NotFound ReadEvents ReadLog RecordedEvent
    RestartActor Runtime RuntimeEnd StartActor StartFailed StateCorrupt StillRestarting StillRunning StopActor
    StopReport Strategy SupervisionError Supervisor SupervisorHandle SupervisorSettings SweepReport TreeDefinition TreeView
    load_definition parse_definition
""".split()  # noqa: SIM905 - ninety quoted names are harder to read and to compare
)

SURFACE = {
    "treewarden.storage": STORAGE,
    "treewarden.actors": ACTORS,
    "treewarden.actors.testing": frozenset({"ManualClock", "StepDispatcher"}),
    "treewarden.supervision_trees": SUPERVISION_TREES,
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
