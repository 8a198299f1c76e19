"""Records by path: held against a flat dict, in which whatever lies below a path is found by a look at every key."""

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from treewarden.supervision_trees._record_tree import RecordTree

PATHS = st.lists(st.sampled_from("ab"), min_size=1, max_size=4).map(lambda names: "/" + "/".join(names))
# "/ab" begins like "/a", and is not below it.
SUPERVISORS = st.one_of(PATHS, st.just("/ab"), st.just("/ab/a"))
STEPS = st.lists(
    st.tuples(st.sampled_from(["put", "put", "discard", "pop", "pop below"]), SUPERVISORS, st.integers(0, 2))
)


def below(records: Mapping[str, Mapping[str, int]], path: str) -> dict[str, int]:
    """What a flat dict has at `path` and below it."""
    return {
        record: value
        for supervisor, kept in records.items()
        if supervisor == path or supervisor.startswith(path + "/")
        for record, value in kept.items()
    }


@given(steps=STEPS)
def test_a_tree_of_records_finds_what_a_look_at_every_record_finds(steps: list[tuple[str, str, int]]) -> None:
    tree, flat = RecordTree[int](), dict[str, dict[str, int]]()

    for step, (what, supervisor, number) in enumerate(steps):
        record = f"{supervisor}#{number}"
        match what:
            case "put":
                tree.put(supervisor, record, step)
                flat.setdefault(supervisor, {})[record] = step
            case "discard":
                tree.discard(supervisor, record)
                flat.get(supervisor, {}).pop(record, None)
            case "pop":
                assert flat.pop(supervisor, {}) == tree.pop(supervisor)
            case _:
                gone = below(flat, supervisor)
                flat = {
                    path: {record: value for record, value in kept.items() if record not in gone}
                    for path, kept in flat.items()
                }
                assert sorted(gone) == sorted(tree.pop_subtree(supervisor))
        for path in ("/a", "/b", "/ab", "/a/a", "/a/b", supervisor):
            assert sorted(below(flat, path)) == sorted(tree.subtree(path))
            deeper = {other for other, kept in flat.items() if kept and other.startswith(path + "/")}
            steps_down = {path + "/" + other.removeprefix(path + "/").partition("/")[0] for other in deeper}
            assert steps_down == set(tree.steps_below(path))


def test_nothing_is_left_of_a_path_whose_records_are_gone() -> None:
    tree = RecordTree[None]()
    tree.put("/a/b/c", "/a/b/c#window", None)
    tree.put("/a", "/a#window", None)

    tree.discard("/a/b/c", "/a/b/c#window")

    assert ((), ["/a#window"]) == (tree.steps_below("/a"), tree.subtree("/a"))
