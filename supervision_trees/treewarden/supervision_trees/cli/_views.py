"""`ps`, `tree` and `show`: one look at the running tree, drawn in three ways."""

from pathlib import Path
from typing import TYPE_CHECKING, Final

from treewarden.supervision_trees.cli._options import ActorArgument, AsJson, StateDir
from treewarden.supervision_trees.cli._output import Failed, print_document, print_lines, print_table, print_text

if TYPE_CHECKING:
    from treewarden.supervision_trees._inspect import TreeView

__all__ = ["ps", "show", "tree"]

_STATE: Final = Path(".treewarden")


def ps(*, state: StateDir = _STATE, as_json: AsJson = False) -> None:
    """List the processes and actors of the running tree."""
    from treewarden.supervision_trees.cli._tables import PS_HEADER, ps_rows, workers  # noqa: PLC0415 - not for --help

    view = _look(state)
    if as_json:
        print_document([actor.to_json() for actor in workers(view)])
    else:
        print_table(PS_HEADER, ps_rows(view))


def tree(*, state: StateDir = _STATE, as_json: AsJson = False) -> None:
    """Draw the running tree."""
    from treewarden.supervision_trees._drawing import tree_lines  # noqa: PLC0415 - not for --help

    view = _look(state)
    if as_json:
        print_document(view.to_json())
    else:
        print_lines(tree_lines(view))


def show(path: ActorArgument, *, state: StateDir = _STATE, as_json: AsJson = False) -> None:
    """Show everything known of one actor, its last crashes included."""
    from treewarden.supervision_trees._control import Inspect, ReadCrashes  # noqa: PLC0415 - not for --help
    from treewarden.supervision_trees.cli._connection import ANSWER_WITHIN, open_console  # noqa: PLC0415
    from treewarden.supervision_trees.cli._tables import (  # noqa: PLC0415 - not for --help
        actor_facts,
        closest_paths,
        crash_facts,
        find_actor,
    )

    with open_console(state) as console:
        view = console.execute(Inspect(), timeout=ANSWER_WITHIN)
        actor = find_actor(view, path)
        if actor is None:
            close = closest_paths(view, path)
            meant = f"did you mean {' or '.join(close)}?" if close else "see what there is with: treewarden tree"
            raise Failed(f"there is no {path} in the tree {view.root.path}; {meant}")
        # The root has no supervisor that would remember its crashes.
        looked = None if actor is view.root else console.execute(ReadCrashes(actor.path), timeout=ANSWER_WITHIN)
    crashes = () if looked is None else looked.crashes
    if as_json:
        print_document({**actor.to_json(), "crashes": [crash.to_json() for crash in crashes]})
        return
    print_table(("FACT", "VALUE"), [*actor_facts(actor), *crash_facts(crashes)])
    if crashes and crashes[-1].traceback:
        print_text(f"\nTraceback of the last crash:\n{crashes[-1].traceback.rstrip()}")


def _look(state_dir: Path) -> "TreeView":
    from treewarden.supervision_trees._control import Inspect  # noqa: PLC0415 - not for --help
    from treewarden.supervision_trees.cli._connection import ANSWER_WITHIN, open_console  # noqa: PLC0415

    with open_console(state_dir) as console:
        return console.execute(Inspect(), timeout=ANSWER_WITHIN)
