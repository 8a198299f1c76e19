"""Run benchmarks: `python tests/benchmarks/run.py [NAME ...] [--json] [--quick]`.

Prints one line for each row and ends 1 if a target is missed, 2 if a name is unknown. Times are
of this machine and this run: compare rows of one run only.
"""

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable

import crash_memory
import crash_restart
import respawn
import restart_group
from measure import Row

BENCHMARKS: dict[str, Callable[[int, int], list[Row]]] = {
    "respawn": respawn.measure,
    "crash-restart": crash_restart.measure,
    "restart-group": restart_group.measure,
    "crash-memory": crash_memory.measure,
}
FULL, QUICK = (5, 40), (1, 3)  # rounds, samples a round


def main() -> int:
    """Run what the command line names."""
    options = _options()
    unknown = [name for name in options.names if name not in BENCHMARKS]
    if unknown:
        print(f"no benchmark named {', '.join(unknown)}; there is: {', '.join(BENCHMARKS)}", file=sys.stderr)
        return 2
    rounds, samples = QUICK if options.quick else FULL
    rows = [row for name in options.names or BENCHMARKS for row in BENCHMARKS[name](rounds, samples)]
    if options.json:
        print(json.dumps({"machine": _machine(), "rows": [_plain(row) for row in rows]}, indent=2))
    else:
        _show(rows)
    return 0 if all(row.is_met() for row in rows) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Run Treewarden's benchmarks.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which ones (all): {', '.join(BENCHMARKS)}")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--quick", action="store_true", help="a few samples only, to see that it runs")
    return parser.parse_args()


def _machine() -> dict[str, str]:
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
        "at": time.strftime("%Y-%m-%d %H:%M:%S"),
    }


def _plain(row: Row) -> dict[str, object]:
    target = None if row.target is None else {"quantile": row.target.quantile, "at_most": row.target.at_most}
    plain: dict[str, object] = {"name": row.name, "unit": row.unit, "samples": len(row.samples)}
    return {**plain, **row.figures(), "target": target, "met": row.is_met()}


def _show(rows: list[Row]) -> None:
    print(", ".join(f"{name} {value}" for name, value in _machine().items()))
    width = max(len(row.name) for row in rows)
    print(f"{'':{width}}  {'p50':>9} {'p99':>9} {'min':>9} {'max':>9}")
    for row in rows:
        figures = " ".join(f"{value:9.2f}" for value in row.figures().values())
        judged = ""
        if row.target is not None:
            verdict = "met" if row.is_met() else "MISSED"
            judged = f"  target {row.target.quantile} <= {row.target.at_most:g}: {verdict}"
        print(f"{row.name:{width}}  {figures} {row.unit}{judged}")


if __name__ == "__main__":
    sys.exit(main())
