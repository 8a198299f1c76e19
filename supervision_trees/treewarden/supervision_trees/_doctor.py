"""The doctor's judgement: facts in, findings out, worst first. Pure.

While a runtime has the store nothing may be changed, so no finding has a remedy then, but the command
that makes way for it.
"""

from dataclasses import replace
from typing import Final

from treewarden.supervision_trees._doctor_facts import Facts
from treewarden.supervision_trees._findings import Finding, FindingKind, Severity
from treewarden.supervision_trees._findings_of_store import findings_of_store
from treewarden.supervision_trees._findings_of_system import findings_of_system

__all__ = ["advice", "diagnose", "is_well"]

_WORST: Final = (Severity.DAMAGE, Severity.LEFTOVER, Severity.NOTE)


def diagnose(facts: Facts) -> tuple[Finding, ...]:
    """Everything that is not as it should be; the worst first, and of the same severity the store first."""
    state = str(facts.state_dir)
    if not facts.exists:
        return (
            Finding(
                FindingKind.STORE_MISSING,
                state,
                "there is no such directory",
                "the state directory of a tree that has run",
                Severity.DAMAGE,
                command="name it with --state DIR",
            ),
        )
    found = [*findings_of_store(facts.store, state=state, runs=facts.runs), *findings_of_system(facts)]
    if facts.runs:
        first = f"treewarden down --state {state}, then treewarden doctor --fix --state {state}"
        found = [each if each.remedy is None else replace(each, remedy=None, command=first) for each in found]
    return tuple(sorted(found, key=lambda each: _WORST.index(each.severity)))


def is_well(findings: tuple[Finding, ...]) -> bool:
    """Whether there is nothing but notes."""
    return all(finding.severity is Severity.NOTE for finding in findings)


def advice(findings: tuple[Finding, ...], *, state: str) -> str:
    """One line: how many findings of which severity, and what to do next."""
    counts = [(sum(1 for each in findings if each.severity is severity), severity.value) for severity in _WORST]
    told = ", ".join(
        f"{count} {name}{'' if count == 1 or name == 'damage' else 's'}" for count, name in counts if count
    )
    if is_well(findings):
        return f"nothing is wrong{f' ({told})' if told else ''}"
    treatable = sum(1 for each in findings if each.remedy is not None)
    by_hand = next((each.command for each in findings if each.severity is not Severity.NOTE and each.command), None)
    if treatable:
        fix = f"treewarden doctor --fix --state {state}"
        return f"{told}: {fix} sees to {treatable} of them, and with --dry-run shows how"
    return told if by_hand is None else f"{told}: next: {by_hand}"
