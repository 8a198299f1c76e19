"""A checkpoint's content as values under the digests of their bytes, and back.

A root names a tree of pages, and pages name the values of actors: their state, their queue, their
timers. A page holds up to 32 actors; where there are more it is 16 pages, chosen by the next four bits
of the digest of a path, and so on. So the shape depends on the paths alone and not on history, and an
actor that changed costs its value and the few pages above it: growth is linear in what changed, and
what did not change is only referred to. Each durable value is one for itself.

What timers have left is not under the root: it would make every checkpoint of a tree at rest a new
one, since a periodic timer has something else left at each look. It is given apart, as `volatile`.

Pure. A value is believed only if it has its digest and its shape. Not promised: that a state is good
which only its actor can judge; whoever restores it does that.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias, final

from treewarden.storage._canonical import Digest, canonical, digest_of_bytes
from treewarden.storage._checkpoint_content import (
    ActorEntry,
    Content,
    HolderIdentity,
    KeptTimer,
    in_canonical_order,
    is_within,
)
from treewarden.storage._contract import Packed
from treewarden.storage._errors import ContentDamaged, OperationRefused
from treewarden.storage._migrations import CHECKPOINT_SCHEMA, MIGRATIONS
from treewarden.storage._shape import listed, mapped, optional, read, several, typed

__all__ = ["ACTORS_PER_PAGE", "Encoded", "Fetch", "decode", "encode", "mark"]

ACTORS_PER_PAGE: Final = 32

Fetch: TypeAlias = Callable[[Digest], bytes | None]
"""The stored bytes of a digest, or None if there are none; raises `ContentDamaged` for bytes known to be bad."""

_FANOUT: Final = 16
_PATH_DIGEST_BYTES: Final = 16
_DEEPEST: Final = 2 * _PATH_DIGEST_BYTES  # four bits for each level
_ACTORS: Final = "actors"
_PAGES: Final = "pages"

_Keep: TypeAlias = Callable[[bytes], Digest]


@final
@dataclass(frozen=True, slots=True)
class Encoded:
    """A content as values; `root` is its identity. `volatile` is what its timers have left."""

    root: Digest
    volatile: bytes
    values: Mapping[Digest, bytes]


@final
@dataclass(frozen=True, slots=True)
class _Row:
    """An actor in a page: small parts as they are, large ones by their digests."""

    path: str
    schema: str | None
    version: int
    state: Digest | None
    queue: Digest | None
    queue_left: int
    timers: Digest | None
    holder: HolderIdentity | None

    @property
    def values(self) -> tuple[Digest, ...]:
        return tuple(digest for digest in (self.state, self.queue, self.timers) if digest is not None)


@final
@dataclass(frozen=True, slots=True)
class _Root:
    scope: str
    actors: int
    runtime: Digest
    durable: Mapping[str, Digest]


def encode(content: Content) -> Encoded:
    """The values of `content`: the same for the same content, whatever the order of its parts.

    Raises:
        OperationRefused: a path is outside the scope, or something cannot be stored.
    """
    values: dict[Digest, bytes] = {}

    def keep(body: bytes) -> Digest:
        digest = digest_of_bytes(body)
        values[digest] = body
        return digest

    rows: list[_Row] = []
    left: dict[str, list[float]] = {}
    for path in sorted(content.runtime):
        entry = content.runtime[path]
        _refuse_stranger(content.scope, path, entry)
        ordered = in_canonical_order(entry)
        rows.append(_row(ordered, keep))
        if ordered.timers:
            left[path] = [float(timer.seconds_left) for timer in ordered.timers]
    root = {
        "scope": content.scope,
        "actors": len(rows),
        "runtime": _pages([(_path_digest(row.path), row) for row in rows], 0, keep),
        "durable": {name: keep(canonical(value, path=name)) for name, value in content.durable.items()},
    }
    head = [CHECKPOINT_SCHEMA, MIGRATIONS.newest(CHECKPOINT_SCHEMA), root]
    return Encoded(
        keep(canonical(head, path=content.scope)),
        canonical(left, path=content.scope),
        values,
    )


def decode(root: Digest, volatile: Callable[[], bytes], fetch: Fetch) -> Content:
    """Read back what `encode` made; `volatile` is called once the root is known to be one of this release.

    Raises:
        ContentDamaged: a value is missing or bad; says which.
        VersionTooNew: a newer release wrote it.
    """
    reader = _Reader(fetch)
    head = reader.root(root)
    left = mapped(read(volatile(), "what timers have left"), "what timers have left")
    entries = [reader.entry(row, left) for row in reader.rows(head.runtime)]
    if len(entries) != head.actors:
        raise ContentDamaged("the root", f"it counts {head.actors} actors, its pages have {len(entries)}")
    durable = {name: reader.value(digest, f"durable value {name!r}") for name, digest in head.durable.items()}
    return Content(head.scope, {entry.path: entry for entry in entries}, durable)


def mark(root: Digest, fetch: Fetch, seen: set[Digest]) -> None:
    """Add every digest that `root` needs to `seen`. What is in it already is not walked again.

    A damaged page ends the way down: what only it names can be found by nobody.

    Raises:
        VersionTooNew: a newer release wrote it, so what it needs cannot be told.
    """
    if root in seen:
        return
    seen.add(root)
    reader = _Reader(fetch)
    try:
        head = reader.root(root)
    except ContentDamaged:
        return
    seen.update(head.durable.values())
    pages = [head.runtime]
    while pages:
        digest = pages.pop()
        if digest in seen:
            continue
        seen.add(digest)
        try:
            below, rows = reader.page(digest)
        except ContentDamaged:
            continue
        pages.extend(below)
        seen.update(value for row in rows for value in row.values)


def _refuse_stranger(scope: str, path: str, entry: ActorEntry) -> None:
    if entry.path != path:
        raise OperationRefused(path, f"the entry under it is of {entry.path!r}")
    if not is_within(path, scope):
        raise OperationRefused(path, f"it is not in {scope!r}, which the checkpoint is of")


def _row(entry: ActorEntry, keep: _Keep) -> _Row:
    queue = [message.body for message in entry.queue]
    timers = [
        [None if timer.repeat_every is None else float(timer.repeat_every), timer.message.body]
        for timer in entry.timers
    ]
    return _Row(
        entry.path,
        entry.schema,
        entry.version,
        None if entry.state is None else keep(entry.state.body),
        keep(canonical(queue, path=entry.path)) if queue else None,
        entry.queue_left,
        keep(canonical(timers, path=entry.path)) if timers else None,
        entry.holder,
    )


def _pages(placed: list[tuple[bytes, _Row]], depth: int, keep: _Keep) -> Digest:
    if len(placed) <= ACTORS_PER_PAGE or depth == _DEEPEST:
        return keep(canonical([_ACTORS, [_fields(row) for _, row in placed]], path="a page"))
    below: list[list[tuple[bytes, _Row]]] = [[] for _ in range(_FANOUT)]
    for place, row in placed:
        below[_four_bits(place, depth)].append((place, row))
    digests = [_pages(part, depth + 1, keep) if part else None for part in below]
    return keep(canonical([_PAGES, digests], path="a page"))


def _fields(row: _Row) -> list[object]:
    holder = None if row.holder is None else [row.holder.pid, row.holder.start_ticks, row.holder.boot_id]
    return [row.path, row.schema, row.version, row.state, row.queue, row.queue_left, row.timers, holder]


def _path_digest(path: str) -> bytes:
    return hashlib.blake2b(path.encode(), digest_size=_PATH_DIGEST_BYTES).digest()


def _four_bits(place: bytes, depth: int) -> int:
    byte = place[depth // 2]
    return byte & 0x0F if depth % 2 else byte >> 4


@final
class _Reader:
    """Reads values by digest, and believes none that does not have it."""

    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch

    def value(self, digest: Digest, what: str) -> object:
        return read(self._bytes(digest, what), what)

    def root(self, digest: Digest) -> _Root:
        what = "the root"
        schema, version, state = several(self.value(digest, what), 3, what)
        if schema != CHECKPOINT_SCHEMA:
            raise ContentDamaged(what, f"its schema is {schema!r}, expected {CHECKPOINT_SCHEMA!r}")
        _, newest = MIGRATIONS.migrate(CHECKPOINT_SCHEMA, typed(version, int, what), state)
        fields = mapped(newest, what)
        durable = mapped(fields.get("durable"), what)
        return _Root(
            typed(fields.get("scope"), str, what),
            typed(fields.get("actors"), int, what),
            _digest(fields.get("runtime"), what),
            {typed(name, str, what): _digest(value, what) for name, value in durable.items()},
        )

    def page(self, digest: Digest) -> tuple[list[Digest], list[_Row]]:
        """The pages below a page, and its rows."""
        what = f"page {digest.hex()}"
        kind, items = several(self.value(digest, what), 2, what)
        if kind == _ACTORS:
            return [], [_row_of(item, what) for item in listed(items, what)]
        if kind == _PAGES:
            return [_digest(item, what) for item in listed(items, what) if item is not None], []
        raise ContentDamaged(what, f"it is of kind {kind!r}, expected {_ACTORS!r} or {_PAGES!r}")

    def rows(self, digest: Digest) -> Iterator[_Row]:
        below, rows = self.page(digest)
        yield from rows
        for page in below:
            yield from self.rows(page)

    def entry(self, row: _Row, left: Mapping[object, object]) -> ActorEntry:
        path = row.path
        return ActorEntry(
            path,
            row.schema,
            row.version,
            None if row.state is None else Packed(self._bytes(row.state, f"the state of {path!r}")),
            () if row.queue is None else self._queue(row.queue, f"the queue of {path!r}"),
            row.queue_left,
            () if row.timers is None else self._timers(row.timers, left.get(path), f"the timers of {path!r}"),
            row.holder,
        )

    def _bytes(self, digest: Digest, what: str) -> bytes:
        body = self._fetch(digest)
        if body is None:
            raise ContentDamaged(what, f"value {digest.hex()} is missing")
        if (found := digest_of_bytes(body)) != digest:
            raise ContentDamaged(what, f"the bytes of value {digest.hex()} have the digest {found.hex()}")
        return body

    def _queue(self, digest: Digest, what: str) -> tuple[Packed, ...]:
        return tuple(_packed(message, what) for message in listed(self.value(digest, what), what))

    def _timers(self, digest: Digest, left: object, what: str) -> tuple[KeptTimer, ...]:
        lasting, times = listed(self.value(digest, what), what), listed(left, what)
        if len(times) != len(lasting):
            raise ContentDamaged(what, f"there are {len(lasting)}, and what is left is known of {len(times)}")
        return tuple(_timer(time, each, what) for time, each in zip(times, lasting, strict=True))


def _timer(seconds_left: object, lasting: object, what: str) -> KeptTimer:
    every, message = several(lasting, 2, what)
    return KeptTimer(
        typed(seconds_left, float, what),
        optional(every, float, what),
        _packed(message, what),
    )


def _row_of(found: object, what: str) -> _Row:
    path, schema, version, state, queue, queue_left, timers, holder = several(found, 8, what)
    return _Row(
        typed(path, str, what),
        optional(schema, str, what),
        typed(version, int, what),
        None if state is None else _digest(state, what),
        None if queue is None else _digest(queue, what),
        typed(queue_left, int, what),
        None if timers is None else _digest(timers, what),
        None if holder is None else _holder(holder, what),
    )


def _holder(found: object, what: str) -> HolderIdentity:
    pid, ticks, boot = several(found, 3, what)
    return HolderIdentity(typed(pid, int, what), typed(ticks, int, what), typed(boot, str, what))


def _packed(found: object, what: str) -> Packed:
    return Packed(typed(found, bytes, what))


def _digest(found: object, what: str) -> Digest:
    return Digest(typed(found, bytes, what))
