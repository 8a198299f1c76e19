"""`store ...`: look after the file that a runtime keeps its state in.

`backup`, `verify` and `stats` read the file by themselves, whether a runtime writes it or not.
`compact` and `restore` replace it, so they own the state directory meanwhile, as a runtime would.
"""

import time
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from treewarden.supervision_trees.cli._options import AsJson, StateDir
from treewarden.supervision_trees.cli._output import Failed, notice, print_document, print_table, print_text
from treewarden.supervision_trees.cli._progress import progress_line, size_of

if TYPE_CHECKING:
    from treewarden.storage import BackupReport, CompactionReport, OwnerLock, RestoreReport, StoreProblem, StoreReport

__all__ = ["STORE"]

_STATE: Final = Path(".treewarden")
_STORE: Final = "store"

STORE: Final = typer.Typer(
    help="Back up, restore, compact and verify what a runtime keeps.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_NewDirectory = Annotated[
    Path, typer.Argument(metavar="DIR", help="The backup to make: a directory that does not exist.")
]
_Backup = Annotated[Path, typer.Argument(metavar="DIR", help="A backup that `store backup` made.")]


@STORE.command()
def backup(target: _NewDirectory, *, state: StateDir = _STATE, as_json: AsJson = False) -> None:
    """Copy the store to a new directory and verify the copy; a runtime may go on writing meanwhile."""
    from treewarden.storage import back_up  # noqa: PLC0415 - not for --help

    with _progress() as progress:
        report = back_up(state / _STORE, target, progress=progress)
    if as_json:
        print_document(_document(report))
    else:
        print_text(f"{report.path}: {size_of(report.bytes)}, {_count(report.snapshots, 'snapshot')}, verified")
    _tell_damage(report.problems, "the backup is made, but the store has damage, and the backup has it too")


@STORE.command()
def restore(backup: _Backup, *, state: StateDir = _STATE, as_json: AsJson = False) -> None:
    """Put a backup in the place of the store, which is kept beside it; no runtime may run."""
    from treewarden.storage import restore as put_back  # noqa: PLC0415 - not for --help

    if not (backup / "data.mdb").is_file():  # owning the state directory would make it, or close it to others
        raise Failed(f"there is no store in {backup}; name the directory that `treewarden store backup` made")
    with _owning(state, "restore") as owner, _progress() as progress:
        report = put_back(backup, state / _STORE, owner=owner, progress=progress)
    if as_json:
        print_document(_document(report))
    else:
        before = "there was none before" if report.replaced is None else f"the store before is {report.replaced}"
        print_text(f"{report.path}: restored {_count(report.snapshots, 'snapshot')}; {before}")
    _tell_damage(report.problems, "the store is restored, but the backup has damage, and the store has it now")


@STORE.command()
def compact(*, state: StateDir = _STATE, as_json: AsJson = False) -> None:
    """Write the store's file anew without its free pages; no runtime may run."""
    from treewarden.storage import compact as write_anew  # noqa: PLC0415 - not for --help

    if not (state / _STORE).is_dir():  # owning the state directory would make it
        raise Failed(f"there is no store in {state}; name the state directory of a runtime with --state")
    with _owning(state, "compact") as owner, _progress() as progress:
        report = write_anew(state / _STORE, owner=owner, progress=progress)
    if as_json:
        print_document(_document(report))
    else:
        print_text(f"{report.path}: {size_of(report.bytes_before)} before, {size_of(report.bytes_after)} now")
    _tell_damage(report.problems, "the store is compacted, and keeps the damage it had")


@STORE.command()
def verify(*, state: StateDir = _STATE, as_json: AsJson = False) -> None:
    """Look at every page and every record; exits with 1 if something is damaged."""
    from treewarden.storage import verify_store  # noqa: PLC0415 - not for --help

    report = verify_store(state / _STORE)
    if as_json:
        print_document(_document(report))
    elif not report.problems:
        counted = (
            _count(report.snapshots, "snapshot"),
            _count(report.entries, "journal entry", "journal entries"),
            _count(report.rows, "row"),
            f"{report.quarantined} in quarantine",
        )
        print_text(f"{report.path}: {size_of(report.bytes)}, {', '.join(counted)}; no damage")
    found = (
        "some records are damaged, the others are not; see what each actor says at its start"
        if report.is_readable
        else f"the file is damaged and cannot be used; restore a backup: treewarden store restore DIR --state {state}"
    )
    _tell_damage(report.problems, found)


@STORE.command()
def stats(*, state: StateDir = _STATE, as_json: AsJson = False) -> None:
    """Show how large the store is, how much of it is free, and who reads it."""
    from treewarden.storage import StoreReader  # noqa: PLC0415 - not for --help

    with StoreReader.open(state / _STORE) as reader:
        figures = reader.statistics()
    if as_json:
        print_document(asdict(figures))
        return
    oldest = figures.oldest_reader
    facts = {
        "store": figures.store_id,
        "layout": f"{figures.layout}, LMDB {figures.lib_version}",
        "file": size_of(figures.file_bytes),
        "used": size_of(figures.used_pages * figures.page_size),
        "free": size_of(figures.free_pages * figures.page_size),
        "map": size_of(figures.map_size),
        "readers": str(figures.readers),
        "oldest reader": "-" if oldest is None else f"pid {oldest.pid}, {_count(oldest.behind, 'commit')} behind",
        **{f"entries in {name}": str(entries) for name, entries in figures.entries.items()},
    }
    print_table(("FACT", "VALUE"), list(facts.items()))


@contextmanager
def _owning(state_dir: Path, what: str) -> "Generator[OwnerLock]":
    """Keep runtimes out of `state_dir`; one that is started meanwhile is told what goes on."""
    from treewarden.actors.processes import own_identity  # noqa: PLC0415 - not for --help
    from treewarden.storage import Holder, OwnerLock  # noqa: PLC0415

    me = own_identity()
    holder = Holder(me.pid, me.start_ticks, me.boot_id, f"treewarden store {what}", "", time.time())
    owner = OwnerLock.acquire(state_dir, holder)
    try:
        yield owner
    finally:
        owner.release()


@contextmanager
def _progress() -> "Generator[Callable[[int, int], None] | None]":
    with progress_line() as line:
        yield None if line is None else line.copied


def _tell_damage(problems: "Iterable[StoreProblem]", found: str) -> None:
    told = list(problems)
    if told:
        for problem in told:
            notice(str(problem))
        raise Failed(found)


def _document(report: "BackupReport | CompactionReport | RestoreReport | StoreReport") -> dict[str, object]:
    """The report for programs: its fields, paths as text, problems by kind."""
    found = {field.name: getattr(report, field.name) for field in fields(report)}
    plain = {name: str(value) if isinstance(value, Path) else value for name, value in found.items()}
    return {**plain, "problems": [{"kind": type(each).__name__, "found": str(each)} for each in report.problems]}


def _count(number: int, one: str, many: str | None = None) -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"
