"""What an incarnation knew when it ended (supervision.md A.14; OTP's gen_server terminate and proc_lib crash reports).

- *A crash*: the message in hand, the mailbox, the state and the last events. The state is taken
  before `on_stop` runs, so it is the one that failed; if `on_stop` itself failed, after it.
- *A kill* runs none of the actor's code, not even `describe`: no state.
- *Given up on*: a thread may still be inside, so nothing of the actor is called. The message in
  hand is named by its type alone; there is a state if a crash came before, and `on_stop` then hung.
- *A failed start*: only how many messages waited already.
- *An orderly end*: nothing.
"""

from dataclasses import dataclass
from typing import final

from treewarden.actors._exits import ExitReason, is_abnormal
from treewarden.actors._messages import PostMortem
from treewarden.actors._outline import Describable, described_message, described_state

__all__ = ["NOTHING", "LastWords", "compose_post_mortem", "name_of", "take_last_words"]


class Nothing:
    """Stands where no message is in hand; None is a message too."""


NOTHING = Nothing()


@final
@dataclass(frozen=True, slots=True)
class LastWords:
    """What the actor said of itself, on its own turn, when its end was near."""

    message: str | None
    state: str


def take_last_words(actor: Describable, message: object) -> LastWords:
    """Ask `actor` what may be told of it and of the message in hand. On its own turn only."""
    return LastWords(None if message is NOTHING else described_message(actor, message), described_state(actor))


def name_of(message: object) -> str | None:
    """The type of the message in hand; calls nothing of the actor's, so from any thread."""
    return None if message is NOTHING else type(message).__name__


def compose_post_mortem(
    reason: ExitReason,
    *,
    words: LastWords | None,
    message: object,
    mailbox: int,
    log: tuple[str, ...],
    had_started: bool,
) -> PostMortem:
    """Put together what is known; an orderly end leaves no post-mortem."""
    if not is_abnormal(reason):
        return PostMortem()
    if words is not None:
        return PostMortem(words.message, mailbox, words.state, log)
    if had_started:
        return PostMortem(name_of(message), mailbox, None, log)
    return PostMortem(mailbox=mailbox)
