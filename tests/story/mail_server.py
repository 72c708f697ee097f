"""A mail server of loopback that takes mails, or leaves a client waiting in the middle of one."""

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.serving import serving


class MailServer(socketserver.ThreadingTCPServer):
    """`taken` are the mails it said yes to. While `open` is not set, it answers no DATA."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Conversation)
        self.port = self.server_address[1]
        self.taken: list[str] = []
        self.open = threading.Event()
        self.waiting = threading.Event()  # a client is in the middle of a mail
        self.num_waiting = 0  # clients that were in the middle of one since it was shut

    def shut(self) -> None:
        """As at first: nothing taken, and no answer until it is opened."""
        self.open.clear()
        self.waiting.clear()
        self.num_waiting = 0
        self.taken.clear()


class Conversation(socketserver.StreamRequestHandler):
    server: MailServer

    def handle(self) -> None:
        self.say("220 ready")
        while line := self.rfile.readline():
            command = line.split()[0].upper()
            if command == b"QUIT":
                return self.say("221 bye")
            if command == b"DATA":
                self.take()
            else:
                self.say("250 fine")
        return None

    def take(self) -> None:
        self.server.waiting.set()
        self.server.num_waiting += 1
        self.server.open.wait()
        self.say("354 go on")
        text = b""
        while not text.endswith(b"\r\n.\r\n"):
            line = self.rfile.readline()
            if not line:
                return  # it died meanwhile
            text += line
        self.server.taken.append(text.decode())
        self.say("250 taken")

    def say(self, line: str) -> None:
        self.wfile.write(f"{line}\r\n".encode())


@contextmanager
def mail_server() -> Iterator[MailServer]:
    server = MailServer()
    with serving(server):
        try:
            yield server
        finally:
            server.open.set()  # for those who wait in it
