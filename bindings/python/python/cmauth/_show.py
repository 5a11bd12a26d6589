"""Shows the login page to the user while the library waits for the redirect."""

from __future__ import annotations

import queue
from collections.abc import Callable

from cmauth._async import start_thread
from cmauth._cmauth import Login, Tokens, _Cancel
from cmauth._errors import Advice, CancelledError, Status, make


def wait_and_show(login: Login, show: Callable[[str], object] | None, timeout: float) -> Tokens:
    """Shows the page in a thread, because a browser can block until the user closes it.

    An exception of `show` ends the wait.
    """
    failures: queue.SimpleQueue[BaseException] = queue.SimpleQueue()

    def run(_at_exit: _Cancel) -> None:
        try:
            (show or _browse)(login.url)
        except BaseException as error:  # the caller raises it
            failures.put(error)
            login.cancel()

    start_thread(run, "cmauth-show")
    try:
        return login.wait(timeout)
    except CancelledError:
        if failures.empty():
            raise
    raise failures.get()


def _browse(url: str) -> None:
    import webbrowser

    if not webbrowser.open(url):
        problem = "show: no browser can be opened; pass show=print, and open the page yourself"
        raise make(problem, Status.INVALID_ARGUMENT, Advice.FIX)
