"""Three ways to run an actor: with a bound on its mailbox, on a thread of its own, on the thread that asks."""

import threading

from treewarden.actors import DEDICATED, Actor, ChildSpec, MailboxBound, MailboxFull, Overflow
from treewarden.supervision_trees import Runtime, Supervisor


class Uploader(Actor):
    """Slow: at most two uploads may wait, and whoever brings a third hears that at once."""

    mailbox = MailboxBound(2, Overflow.REFUSE)

    def __init__(self, line_is_free: threading.Event) -> None:
        super().__init__()
        self.line_is_free = line_is_free
        self.uploaded: list[object] = []

    def on_receive(self, message: object) -> None:
        """Upload one picture."""
        self.line_is_free.wait()
        self.uploaded.append(message)


class Camera(Actor):
    """Its driver must be called from one thread only."""

    dispatcher = DEDICATED

    def on_receive(self, message: object) -> str:
        """Tell where the driver is called from."""
        return f"{message} is answered by {threading.current_thread().name}"


class Prices(Actor):
    """Quick: it may answer on the thread that asks."""

    inline_asks = True

    def on_receive(self, message: object) -> int:
        """The price of one fruit."""
        return {"apple": 3, "pear": 4}.get(str(message), 0)


def main() -> None:
    """Fill one mailbox, look at one thread, ask for one price."""
    line_is_free = threading.Event()
    tree = ChildSpec.of(
        Supervisor,
        id="shop",
        children=[
            ChildSpec.of(Uploader, line_is_free, id="uploader"),
            ChildSpec.of(Camera, id="camera"),
            ChildSpec.of(Prices, id="prices"),
        ],
    )
    with Runtime.start(tree) as runtime:
        uploader = runtime.address("/shop/uploader")
        brought = 0
        try:
            while True:  # one is in hand at some point, and two wait
                uploader.tell(f"picture {brought}")
                brought += 1
        except MailboxFull as full:
            print(f"after {brought} pictures: {full}")
        line_is_free.set()
        assert brought in (2, 3)

        camera = runtime.address("/shop/camera")
        assert camera.ask("one") == "one is answered by treewarden/shop/camera"
        assert camera.ask("two") == "two is answered by treewarden/shop/camera"

        print(f"an apple costs {runtime.address('/shop/prices').ask('apple')}")


if __name__ == "__main__":
    main()
