"""The rules by themselves: facts in, findings out. No store, no process, no file."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treewarden.actors import ActorPath
from treewarden.actors.processes import Bearer, Cookie, Phase, ProcessIdentity, ProcessRecord
from treewarden.storage import (
    Holder,
    NameDamaged,
    RecordDamaged,
    RecordTooNew,
    RowDamaged,
    StoreProblem,
    StructureDamaged,
)
from treewarden.storage._event_rows import MARK
from treewarden.supervision_trees._doctor import advice, diagnose, is_well
from treewarden.supervision_trees._doctor_facts import (
    Area,
    AsideFact,
    CheckpointFact,
    CheckpointState,
    CorruptRecord,
    Facts,
    Fallback,
    FileFact,
    LogFact,
    ProcessFacts,
    ScratchFact,
    SocketFact,
    SocketState,
    StaleReader,
    StoreAbsent,
    StoreRefused,
    StoreSeen,
    Unseen,
)
from treewarden.supervision_trees._findings import Finding, FindingKind, Remedy, Severity, plan, verb

DOCS: Final = Path(__file__).parents[2] / "docs"
STATE: Final = Path("/s")
SOUND: Final = Facts(STATE, uid=1000, store=StoreSeen(checkpoints=()))
ME: Final = ProcessIdentity(40, 7, "boot")
RECORD: Final = ProcessRecord(ActorPath("/dev/p"), 3, Phase.SPAWNED, ME, "f", "r", 1.0)
LATER: Final = ProcessIdentity(41, 9, "boot")


def seen(*problems: StoreProblem, checkpoints: tuple[CheckpointFact, ...] | None = (), **fields: Any) -> Facts:
    return replace(SOUND, store=StoreSeen(problems, checkpoints=checkpoints, **fields))


def corrupt(fallback: Fallback, *, path: str = "/dev/a", is_quarantined: bool = False) -> CorruptRecord:
    return CorruptRecord(path, 5, "its checksum", fallback, 4, is_quarantined)


def checkpoint(number: int, state: CheckpointState, scope: str | None = "/dev") -> CheckpointFact:
    return CheckpointFact(number, scope, state, "it is so")


def bearer(incarnation: int, identity: ProcessIdentity = LATER) -> Bearer:
    return Bearer(identity, Cookie("store", "/dev/p", incarnation))


def processes(**fields: Any) -> Facts:
    return replace(SOUND, processes=ProcessFacts(**fields))


Told = tuple[str, str, str | None]
GOOD, BAD = CheckpointState.GOOD, CheckpointState.DAMAGED
ENTRY = RecordDamaged("journal", "/dev/a", 6, "its checksum")
AS_ROW = RowDamaged("events", b"e", "its checksum")
VALUE = RowDamaged("values", b"v", "its checksum")

TABLE: Final[dict[str, tuple[Facts, list[Told]]]] = {
    "sound": (SOUND, []),
    "no directory": (replace(SOUND, exists=False), [("store-missing", "damage", None)]),
    "no store": (replace(SOUND, store=StoreAbsent()), [("store-missing", "damage", None)]),
    "begun": (replace(SOUND, store=StoreAbsent(is_begun=True)), [("store-missing", "note", None)]),
    "restoring": (
        replace(SOUND, store=StoreAbsent(restored=Path("/s/store.restored"))),
        [("restore-unfinished", "leftover", "finish-restore")],
    ),
    "refused": (replace(SOUND, store=StoreRefused("no", "chmod")), [("store-unreadable", "damage", None)]),
    "structure": (
        seen(StructureDamaged("page 7"), StructureDamaged("page 8"), AS_ROW),
        [("store-damaged", "damage", None)],
    ),
    "network": (seen(network="it is on nfs4"), [("store-on-network", "damage", None)]),
    "newest, older good": (seen(corrupt=(corrupt(Fallback.STATE),)), [("record-damaged", "damage", "quarantine")]),
    "newest, of a process": (seen(corrupt=(corrupt(Fallback.PROCESS),)), [("record-damaged", "damage", None)]),
    "newest, of what": (seen(corrupt=(corrupt(Fallback.OTHER),)), [("record-damaged", "damage", None)]),
    "newest, none": (seen(corrupt=(corrupt(Fallback.NONE),)), [("record-damaged", "damage", None)]),
    "restart memory": (
        seen(corrupt=(corrupt(Fallback.NONE, path="/dev/a#restarts"),)),
        [("record-damaged", "damage", "quarantine")],
    ),
    "mailbox": (
        seen(corrupt=(corrupt(Fallback.OTHER, path="/dev/a#mailbox"),)),
        [("record-damaged", "damage", None)],
    ),
    "aside, older good": (
        seen(corrupt=(corrupt(Fallback.STATE, is_quarantined=True),)),
        [("record-set-aside", "note", None)],
    ),
    "aside, none": (
        seen(corrupt=(corrupt(Fallback.NONE, is_quarantined=True),)),
        [("record-damaged", "damage", None)],
    ),
    "older": (seen(RecordDamaged("snap", "/dev/a", 4, "it")), [("record-damaged", "damage", "quarantine")]),
    "older, nameless": (seen(RecordDamaged("snap", "the unknown", 4, "it")), [("record-damaged", "damage", None)]),
    "newest is told once": (
        seen(RecordDamaged("snap", "/dev/a", 5, "it"), corrupt=(corrupt(Fallback.STATE),)),
        [("record-damaged", "damage", "quarantine")],
    ),
    "older, and the newest too": (
        seen(RecordDamaged("snap", "/dev/a", 4, "it"), corrupt=(corrupt(Fallback.NONE),)),
        [("record-damaged", "damage", None), ("record-damaged", "damage", None)],
    ),
    "entry, without a place": (
        seen(RecordDamaged("journal", "/dev/a", 0, "its key"), ENTRY, bases={"/dev/a": 5}),
        [("journal-damaged", "damage", None)],
    ),
    "name": (seen(NameDamaged("00")), [("name-damaged", "damage", None)]),
    "newer release": (
        seen(RecordTooNew("snap", "/dev/n", 1, 2, 1), AS_ROW, ENTRY, corrupt=(corrupt(Fallback.STATE),)),
        [
            ("record-damaged", "damage", None),
            ("record-too-new", "damage", None),
            ("journal-damaged", "damage", None),
            ("row-damaged", "damage", None),
        ],
    ),
    "entry": (seen(ENTRY, bases={"/dev/a": 5}), [("journal-damaged", "damage", "cut")]),
    "entry of a journal alone": (seen(ENTRY, bases={"/dev/a": 0}), [("journal-damaged", "damage", "cut")]),
    "entry, covered": (seen(ENTRY, bases={"/dev/a": 6}), [("journal-damaged", "note", None)]),
    "entry, nothing to replay on": (seen(ENTRY), [("journal-damaged", "damage", None)]),
    "mark of events": (seen(RowDamaged("events", MARK, "its checksum")), [("row-damaged", "note", None)]),
    "event": (seen(AS_ROW), [("row-damaged", "damage", "drop-row")]),
    "event, unreachable": (seen(RowDamaged("events", b"e" * 512, "it")), [("row-damaged", "damage", None)]),
    "value, foreign key": (seen(RowDamaged("values", b"x", "it")), [("row-damaged", "damage", "drop-row")]),
    "checkpoint, foreign key": (seen(RowDamaged("checkpoints", b"x", "it")), [("row-damaged", "damage", "drop-row")]),
    "older, without a place": (seen(RecordDamaged("snap", "/dev/a", 0, "it")), [("record-damaged", "damage", None)]),
    "value, lonely": (
        seen(VALUE, lonely_values=frozenset({b"v"}), unneeded_values=1),
        [("row-damaged", "damage", "collect")],
    ),
    "value, needed": (
        seen(VALUE, checkpoints=(checkpoint(1, BAD), checkpoint(2, GOOD))),
        [("checkpoint-damaged", "damage", "drop-checkpoint")],
    ),
    "value, checkpoints unseen": (seen(VALUE, checkpoints=None), [("row-damaged", "damage", None)]),
    "checkpoint, the only one": (
        seen(checkpoints=(checkpoint(1, BAD), checkpoint(2, GOOD, "/other"))),
        [("checkpoint-damaged", "damage", None)],
    ),
    "checkpoint, an older one is good": (
        seen(checkpoints=(checkpoint(1, GOOD), checkpoint(2, BAD))),
        [("checkpoint-damaged", "damage", "drop-checkpoint")],
    ),
    "row, outlived": (
        seen(checkpoints=(checkpoint(1, CheckpointState.ROW_DAMAGED, None), checkpoint(2, GOOD))),
        [("checkpoint-damaged", "damage", "drop-checkpoint")],
    ),
    "row, the newest": (
        seen(checkpoints=(checkpoint(1, GOOD), checkpoint(2, CheckpointState.ROW_DAMAGED, None))),
        [("checkpoint-damaged", "damage", None)],
    ),
    "unfinished": (
        seen(checkpoints=(checkpoint(1, CheckpointState.UNFINISHED),)),
        [("checkpoint-unfinished", "leftover", "sweep")],
    ),
    "failed": (seen(checkpoints=(checkpoint(1, CheckpointState.FAILED),)), []),
    "checkpoint of a newer release": (
        seen(AS_ROW, checkpoints=(checkpoint(1, CheckpointState.TOO_NEW),), unneeded_values=2),
        [("row-damaged", "damage", None), ("checkpoint-too-new", "damage", None), ("values-unneeded", "leftover", None)],
    ),
    "values": (seen(unneeded_values=2, unneeded_bytes=9), [("values-unneeded", "leftover", "collect")]),
    "values beside damage": (
        seen(unneeded_values=2, checkpoints=(checkpoint(1, BAD),)),
        [("checkpoint-damaged", "damage", None), ("values-unneeded", "note", None)],
    ),
    "reader": (seen(stale_reader=StaleReader(9, 2)), [("reader-stale", "leftover", "clear-readers")]),
    "quarantine": (seen(quarantined=2, quarantined_bytes=9), [("quarantine", "note", None)]),
    "mailbox of nobody": (seen(paths=frozenset({"/dev/a#mailbox"})), [("record-without-state", "note", None)]),
    "mailbox of somebody": (seen(paths=frozenset({"/dev/a#mailbox", "/dev/a", "/dev#window"})), []),
    "restarts of nobody": (
        seen(paths=frozenset({"/dev/a#restarts", "/dev/b#restarts"})),
        [("record-without-state", "note", None)],
    ),
    "open": (replace(SOUND, files=(FileFact(STATE, 1000, 0o40750),)), [("mode-too-open", "damage", "tighten-modes")]),
    "closed": (replace(SOUND, files=(FileFact(STATE, 1000, 0o40700),)), []),
    "another's": (replace(SOUND, files=(FileFact(STATE, 0, 0o40755),)), [("other-owner", "damage", None)]),
    "scratch": (
        replace(SOUND, scratch=(ScratchFact(STATE / "store.restoring", 1, is_busy=False),)),
        [("scratch-left", "leftover", "remove-scratch")],
    ),
    "scratch, busy": (replace(SOUND, scratch=(ScratchFact(STATE / "store.restoring", 1, is_busy=True),)), []),
    "room": (replace(SOUND, free_bytes=64 * 2**20), []),
    "little room": (replace(SOUND, free_bytes=64 * 2**20 - 1), [("space-low", "note", None)]),
    "no room": (replace(SOUND, free_bytes=0), [("space-low", "damage", None)]),
    "killed": (replace(SOUND, left_by=Holder(9, 1, "boot", "/dev", "", 1.0)), [("runtime-killed", "note", None)]),
    "socket": (
        replace(SOUND, sockets=(SocketFact(STATE / "c", 1000, SocketState.DEAD),)),
        [("socket-left", "leftover", "remove-socket")],
    ),
    "socket, alive": (
        replace(SOUND, sockets=(SocketFact(STATE / "c", 1000, SocketState.LISTENS),)),
        [("socket-obstructed", "damage", None)],
    ),
    "no socket": (
        replace(SOUND, sockets=(SocketFact(STATE / "c", 1000, SocketState.NO_SOCKET),)),
        [("socket-obstructed", "damage", None)],
    ),
    "socket of another": (
        replace(SOUND, sockets=(SocketFact(STATE / "c", 0, SocketState.DEAD),)),
        [("other-owner", "damage", None)],
    ),
    "lives": (
        processes(records=(RECORD,), living=frozenset({RECORD.path}), bearers=(bearer(3, ME), bearer(3))),
        [("process-left", "leftover", "end-process")],
    ),
    "lives, and an earlier one too": (
        processes(records=(RECORD,), living=frozenset({RECORD.path}), bearers=(bearer(3, ME), bearer(2))),
        [("process-left", "leftover", "end-process"), ("process-stray", "leftover", "end-process")],
    ),
    "gone": (processes(records=(RECORD,)), [("process-gone", "note", None)]),
    "gone, and what it started is not": (
        processes(records=(RECORD,), bearers=(bearer(3),)),
        [("process-stray", "leftover", "end-process")],
    ),
    "ended": (processes(records=(replace(RECORD, phase=Phase.ENDED),)), []),
    "on no record": (processes(bearers=(bearer(3), bearer(3, ME))), [("process-stray", "leftover", "end-process")]),
    "unreadable": (processes(unreadable={"/dev/p": "odd"}), [("process-record-unreadable", "damage", None)]),
    "logs": (replace(SOUND, logs=(LogFact("/dev/gone", 9),)), [("logs-of-nobody", "note", None)]),
    "logs of one": (replace(processes(records=(replace(RECORD, phase=Phase.ENDED),)), logs=(LogFact("/dev/p", 9),)), []),
    "kept": (replace(SOUND, aside=(AsideFact(STATE / "trash", "trash", 9),)), [("kept-aside", "note", None)]),
    "unseen": (replace(SOUND, unseen=(Unseen(Area.FILES, "/s/logs", "no"),)), [("not-examined", "leftover", None)]),
    "unseen, as said": (
        replace(SOUND, unseen=(Unseen(Area.CHECKPOINTS, "all", "no room", is_expected=True),)),
        [("not-examined", "note", None)],
    ),
}  # fmt: skip


def told(finding: Finding) -> Told:
    return finding.kind.value, finding.severity.value, None if finding.remedy is None else verb(finding.remedy)


@pytest.mark.parametrize("case", TABLE)
def test_the_rules_are_these(case: str) -> None:
    facts, expected = TABLE[case]
    findings = diagnose(facts)

    assert [told(finding) for finding in findings] == expected
    assert all(finding.remedy is None or finding.command is None for finding in findings)
    assert all(
        finding.remedy
        or finding.command
        or finding.severity is Severity.NOTE
        or finding.kind is FindingKind.NOT_EXAMINED
        for finding in findings
    )
    assert is_well(findings) is all(severity == "note" for _, severity, _ in expected)


@pytest.mark.parametrize("case", TABLE)
def test_beside_a_runtime_nothing_has_a_remedy(case: str) -> None:
    facts, expected = TABLE[case]
    kinds = {kind for kind, _, _ in expected}

    beside = diagnose(replace(facts, runs=True))

    assert all(finding.remedy is None for finding in beside)
    assert {finding.kind.value for finding in beside} <= kinds


@pytest.mark.parametrize(
    "case", ["unfinished", "killed", "socket", "lives", "gone", "gone, and what it started is not"]
)
def test_what_a_runtime_is_at_is_no_finding(case: str) -> None:
    assert diagnose(replace(TABLE[case][0], runs=True)) == ()


def test_every_kind_and_every_verb_is_in_the_table_above_and_in_the_docs() -> None:
    rows = [each for _, expected in TABLE.values() for each in expected]
    documented = (DOCS / "operations.md").read_text().partition("## Doctor")[2].partition("\n## ")[0]
    words = set(re.findall(r"`([a-z-]+)`", documented))
    verbs = {each for _, _, each in rows if each is not None}

    assert {kind.value for kind in FindingKind} == {kind for kind, _, _ in rows}
    assert len(verbs) == len(get_args(Remedy))
    assert {kind.value for kind in FindingKind} | verbs <= words


@given(cases=st.lists(st.sampled_from([facts for facts, _ in TABLE.values() if facts.exists]), max_size=6))
def test_the_worst_comes_first_and_the_plan_is_in_the_order_of_its_verbs(cases: list[Facts]) -> None:
    facts = SOUND
    for case in cases:
        own = {
            name: getattr(case, name)
            for name in Facts.__dataclass_fields__
            if getattr(case, name) != getattr(SOUND, name)
        }
        facts = replace(facts, **own)
    findings = diagnose(facts)
    severities = [finding.severity for finding in findings]
    order = [type(finding.remedy) for finding in plan(findings)]

    assert severities == sorted(severities, key=list(Severity).index)
    assert order == sorted(order, key=list(get_args(Remedy)).index)
    assert set(plan(findings)) <= set(findings)


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        ("sound", "nothing is wrong"),
        ("gone", "nothing is wrong (1 note)"),
        (
            "lives, and an earlier one too",
            "2 leftovers: treewarden doctor --fix --state /s sees to 2 of them, and with --dry-run shows how",
        ),
        ("structure", "1 damage: next: treewarden store restore BACKUP --state /s"),
        ("unseen", "1 leftover"),
    ],
)
def test_one_line_says_what_to_do_next(case: str, expected: str) -> None:
    assert advice(diagnose(TABLE[case][0]), state="/s") == expected
