"""Servers of Python's library in a thread, for as long as a test needs them."""

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager

# How often one looks whether it shall end. By default twice a second, for which hundreds of tests
# would wait.
LOOK_S = 0.01


@contextmanager
def serving(server: socketserver.BaseServer) -> Iterator[None]:
    """It answers meanwhile, and is closed afterwards."""
    thread = threading.Thread(target=server.serve_forever, args=(LOOK_S,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
