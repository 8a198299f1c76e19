"""A bank whose money moves all the time, a checkpoint of it while it moves, and the way back to that moment.

python examples/checkpoints.py
"""

import random
import tempfile
from dataclasses import dataclass
from typing import Any

from treewarden.actors import Actor, ChildSpec
from treewarden.supervision_trees import RestoreCheckpoint, Runtime, Supervisor, checkpoints_at_rest

ACCOUNTS = 20
OPENING = 100


@dataclass(frozen=True, slots=True)
class Deposit:
    """Money that arrives."""

    amount: int


@dataclass(frozen=True, slots=True)
class Pay:
    """Send money to another account."""

    amount: int
    to: str


class Account(Actor):
    """An account; its balance is durable."""

    durable_messages = (Deposit, Pay)  # what waits is money too: a checkpoint keeps it

    def __init__(self) -> None:
        super().__init__()
        self.balance = OPENING

    def on_receive(self, message: object) -> int:
        """Take in money, or send some; the answer is the balance."""
        match message:
            case Deposit(amount):
                self.balance += amount
            case Pay(amount, to):
                self.balance -= amount
                self.context.address(to).tell(Deposit(amount))
            case _:
                pass
        return self.balance

    def snapshot(self) -> Any:
        """What is kept."""
        return {"balance": self.balance}

    def restore(self, state: Any) -> None:
        """Take in what was kept."""
        self.balance = state["balance"]


def bank() -> ChildSpec:
    """The tree."""
    accounts = [ChildSpec.of(Account, id=f"account-{number}") for number in range(ACCOUNTS)]
    return ChildSpec.of(Supervisor, children=accounts, id="bank")


def move_money(runtime: Runtime, transfers: int) -> None:
    """Have accounts pay each other; waits for none of it."""
    for _ in range(transfers):
        payer, payee = random.sample(range(ACCOUNTS), 2)
        runtime.address(f"/bank/account-{payer}").tell(Pay(random.randrange(10), f"/bank/account-{payee}"))


def balances(runtime: Runtime) -> list[int]:
    """What each account has, once what waits is paid."""
    found = list[int]()
    for _ in range(2):  # once for the payments that wait, once for the deposits that they made
        found = [runtime.address(f"/bank/account-{number}").ask("balance") for number in range(ACCOUNTS)]
    return found


def main() -> None:
    """Move money, take a checkpoint meanwhile, lose some, and go back."""
    with tempfile.TemporaryDirectory() as state_dir:
        with Runtime.start(bank(), state_dir=state_dir) as runtime:
            move_money(runtime, 500)
            made = runtime.checkpoint(durable={"books": "2026-12"})
            print(f"checkpoint {made.number}: {made.actors} actors, paused {made.paused * 1000:.1f} ms")
            runtime.address("/bank/account-0").ask(Deposit(-1_000))  # a mistake
            print(f"after a mistake the bank has {sum(balances(runtime))}")

        with checkpoints_at_rest(state_dir) as checkpoints:
            restored = checkpoints.execute(RestoreCheckpoint("/bank")).fields
            print(f"restored from checkpoint {restored['number']}")

        with Runtime.start(bank(), state_dir=state_dir) as runtime:
            total = sum(balances(runtime))
            print(f"the bank has {total} again")
            assert total == ACCOUNTS * OPENING


if __name__ == "__main__":
    main()
