"""Whether the nodes of every live page lie side by side, as the engine takes for granted when it writes.

`lmdb.verify` looks whether each node is inside its page, not whether it reaches into its neighbour or ends before it.
Such a node can be read, so it looks like one damaged record; but when the engine removes it, it moves the others by
the size that the node claims, and writes over memory that is not the page's. The 0.9 engine packs a page whenever it
adds or removes a node, so a gap is as telling as an overlap. Called when `lmdb.verify` found nothing: trees
and page headers are taken for sound. Reads the file, asks nothing of the engine.
"""

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final

__all__ = ["unpacked_pages"]

_META: Final = struct.Struct("=II16x")  # magic, version; address and map size are of no interest
_DATABASE: Final = struct.Struct("=IHHQQQQQ")  # pad, flags, depth, pages of three kinds, entries, root
_PAGE: Final = struct.Struct("=QHHHH")  # number, pad, flags, lower, upper
_NODE: Final = struct.Struct(
    "=HHHH"
)  # size of the data (or the child, in a branch) low and high, flags, size of the key
_MAGIC: Final = 0xBEEFC0DE
_SMALLEST: Final = 512  # bytes of a page; both meta pages tell the real size
_BRANCH, _LEAF = 0x01, 0x02
_BIG, _SUB = 0x01, 0x02  # data on pages of its own; the root of a named database
_NOWHERE: Final = 2**64 - 1
_NUMBER: Final = 8  # bytes of a page's number
_MOST: Final = 200  # complaints; more say nothing new


def unpacked_pages(data: Path) -> Iterator[str]:
    """The live pages of the file whose nodes overlap or leave gaps, each as a sentence."""
    descriptor = os.open(data, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield from _Walk(descriptor).problems()
    finally:
        os.close(descriptor)


class _Walk:
    """One pass over the pages that the newest root reaches."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        first = os.pread(descriptor, _SMALLEST, 0)
        magic, _ = _META.unpack_from(first, _PAGE.size)
        # The first database's `pad` is the size of a page.
        self._size = _DATABASE.unpack_from(first, _PAGE.size + _META.size)[0] if magic == _MAGIC else 0

    def problems(self) -> Iterator[str]:
        if self._size < _SMALLEST:
            return  # no file of LMDB's: not for us to say
        left = list(self._roots())
        told = 0
        while left and told < _MOST:
            number = left.pop()
            page = os.pread(self._descriptor, self._size, number * self._size)
            _, _, flags, lower, upper = _PAGE.unpack_from(page)
            if not flags & (_BRANCH | _LEAF):
                continue
            nodes = sorted(struct.unpack_from(f"={(lower - _PAGE.size) // 2}H", page, _PAGE.size))
            sizes = [self._node(page, node, left, is_branch=bool(flags & _BRANCH)) for node in nodes]
            ends = [node + size for node, size in zip(nodes, sizes, strict=True)]
            if [*nodes, self._size] != [upper, *ends]:
                told += 1
                yield f"page {number}: its nodes do not lie side by side"

    def _node(self, page: bytes, at: int, left: list[int], *, is_branch: bool) -> int:
        """The size of a node; the pages below it are added to those `left`."""
        low, high, flags, key = _NODE.unpack_from(page, at)
        if is_branch:
            left.append(low | high << 16 | flags << 32)
            return _even(_NODE.size + key)
        value = at + _NODE.size + key
        if flags & _BIG:
            return _even(_NODE.size + key + _NUMBER)
        if flags & _SUB and (root := _DATABASE.unpack_from(page, value)[-1]) != _NOWHERE:
            left.append(root)
        return _even(_NODE.size + key + (low | high << 16))

    def _roots(self) -> Iterator[int]:
        """The roots of the free list and of the main database, of whichever meta page is the newer one."""
        metas = [self._meta(os.pread(self._descriptor, self._size, number * self._size)) for number in (0, 1)]
        _, roots = max(metas)
        yield from (root for root in roots if root != _NOWHERE)

    def _meta(self, page: bytes) -> tuple[int, tuple[int, int]]:
        at = _PAGE.size
        if _META.unpack_from(page, at)[0] != _MAGIC:
            return -1, (_NOWHERE, _NOWHERE)
        at += _META.size
        free, main = (_DATABASE.unpack_from(page, at + place * _DATABASE.size)[-1] for place in (0, 1))
        (transaction,) = struct.unpack_from("=Q", page, at + 2 * _DATABASE.size + _NUMBER)
        return transaction, (free, main)


def _even(size: int) -> int:
    return size + (size & 1)
