"""What a checkpoint's content is recognised by, how it is kept, and what is different between two."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treewarden.storage._canonical import Digest, canonical, digest_of_bytes
from treewarden.storage._checkpoint_content import (
    ActorChange,
    ActorEntry,
    ActorPart,
    ChangeKind,
    CheckpointDiff,
    Content,
    DurableChange,
    HolderIdentity,
    KeptTimer,
    diff,
    in_canonical_order,
    is_within,
)
from treewarden.storage._checkpoint_pages import Encoded, decode, encode, mark
from treewarden.storage._codec import pack, unpack
from treewarden.storage._contract import Packed
from treewarden.storage._errors import ContentDamaged, OperationRefused, VersionTooNew

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text(max_size=5)
    | st.binary(max_size=5)
)
KEYS = st.text(max_size=3) | st.binary(max_size=3)
VALUES = st.recursive(
    LEAVES,
    lambda below: st.lists(below, max_size=4) | st.dictionaries(KEYS, below, max_size=4),
    max_leaves=12,
)
PACKED = VALUES.map(lambda value: pack("/test", value))
TIMERS = st.builds(KeptTimer, st.floats(0, 1e6), st.none() | st.floats(0.001, 1e6), PACKED)
HOLDERS = st.builds(HolderIdentity, st.integers(1, 2**22), st.integers(0, 2**40), st.text(max_size=8))


@st.composite
def entries(draw: st.DrawFn) -> ActorEntry:
    name = draw(st.text(st.characters(codec="utf-8"), min_size=1, max_size=6))
    keeps = draw(st.booleans())
    return ActorEntry(
        f"/app/{name}",
        draw(st.text(min_size=1, max_size=5)) if keeps else None,
        draw(st.integers(0, 9)),
        draw(PACKED) if keeps else None,
        tuple(draw(st.lists(PACKED, max_size=3))),
        draw(st.integers(0, 3)),
        tuple(draw(st.lists(TIMERS, max_size=3))),
        draw(st.none() | HOLDERS),
    )


def content_of(found: list[ActorEntry], durable: dict[str, object]) -> Content:
    return Content("/app", {each.path: each for each in found}, durable)


CONTENTS = st.builds(
    content_of, st.lists(entries(), max_size=4), st.dictionaries(st.text(max_size=4), VALUES, max_size=3)
)


def entry(name: str, value: object = 0, /, **fields: object) -> ActorEntry:
    made = ActorEntry(f"/app/{name}", "actor:app:Counter", 1, pack("/app", value))
    return dataclasses.replace(made, **fields)  # type: ignore[arg-type]  # a test names the fields of an entry


def content(*found: ActorEntry, durable: Mapping[str, object] | None = None) -> Content:
    return Content("/app", {each.path: each for each in found}, durable or {})


def reading(encoded: Encoded, *, but: Mapping[Digest, bytes | None] | None = None) -> Content:
    """Read `encoded` back; `but` has what stands instead of some values."""
    kept: dict[Digest, bytes | None] = {**encoded.values, **(but or {})}
    return decode(encoded.root, lambda: encoded.volatile, kept.get)


def nothing_left() -> bytes:
    return form(NOTHING)


NOTHING: dict[str, object] = {}


def form(value: object) -> bytes:
    return canonical(value, path="/")


def turned_around(value: object) -> object:
    """The same value, with the entries of all its maps the other way round."""
    if isinstance(value, dict):
        found = cast("dict[object, object]", value)
        return {key: turned_around(found[key]) for key in reversed(list(found))}
    if isinstance(value, list):
        return [turned_around(item) for item in cast("list[object]", value)]
    return value


def each_changed(value: object) -> Iterator[object]:
    """`value` with one leaf or key replaced or removed, for each of them, at every depth."""
    if isinstance(value, dict):
        found = cast("dict[object, object]", value)
        for key in found:
            rest = {other: item for other, item in found.items() if other != key}
            yield rest
            yield {**rest, "another key": found[key]}
            yield from ({**found, key: changed} for changed in each_changed(found[key]))
    elif isinstance(value, list):
        items = cast("list[object]", value)
        for place, item in enumerate(items):
            yield items[:place] + items[place + 1 :]
            yield from ([*items[:place], changed, *items[place + 1 :]] for changed in each_changed(item))
    else:
        yield ["instead of", value]


@given(CONTENTS)
def test_content_comes_back_as_it_was(found: Content) -> None:
    """CK10, CK12: nothing is projected, dropped or converted; None, False, 0 and empty values are values."""
    back = reading(encode(found))

    assert back.scope == found.scope
    assert back.runtime == {path: in_canonical_order(each) for path, each in found.runtime.items()}
    assert form(back.durable) == form(found.durable)


@given(CONTENTS)
def test_the_same_content_has_the_same_digest_whatever_the_order_of_its_parts(found: Content) -> None:
    """CK1, CK2."""

    def other_way(packed: Packed) -> Packed:
        return pack("/test", turned_around(unpack(packed)))

    turned = [
        dataclasses.replace(
            each,
            state=None if each.state is None else other_way(each.state),
            queue=tuple(map(other_way, each.queue)),
            timers=tuple(
                dataclasses.replace(timer, message=other_way(timer.message)) for timer in reversed(each.timers)
            ),
        )
        for each in reversed(list(found.runtime.values()))
    ]
    again = Content(
        "/app", {each.path: each for each in turned}, cast("Mapping[str, object]", turned_around(found.durable))
    )

    assert encode(again) == encode(found)


@given(value=VALUES)
def test_every_nested_part_of_a_state_counts(value: object) -> None:
    """CK2: an agent that is running and one that crashed must not look alike, however deep the word stands."""
    root = encode(content(entry("a", value))).root

    for changed in each_changed(value):
        assert encode(content(entry("a", changed))).root != root
        assert (
            encode(content(entry("a", None), durable={"result": value})).root
            != encode(content(entry("a", None), durable={"result": changed})).root
        )


@pytest.mark.parametrize(
    "other",
    [
        entry("b"),
        entry("a", schema="actor:app:Other"),
        entry("a", version=2),
        entry("a", state=None, schema=None),
        entry("a", 0.0),
        entry("a", False),
        entry("a", None),
        entry("a", b""),
        entry("a", ""),
        entry("a", queue=(pack("/", "m"),)),
        entry("a", queue_left=1),
        entry("a", timers=(KeptTimer(1.0, None, pack("/", "m")),)),
        entry("a", holder=HolderIdentity(1, 2, "boot")),
    ],
)
def test_every_part_of_an_entry_counts(other: ActorEntry) -> None:
    """CK2."""
    assert encode(content(other)).root != encode(content(entry("a"))).root


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (HolderIdentity(1, 2, "b"), HolderIdentity(2, 2, "b")),
        (HolderIdentity(1, 2, "b"), HolderIdentity(1, 3, "b")),
        (HolderIdentity(1, 2, "b"), HolderIdentity(1, 2, "c")),
    ],
)
def test_every_part_of_a_holder_counts(one: HolderIdentity, other: HolderIdentity) -> None:
    assert encode(content(entry("a", holder=one))).root != encode(content(entry("a", holder=other))).root


def test_the_order_of_waiting_messages_counts() -> None:
    first, second = pack("/", 1), pack("/", 2)

    assert (
        encode(content(entry("a", queue=(first, second)))).root
        != encode(content(entry("a", queue=(second, first)))).root
    )


def test_what_a_timer_has_left_is_kept_and_does_not_count() -> None:
    """CK1: a tree at rest with a periodic timer would never look the same twice."""
    tick, tock = pack("/", "tick"), pack("/", "tock")
    early = content(entry("a", timers=(KeptTimer(1.0, 5.0, tick), KeptTimer(3.0, 7.0, tock))))
    later = content(entry("a", timers=(KeptTimer(2.0, 7.0, tock), KeptTimer(4.0, 5.0, tick))))

    assert encode(early).root == encode(later).root
    assert encode(early).volatile != encode(later).volatile
    assert reading(encode(later)).runtime["/app/a"].timers == (KeptTimer(4.0, 5.0, tick), KeptTimer(2.0, 7.0, tock))


@pytest.mark.parametrize("changed", [KeptTimer(1.0, 6.0, pack("/", 1)), KeptTimer(1.0, 5.0, pack("/", 2))])
def test_how_often_a_timer_repeats_and_what_it_sends_counts(changed: KeptTimer) -> None:
    timer = KeptTimer(1.0, 5.0, pack("/", 1))

    assert encode(content(entry("a", timers=(changed,)))).root != encode(content(entry("a", timers=(timer,)))).root


def test_content_read_back_and_kept_again_is_the_same_content_each_time() -> None:
    """CK6: nothing is encoded once more on each recovery."""
    first = encode(content(entry("a", queue=(pack("/", "job1"),), timers=(KeptTimer(1.0, None, pack("/", "t")),))))
    again = first
    for _ in range(3):
        again = encode(reading(again))

    assert again == first
    assert [unpack(message) for message in reading(again).runtime["/app/a"].queue] == ["job1"]


def test_paths_that_look_alike_stay_apart() -> None:
    """CK19: no key is put together from unescaped names."""
    names = ["a:b", "a", "a/b", "a b", "a%3Ab", "a*", "", " "]
    back = reading(encode(content(*(entry(name, name) for name in names))))

    assert {path: unpack(cast("Packed", each.state)) for path, each in back.runtime.items()} == {
        f"/app/{name}": name for name in names
    }


def test_a_set_is_refused_by_name() -> None:
    with pytest.raises(OperationRefused, match="audit"):
        encode(content(durable={"audit": {1, 2}}))


def test_bytes_that_are_no_value_are_refused_by_the_path_they_were_given_for() -> None:
    with pytest.raises(OperationRefused, match="/app/a"):
        encode(content(entry("a", state=Packed(b"\xc1"))))


def test_an_actor_outside_the_scope_is_refused() -> None:
    stranger = dataclasses.replace(entry("a"), path="/other/a")

    with pytest.raises(OperationRefused, match="'/app'"):
        encode(content(stranger))
    with pytest.raises(OperationRefused, match="/other/a"):
        encode(Content("/app", {"/app/a": stranger}, {}))


@pytest.mark.parametrize(
    ("path", "scope", "expected"),
    [
        ("/app", "/app", True),
        ("/app/a", "/app", True),
        ("/app#window", "/app", True),
        ("/app/a#mailbox", "/app", True),
        ("/application", "/app", False),
        ("/", "/app", False),
        ("/app/a", "/", True),
    ],
)
def test_what_is_within_a_scope(path: str, scope: str, expected: bool) -> None:
    assert is_within(path, scope) is expected


def rich() -> Content:
    return content(
        *(entry(f"a{number}", {"count": number}) for number in range(100)),
        entry("b", queue=(pack("/", "m"),), timers=(KeptTimer(1.0, None, pack("/", "t")),)),
        durable={"result": [1, 2]},
    )


def test_each_missing_value_is_named_and_never_read_as_nothing() -> None:
    """CK12."""
    encoded = encode(rich())

    for digest in encoded.values:
        with pytest.raises(ContentDamaged, match=f"{digest.hex()} is missing"):
            reading(encoded, but={digest: None})


def test_each_changed_value_is_found_out_by_its_digest() -> None:
    """CK12."""
    encoded = encode(rich())

    for digest, body in encoded.values.items():
        with pytest.raises(ContentDamaged, match=digest.hex()):
            reading(encoded, but={digest: body[:-1] + bytes([body[-1] ^ 1])})


@pytest.mark.parametrize(
    "body",
    [
        b"\xc1",
        form(["checkpoint", 1]),
        form(["other", 1, NOTHING]),
        form(["checkpoint", "1", NOTHING]),
        form(["checkpoint", 1, NOTHING]),
        form(["checkpoint", 1, {"scope": "/", "actors": 0, "runtime": None, "durable": NOTHING}]),
        form(["checkpoint", 1, {"scope": "/", "actors": 0, "runtime": b"x" * 32, "durable": "x"}]),
    ],
)
def test_a_root_of_another_shape_is_damage(body: bytes) -> None:
    with pytest.raises(ContentDamaged, match="root"):
        decode(digest_of_bytes(body), nothing_left, lambda _: body)


@pytest.mark.parametrize(
    "page",
    [
        ["rows", []],
        ["actors", NOTHING],
        ["actors", [["/app/a"]]],
        ["actors", [["/app/a", "s", 1, None, None, 0, None, [1, 2]]]],
        ["pages", [1]],
        ["actors", []],
    ],
)
def test_a_page_of_another_shape_or_with_fewer_actors_is_damage(page: object) -> None:
    body = form(page)
    root = form(["checkpoint", 1, {"scope": "/app", "actors": 1, "runtime": digest_of_bytes(body), "durable": NOTHING}])
    kept = {digest_of_bytes(each): each for each in (body, root)}

    with pytest.raises(ContentDamaged):
        decode(digest_of_bytes(root), nothing_left, kept.get)


@pytest.mark.parametrize("volatile", [b"\xc1", form(NOTHING), form({"/app/b": [1.0, 2.0]})])
def test_times_left_that_do_not_fit_the_timers_are_damage(volatile: bytes) -> None:
    encoded = encode(rich())

    with pytest.raises(ContentDamaged, match="timers"):
        decode(encoded.root, lambda: volatile, encoded.values.get)


def test_the_content_of_a_newer_release_is_refused_by_name_and_is_no_damage() -> None:
    body = form(["checkpoint", 2, NOTHING])

    for read in (
        lambda: decode(digest_of_bytes(body), nothing_left, lambda _: body),
        lambda: mark(digest_of_bytes(body), lambda _: body, set()),
    ):
        with pytest.raises(VersionTooNew, match="version 2, this release reads up to 1"):
            read()


def many(changed: Mapping[int, object]) -> Encoded:
    return encode(content(*(entry(f"actor-{number}", changed.get(number, number)) for number in range(5000))))


def test_what_one_changed_actor_adds_does_not_depend_on_how_many_there_are() -> None:
    """CK16: growth is linear in what changed."""
    before, after = many({}), many({7: "changed"})

    new = {digest: body for digest, body in after.values.items() if digest not in before.values}
    assert len(new) <= 6
    assert sum(map(len, new.values())) < 8_000
    assert sum(map(len, after.values.values())) > 300_000


def test_equal_states_are_kept_once() -> None:
    """CK16."""
    alike = encode(content(*(entry(f"a{number}", "x" * 1000) for number in range(20))))

    assert sum(len(body) > 900 and b"x" * 1000 in body for body in alike.values.values()) == 1


def test_the_shape_depends_on_the_actors_and_not_on_how_it_came_about() -> None:
    few = content(*(entry(f"a{number}") for number in range(30)))
    many_more = content(*(entry(f"a{number}") for number in range(40)))
    back_again = dataclasses.replace(
        many_more, runtime={path: each for path, each in many_more.runtime.items() if path in few.runtime}
    )

    assert encode(back_again) == encode(few)


def test_marking_finds_every_value_and_walks_what_is_shared_once() -> None:
    encoded, fetched = encode(rich()), list[Digest]()

    def fetch(digest: Digest) -> bytes | None:
        fetched.append(digest)
        return encoded.values.get(digest)

    seen: set[Digest] = set()
    mark(encoded.root, fetch, seen)
    assert seen == set(encoded.values)

    walked = len(fetched)
    mark(encoded.root, fetch, seen)
    assert len(fetched) == walked
    mark(encode(dataclasses.replace(rich(), durable={})).root, lambda _: None, seen)


def test_marking_ends_at_what_is_damaged() -> None:
    encoded, seen = encode(rich()), set[Digest]()

    mark(encoded.root, lambda digest: encoded.values[digest] if digest == encoded.root else None, seen)

    assert encoded.root in seen
    assert len(seen) == 3  # the root, the topmost page, the durable value


@pytest.mark.parametrize(
    ("part", "changed"),
    [
        (ActorPart.SCHEMA, entry("a", version=2)),
        (ActorPart.SCHEMA, entry("a", schema="actor:other")),
        (ActorPart.STATE, entry("a", 1)),
        (ActorPart.STATE, entry("a", False)),
        (ActorPart.QUEUE, entry("a", queue=(pack("/", 1),))),
        (ActorPart.QUEUE, entry("a", queue_left=2)),
        (ActorPart.TIMERS, entry("a", timers=(KeptTimer(1.0, 2.0, pack("/", 1)),))),
        (ActorPart.HOLDER, entry("a", holder=HolderIdentity(1, 2, "b"))),
    ],
)
def test_a_difference_names_the_part(part: ActorPart, changed: ActorEntry) -> None:
    assert diff(content(entry("a")), content(changed)) == CheckpointDiff(
        (), (), (ActorChange("/app/a", (part,)),), 0, ()
    )


def test_a_difference_names_actors_that_came_and_went_and_counts_the_others() -> None:
    earlier = content(entry("a"), entry("b", 1), entry("c"))
    later = content(entry("b", 2, queue_left=1), entry("c"), entry("d"), entry("e"))

    assert diff(earlier, later) == CheckpointDiff(
        added=("/app/d", "/app/e"),
        removed=("/app/a",),
        changed=(ActorChange("/app/b", (ActorPart.STATE, ActorPart.QUEUE)),),
        unchanged=1,
        durable=(),
    )


def test_a_difference_names_durable_values() -> None:
    earlier = content(durable={"gone": 1, "same": [1], "typed": 1})
    later = content(durable={"new": None, "same": [1], "typed": True})

    assert diff(earlier, later).durable == (
        DurableChange("gone", ChangeKind.REMOVED),
        DurableChange("new", ChangeKind.ADDED),
        DurableChange("typed", ChangeKind.CHANGED),
    )


@given(CONTENTS, CONTENTS)
def test_there_is_no_difference_exactly_if_the_digests_are_equal(one: Content, other: Content) -> None:
    """CK2: two notions of "the same" would one day disagree."""
    for earlier, later in ((one, other), (one, one)):
        found = diff(earlier, later)
        nothing = not (found.added or found.removed or found.changed or found.durable)
        assert nothing == (encode(earlier).root == encode(later).root)
