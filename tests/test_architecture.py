"""What import-linter cannot say: the shape of the namespace, of its modules, and of a few rules of code.

The layers themselves are contracts in pyproject.toml (`make imports`). Here stands what needs a
look into the syntax tree.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

import pytest

ROOT: Final = Path(__file__).parents[1]
PORTIONS: Final = ("storage", "actors", "supervision_trees")
BOUNDARY: Final = {
    "pykka.Actor": "_actor.py",
    "pykka.ActorDeadError": "_errors.py",
    "pykka.ActorRef": "_ref.py",
    "pykka.Future": "_reply.py",
    "pykka.Timeout": "_errors.py",
}
# A number names a process only once it is verified; these two do that (processes.md 7), and the
# third ends the group of its own unreaped child.
MAY_SIGNAL: Final = {"processes/_identity.py", "processes/_verified.py", "probes/_sweeper.py"}


@final
@dataclass(frozen=True)
class Module:
    """One source file of ours."""

    portion: str
    path: Path
    tree: ast.Module

    @property
    def name(self) -> str:
        """Its file name below its package."""
        return self.path.relative_to(ROOT / self.portion / "treewarden" / self.portion).as_posix()

    @property
    def place(self) -> str:
        """Its file name below the repository."""
        return self.path.relative_to(ROOT).as_posix()

    def walk(self) -> Iterator[ast.AST]:
        """All its nodes."""
        return ast.walk(self.tree)


def all_modules() -> tuple[Module, ...]:
    return tuple(
        Module(portion, path, ast.parse(path.read_text(), filename=str(path)))
        for portion in PORTIONS
        for path in sorted((ROOT / portion).rglob("*.py"))
    )


@pytest.fixture(scope="module")
def modules() -> tuple[Module, ...]:
    found = all_modules()
    assert {module.portion for module in found} == set(PORTIONS)
    return found


def imported(module: Module) -> Iterator[tuple[int, str]]:
    """Each module that `module` imports, with the line."""
    for node in module.walk():
        if isinstance(node, ast.ImportFrom):
            assert node.module is not None, f"{module.place}:{node.lineno} imports relatively"
            yield node.lineno, node.module
        elif isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)


def calls(module: Module, *names: str) -> Iterator[str]:
    """Where `module` uses one of these dotted names."""
    for node in module.walk():
        if isinstance(node, ast.Attribute) and ast.unparse(node) in names:
            yield f"{module.place}:{node.lineno} {ast.unparse(node)}"


def assigned(module: Module) -> set[str]:
    """The names that `module` assigns at its top level."""
    statements = (node for node in module.tree.body if isinstance(node, ast.Assign))
    targets = (name for node in statements for target in node.targets for name in ast.walk(target))
    return {name.id for name in targets if isinstance(name, ast.Name)}


def test_the_namespace_has_no_init_anywhere_and_nothing_beside_its_portions() -> None:
    """PEP 420: a treewarden/__init__.py in one portion would hide the other two."""
    assert list(ROOT.glob("*/treewarden/__init__.py")) == []
    for portion in PORTIONS:
        here = [found.name for found in (ROOT / portion / "treewarden").iterdir() if found.name != "__pycache__"]
        assert here == [portion]
        assert (ROOT / portion / "treewarden" / portion / "py.typed").is_file()


def test_another_portion_is_imported_through_its_packages_only(modules: tuple[Module, ...]) -> None:
    """A private module may change without its own portion noticing; another one would break."""
    reached = [
        f"{module.place}:{line} {name}"
        for module in modules
        for line, name in imported(module)
        if name.startswith("treewarden.") and not name.startswith(f"treewarden.{module.portion}") and "._" in name
    ]

    assert reached == []


def test_inside_a_portion_the_defining_module_is_imported_and_never_the_package(modules: tuple[Module, ...]) -> None:
    circles = [
        f"{module.place}:{line}"
        for module in modules
        for line, name in imported(module)
        if name == f"treewarden.{module.portion}"
    ]

    assert circles == []


def test_each_class_of_pykka_is_subclassed_in_one_module_only(modules: tuple[Module, ...]) -> None:
    subclassed = [
        (ast.unparse(base).partition("[")[0], module.name)
        for module in modules
        for node in module.walk()
        if isinstance(node, ast.ClassDef)
        for base in node.bases
        if ast.unparse(base).startswith("pykka.")
    ]

    assert dict(subclassed) == BOUNDARY
    assert len(subclassed) == len(BOUNDARY)


def test_every_module_says_what_it_is_for_and_what_it_offers(modules: tuple[Module, ...]) -> None:
    silent = [module.place for module in modules if not ast.get_docstring(module.tree)]
    offers_nothing = [
        module.place
        for module in modules
        if module.path.name != "__main__.py"  # it is run, not imported
        and "__all__" not in assigned(module)
    ]

    assert silent == []
    assert offers_nothing == []


def test_only_what_verified_an_identity_sends_signals(modules: tuple[Module, ...]) -> None:
    senders = {
        module.name: list(calls(module, "os.kill", "os.killpg", "signal.pidfd_send_signal")) for module in modules
    }

    assert {name for name, found in senders.items() if found} <= MAY_SIGNAL, senders


def test_nothing_forks_or_runs_python_between_fork_and_exec(modules: tuple[Module, ...]) -> None:
    """It can deadlock beside threads, and LMDB's handles do not survive fork(2)."""
    forks = [found for module in modules for found in calls(module, "os.fork", "os.forkpty", "os.system", "pty.fork")]
    hooked = [
        f"{module.place}:{node.value.lineno}"
        for module in modules
        for node in module.walk()
        if isinstance(node, ast.keyword) and node.arg == "preexec_fn"
    ]

    assert forks == []
    assert hooked == []


def test_no_module_is_called_after_nothing_in_particular(modules: tuple[Module, ...]) -> None:
    nouns = {module.path.stem.strip("_") for module in modules}

    assert nouns.isdisjoint({"utils", "util", "helpers", "helper", "common", "misc", "base", "manager"})
