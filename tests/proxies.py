"""Relays between a client and a server of a test: a proxy that does as it is told, and TLS before a plain server."""

import select
import socket
import ssl
import threading
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import Final, Self
from urllib.parse import urlsplit

LOOPBACK: Final = "127.0.0.1"


class Relay:
    """Listens on a port of loopback between `with` and its end."""

    def __init__(self) -> None:
        self._listener = socket.create_server((LOOPBACK, 0))
        self.port: int = self._listener.getsockname()[1]
        self._lock = threading.Condition()
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._closing = False

    def serve(self, client: socket.socket) -> None:
        """What becomes of a connection. Both ends are closed when this returns."""
        raise NotImplementedError

    def join(self, client: socket.socket, address: tuple[str, int], first: bytes = b"") -> None:
        """Connects the client to that server, until either of them ends."""
        with socket.create_connection(address) as server:
            server.sendall(first)
            while True:
                pending = isinstance(client, ssl.SSLSocket) and client.pending()
                readable = [client] if pending else select.select([client, server], [], [], 0.01)[0]
                for each in readable:
                    data = each.recv(65536)
                    if not data:
                        return
                    (server if each is client else client).sendall(data)
                if self._closing:
                    return

    def __enter__(self) -> Self:
        thread = threading.Thread(target=self._accept, daemon=True)
        self._threads.append(thread)
        thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing = True
        with self._lock:
            for each in self._open:
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
        with suppress(OSError), socket.create_connection((LOOPBACK, self.port)):
            pass  # wakes the thread that accepts
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive(), "a connection doesn't end"

    def _accept(self) -> None:
        with self._listener:
            while True:
                client, _ = self._listener.accept()
                if self._closing:
                    client.close()
                    return
                with self._lock:
                    self._open.add(client)
                thread = threading.Thread(target=self._run, args=(client,), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _run(self, client: socket.socket) -> None:
        with ExitStack() as ending, suppress(OSError):
            ending.callback(client.close)
            self.serve(client)
        with self._lock:
            self._open.discard(client)


@dataclass(frozen=True, slots=True)
class Asked:
    """A request to the proxy."""

    method: str
    target: str
    headers: Mapping[str, str] = field(repr=False)
    """By lower-case name."""


class Proxy(Relay):
    """A proxy for http and https that knows names of its own, and answers first as it is told.

    Each of `answers` is for one request: bytes are sent as they are, None is silence. Then it does its work.
    """

    def __init__(self, names: Mapping[str, int], *answers: bytes | None) -> None:
        """`names` are hosts, each with the port of loopback that it means whatever port is asked for."""
        super().__init__()
        self._names = names
        self._answers: list[bytes | None] = list(answers)
        self.asked: list[Asked] = []

    def url(self, userinfo: str = "") -> str:
        return f"http://{userinfo}{'@' if userinfo else ''}{LOOPBACK}:{self.port}"

    def wait_asked(self, count: int) -> list[Asked]:
        """All that it was asked, once there is so much: a client that gives up may be faster than the proxy."""
        with self._lock:
            assert self._lock.wait_for(lambda: len(self.asked) >= count, 10), self.asked
            return list(self.asked)

    def serve(self, client: socket.socket) -> None:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            byte = client.recv(1)
            if not byte:
                return
            head += byte
        line, *lines = head.decode("latin-1").splitlines()
        method, target, _ = line.split(" ")
        headers = {name.lower(): value for name, _, value in (each.partition(": ") for each in lines if each)}
        with self._lock:
            self.asked.append(Asked(method, target, headers))
            self._lock.notify_all()
            answer = self._answers.pop(0) if self._answers else b""
        if answer is None:
            client.recv(1)  # until the client gives up
        elif answer:
            client.sendall(answer)
        elif method == "CONNECT" and target.rpartition(":")[0] in self._names:
            client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            self.join(client, (LOOPBACK, self._names[target.rpartition(":")[0]]))
        elif urlsplit(target).hostname not in self._names:
            client.sendall(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
        else:
            self._forward(client, target, head)

    def _forward(self, client: socket.socket, target: str, head: bytes) -> None:
        parts = urlsplit(target)
        path = f"{parts.path}{'?' if parts.query else ''}{parts.query}"
        lines = head.replace(target.encode(), path.encode(), 1).split(b"\r\n")
        kept = [each for each in lines if not each.lower().startswith(b"proxy-")]
        kept.insert(1, b"Connection: close")
        self.join(client, (LOOPBACK, self._names[parts.hostname or ""]), b"\r\n".join(kept))


class TlsFront(Relay):
    """TLS before a plain server."""

    def __init__(self, port: int, context: ssl.SSLContext) -> None:
        super().__init__()
        self._server = port
        self._context = context

    def serve(self, client: socket.socket) -> None:
        with self._context.wrap_socket(client, server_side=True) as secured:
            self.join(secured, (LOOPBACK, self._server))
