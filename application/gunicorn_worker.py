"""Gunicorn's threaded worker, patient with slow clients only within bounds."""

import errno
import logging
import socket
import time
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from pathlib import Path
from selectors import EVENT_READ
from typing import TYPE_CHECKING, Any, NamedTuple

from gunicorn.http.body import Body
from gunicorn.http.message import Request
from gunicorn.workers.gthread import TConn, ThreadWorker

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

PIECE = 256 * 1024
CHUNK = 64 * 1024
LAST_CALL_SECONDS = 1.0
TICK_SECONDS = 0.1
NOBODY = (errno.EAGAIN, errno.EWOULDBLOCK, errno.EINVAL)
"""Nobody waits to be accepted; EINVAL: another worker has ended the listening."""

LINGER_SECONDS = 2.0
"""How long a client may take to read its last answer before the connection is closed."""


class Patience(NamedTuple):
    """What is expected of clients.

    Parameters
    ----------
    stall_seconds
        How long one may keep a thread waiting for a request's first bytes, and with every later pause together.
    slowest
        Bytes a second that one sends or reads on average once those seconds are used up.
    """

    stall_seconds: float = 10.0
    slowest: int = 16 * 1024


class ImpatientSocket(socket.socket):
    """A socket whose other side has to keep up: it raises TimeoutError when that sends or reads too slowly."""

    def __init__(self, accepted: socket.socket, patience: Patience) -> None:
        super().__init__(fileno=accepted.detach())
        self._stall, self._slowest = patience
        self._allowed: float | None = self._stall
        self.expect_request()

    def expect_request(self) -> None:
        """Begin to count: the next request is due."""
        self._due = time.monotonic() + self._stall

    def settimeout(self, seconds: float | None) -> None:
        """Set how long the next calls may wait; a receiving one never beyond what the sender has left."""
        self._allowed = seconds
        super().settimeout(seconds)

    def setblocking(self, blocking: bool) -> None:  # noqa: FBT001 - the signature of the base class
        """Wait, but not for ever, or do not wait."""
        self.settimeout(self._stall if blocking else 0)

    def recv(self, size: int, flags: int = 0) -> bytes:
        """Receive some bytes; those that come in give their sender more time."""
        super().settimeout(self._patience())
        try:
            data = super().recv(size, flags)
        finally:
            super().settimeout(self._allowed)
        self._due += len(data) / self._slowest
        return data

    def sendall(self, data: "ReadableBuffer", flags: int = 0) -> None:
        """Send all; each piece has to be taken in its time."""
        rest = memoryview(data)
        try:
            for start in range(0, len(rest), PIECE):
                piece = rest[start : start + PIECE]
                super().settimeout(self._stall + len(piece) / self._slowest)
                super().sendall(piece, flags)
        finally:
            super().settimeout(self._allowed)

    def _patience(self) -> float:
        if self._allowed == 0:  # the event loop asks without waiting
            return 0
        remaining = self._due - time.monotonic()
        if remaining <= 0:
            raise TimeoutError("the client sends too slowly")
        return remaining if self._allowed is None else min(remaining, self._allowed)


class LargeReads(Body):  # type: ignore[misc]
    """The body of a request, read in large pieces: gunicorn's own takes milliseconds to read it by the kilobyte."""

    def read(self, size: int | None = None) -> bytes:
        """Return up to so many bytes, all when None; fewer mean that there are no more."""
        if self.buf.tell():  # `readline` has left some
            return bytes(super().read(size))
        wanted = self.getsize(size)
        pieces: list[bytes] = []
        while wanted and (piece := self.reader.read(min(wanted, PIECE))):
            pieces.append(piece)
            wanted -= len(piece)
        return b"".join(pieces)


class ImpatientWorker(ThreadWorker):  # type: ignore[misc]
    """Threads that a slow client cannot hold for long, and a main loop that it cannot hold at all."""

    patience = Patience()

    def init_process(self) -> None:
        """Begin without connections, then run."""
        self._leaving: dict[TConn, None] = {}
        super().init_process()

    def accept(self, listener: socket.socket) -> None:
        """Accept a connection, whose client is expected to send."""
        self._accept(listener)

    def _accept(self, listener: socket.socket) -> bool:
        """Accept a connection; tells whether there was one."""
        try:
            accepted, client = listener.accept()
        except ConnectionAbortedError:
            return True
        except OSError as error:
            if error.errno not in NOBODY:
                raise
            return False
        self.nr_conns += 1
        conn = TConn(self.cfg, ImpatientSocket(accepted, self.patience), client, listener.getsockname())
        # Until something comes in, it waits in the main loop; gunicorn would have a thread wait for it.
        conn.timeout = time.monotonic() + self.patience.stall_seconds
        self.pending_conns.append(conn)
        self.poller.register(conn.sock, EVENT_READ, partial(self.on_pending_socket_readable, conn))
        return True

    def set_accept_enabled(self, enabled: bool) -> None:  # noqa: FBT001 - the signature of the base class
        """Begin or cease to accept connections."""
        if not enabled and not self.alive:
            self._call_last()
        super().set_accept_enabled(enabled)

    def _call_last(self) -> None:
        """At the end of the service, take who has come and refuse the rest; the silent ones have a moment to speak."""
        for listener in self.sockets:
            while self._accept(listener):
                pass
            if not _holds(self.ppid, listener.fileno()):
                with suppress(OSError):  # another worker was faster
                    listener.sock.shutdown(socket.SHUT_RDWR)
        end = time.monotonic() + LAST_CALL_SECONDS
        for conn in (*self.pending_conns, *self.keepalived_conns):
            conn.timeout = min(conn.timeout, end)

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        """Do what has come up; at the end of the service, look often who has hung up."""
        super().wait_for_and_dispatch_events(timeout if self.alive else min(timeout, TICK_SECONDS))

    def murder_keepalived(self) -> None:
        """Close the connections whose time is up."""
        now = time.monotonic()
        for conn in [conn for conn in self._leaving if conn.timeout <= now]:
            self._part(conn)
        super().murder_keepalived()

    def handle(self, conn: TConn) -> Any:
        """Serve the next request of a connection."""
        conn.sock.expect_request()
        return super().handle(conn)

    def handle_request(self, req: Request, conn: TConn) -> Any:
        """Serve one request."""
        req.body = LargeReads(req.body.reader)
        conn.parser.unreader.mxchunk = CHUNK
        return super().handle_request(req, conn)

    def finish_request(self, conn: TConn, served: "Future[Any]") -> None:
        """Keep a connection or take leave of it."""
        if served.cancelled() or served.exception() is not None or not served.result():
            self._take_leave(conn)
        else:
            self._keep(conn)

    def _keep(self, conn: TConn) -> None:
        """Await the next request, also at the end of the service: the client was told that it may send one."""
        if _has_read_ahead(conn):  # gunicorn would wait for what has come already
            self.enqueue_req(conn)
            return
        conn.sock.settimeout(0)
        conn.timeout = time.monotonic() + (self.cfg.keepalive if self.alive else LAST_CALL_SECONDS)
        self.keepalived_conns.append(conn)
        self.poller.register(conn.sock, EVENT_READ, partial(self.on_client_socket_readable, conn))

    def _take_leave(self, conn: TConn) -> None:
        """Say that nothing more will come, and wait in the main loop until the client has hung up, but not for long."""
        self._leaving[conn] = None
        conn.timeout = time.monotonic() + LINGER_SECONDS
        try:
            conn.sock.shutdown(socket.SHUT_WR)
            conn.sock.settimeout(0)
            self.poller.register(conn.sock, EVENT_READ, partial(self._read_away, conn))
        except OSError:  # the client was faster
            self._part(conn)

    def _read_away(self, conn: TConn, client: ImpatientSocket) -> None:
        """Read what a client still sends: closed over unread bytes, a connection takes its last answer with it."""
        try:
            more = client.recv(PIECE)
        except BlockingIOError:
            return
        except OSError:
            more = b""
        if not more:
            self._part(conn)

    def _part(self, conn: TConn) -> None:
        del self._leaving[conn]
        with suppress(KeyError, ValueError):  # never registered, or closed before
            self.poller.unregister(conn.sock)
        conn.close()
        self.nr_conns -= 1


def _has_read_ahead(conn: TConn) -> bool:
    """Tell whether bytes of the next request were read together with the end of the last one."""
    ahead = conn.parser.unreader.take_buffered()
    conn.parser.unreader.unread(ahead)
    return bool(ahead)


def _holds(process: int, descriptor: int) -> bool:
    """Tell whether another process has the same file open: a gunicorn that stops has closed what it listens on."""
    wanted = Path(f"/proc/self/fd/{descriptor}").readlink()
    try:
        files = list(Path(f"/proc/{process}/fd").iterdir())
    except OSError:
        return False
    return any(_link(file) == wanted for file in files)


def _link(file: Path) -> Path | None:
    try:
        return file.readlink()
    except OSError:  # closed meanwhile
        return None


class WithoutTracebacksOfSlowClients(logging.Filter):
    """Says in one line what gunicorn tells with a traceback: a client that sends or reads too slowly."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Shorten the record of a timeout; all records pass."""
        if record.exc_info and isinstance(record.exc_info[1], TimeoutError):
            record.msg, record.args, record.exc_info = "a client was too slow", (), None
            record.levelno, record.levelname = logging.INFO, "INFO"
        return True
