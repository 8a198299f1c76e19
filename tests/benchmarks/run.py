"""Run benchmarks: `python tests/benchmarks/run.py [NAME ...] [--json] [--quick] [--write FILE]`.

Prints one line for each row and ends 1 if what must be reached is missed, 2 if a name is unknown.
Times are of this machine and this run: compare rows of one run only.
"""

import argparse
import gc
import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from inspect import cleandoc
from pathlib import Path

import actor_ask
import ask
import ask_inline
import checkpoint
import cli_help
import crash_memory
import crash_restart
import fairness
import idle
import importing
import memory
import recovery
import respawn
import restart_group
import ring
import scale
import snapshots
import start_child
import stress
import tell
import timers
from measure import FULL, QUICK, TINY, Effort, Row
from progress import say
from report import Report, Section

BENCHMARKS: dict[str, Callable[[Effort], list[Row]]] = {
    "tell": tell.measure,
    "ask": ask.measure,
    "ask-inline": ask_inline.measure,
    "actor-ask": actor_ask.measure,
    "ring": ring.measure,
    "start-child": start_child.measure,
    "memory": memory.measure,
    "scale": scale.measure,
    "crash-restart": crash_restart.measure,
    "restart-group": restart_group.measure,
    "crash-memory": crash_memory.measure,
    "respawn": respawn.measure,
    "snapshots": snapshots.measure,
    "recovery": recovery.measure,
    "checkpoint": checkpoint.measure,
    "timers": timers.measure,
    "fairness": fairness.measure,
    "stress": stress.measure,
    "idle": idle.measure,
    "import": importing.measure,
    "cli-help": cli_help.measure,
}


def main() -> int:
    """Run what the command line names."""
    options = _options()
    unknown = [name for name in options.names if name not in BENCHMARKS]
    if unknown:
        print(f"no benchmark named {', '.join(unknown)}; there is: {', '.join(BENCHMARKS)}", file=sys.stderr)
        return 2
    try:
        report = _run(options.names or list(BENCHMARKS), options.effort)
    except KeyboardInterrupt:
        print("interrupted; nothing is reported", file=sys.stderr)
        return 130
    if options.write is not None:
        options.write.write_text(report.page())
    print(json.dumps(report.plain(), indent=2) if options.json else report.table())
    return 0 if report.is_met() else 1


def _run(names: list[str], effort: Effort) -> Report:
    started, load = time.monotonic(), os.getloadavg()[0]
    sections: list[Section] = []
    for number, name in enumerate(names, 1):
        say(f"[{number}/{len(names)}] {name}")
        measure = BENCHMARKS[name]
        gc.collect()  # what the one before has left is not this one's cost
        try:
            rows = measure(effort)
        except Exception as error:  # noqa: BLE001 - boundary: the others are measured all the same
            traceback.print_exc()
            rows = [Row.failed(name, error)]
        explained = cleandoc(sys.modules[measure.__module__].__doc__ or "")
        sections.append(Section(name, explained, rows))
    return Report.of(sections, seconds=time.monotonic() - started, load=load)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Run Treewarden's benchmarks, beside stock pykka and each peer that is installed (extra: bench).",
        epilog="Ends 1 if a target that must be reached is missed, 2 if there is no benchmark of a name.",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which ones (all): {', '.join(BENCHMARKS)}")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--write", type=Path, metavar="FILE", help="also write the results as a page of Markdown")
    efforts = parser.add_mutually_exclusive_group()
    efforts.add_argument(
        "--quick", dest="effort", action="store_const", const=QUICK, default=FULL, help="a few samples only"
    )
    efforts.add_argument("--tiny", dest="effort", action="store_const", const=TINY, help="only to see that it runs")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
