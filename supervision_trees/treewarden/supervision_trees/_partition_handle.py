"""Routing by key, as a caller sees it: what `runtime.partitions(path)` returns."""

from typing import final

from treewarden.actors import ActorPath, Address, child_path
from treewarden.supervision_trees._errors import NoPartitions, NotApplicable
from treewarden.supervision_trees._handle import SupervisorHandle
from treewarden.supervision_trees._partition import Key, PartitionStatus, Resize, partition_id, partition_of

__all__ = ["PartitionHandle"]


@final
class PartitionHandle:
    """Routes keys to the partitions at one path, and resizes them. Safe from any thread.

    Routing reads what the supervisor published and never waits for it. All calls raise `ActorDead`
    if nobody runs there, and `NotApplicable` if it is no `PartitionSupervisor`.
    """

    def __init__(self, address: Address) -> None:
        self._address = address

    @property
    def path(self) -> ActorPath:
        """Where the partition supervisor lives."""
        return self._address.path

    @property
    def partitions(self) -> int:
        """Over how many partitions keys are spread now."""
        return self._status().partitions

    @property
    def supervisor(self) -> SupervisorHandle:
        """The calls of the supervisor itself."""
        return SupervisorHandle(self._address)

    def address(self, key: Key) -> Address:
        """Where what belongs to `key` lives: the same for equal keys, in every process and runtime.

        Look it up for each use: after a `resize` keys live elsewhere.

        Raises:
            TypeError: `key` is no int, str or bytes.
            NoPartitions: it was resized to 0.
        """
        partitions = self.partitions
        if partitions == 0:
            raise NoPartitions(self.path)
        return self._address.beside(child_path(self.path, partition_id(partition_of(key, partitions))))

    def resize(self, partitions: int, *, timeout: float | None = None) -> None:
        """Spread keys over so many partitions, from 0 to as many as it was started with.

        Those too many are no longer routed to, then stopped and forgotten, from the last on; those
        missing are started and then routed to, one after the other. Resizes are done in turn.

        Raises:
            InvalidSupervisor: there cannot be so many.
            StartFailed: one did not start; those before it run and are routed to.
        """
        self._status()
        self._address.ask(Resize(partitions), timeout=timeout)

    def _status(self) -> PartitionStatus:
        status = self._address.require().status
        if not isinstance(status, PartitionStatus):
            raise NotApplicable(self.path, "routing by key", "it is no PartitionSupervisor")
        return status
