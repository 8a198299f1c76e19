"""The worker of the dev stack: asks the server for its page once a second and says what it got."""

import os
import time
import urllib.error
import urllib.request

URL = os.environ["SERVER_URL"]


def ask() -> str:
    """One line on what the server answered."""
    try:
        with urllib.request.urlopen(URL, timeout=2) as answer:  # our own loopback URL
            return f"{answer.status}, {len(answer.read())} bytes"
    except urllib.error.URLError as error:
        return f"no answer: {error.reason}"


if __name__ == "__main__":
    while True:
        print(f"{URL} {ask()}")
        time.sleep(1)
