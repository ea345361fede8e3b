"""Gunicorn's threaded worker, patient with slow clients only within bounds."""

import errno
import logging
import math
import socket
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from gunicorn import util
from gunicorn.http.body import Body
from gunicorn.http.message import Request
from gunicorn.workers.gthread import TConn, ThreadWorker

STALL_SECONDS = 10.0
"""How long a client may keep a thread waiting for a request's first bytes, and with every later pause together."""

SLOWEST = 16 * 1024
"""Bytes a second that a client sends on average once it has used up those seconds."""

PIECE = 256 * 1024
CLOSERS = 16
LAST_CALL_SECONDS = 1.0
TICK_SECONDS = 0.1
NOBODY = (errno.EAGAIN, errno.EWOULDBLOCK, errno.EINVAL)
"""Nobody waits to be accepted; EINVAL: another worker has ended the listening."""

LINGER_SECONDS = 2.0
LINGER_BYTES = 256 * 2**20


class ImpatientSocket(socket.socket):
    """A socket whose sender has to deliver: it raises TimeoutError when a request comes in too slowly."""

    def __init__(self, accepted: socket.socket) -> None:
        super().__init__(fileno=accepted.detach())
        self._allowed: float | None = STALL_SECONDS
        self.expect_request()

    def expect_request(self) -> None:
        """Begin to count: the next request is due."""
        self._due = time.monotonic() + STALL_SECONDS

    def settimeout(self, seconds: float | None) -> None:
        """Set how long the next calls may wait; a receiving one never beyond what the sender has left."""
        self._allowed = seconds
        super().settimeout(seconds)

    def setblocking(self, blocking: bool) -> None:  # noqa: FBT001 - the signature of the base class
        """Wait, but not for ever, or do not wait."""
        self.settimeout(STALL_SECONDS if blocking else 0)

    def recv(self, size: int, flags: int = 0) -> bytes:
        """Receive some bytes; those that come in give their sender more time."""
        super().settimeout(self._patience())
        try:
            data = super().recv(size, flags)
        finally:
            super().settimeout(self._allowed)
        self._due += len(data) / SLOWEST
        return data

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

    def init_process(self) -> None:
        """Make the threads that close connections, then run."""
        self._last_call = math.inf
        self._closers = ThreadPoolExecutor(CLOSERS, thread_name_prefix="close")
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
        self.enqueue_req(TConn(self.cfg, ImpatientSocket(accepted), client, listener.getsockname()))
        return True

    def set_accept_enabled(self, enabled: bool) -> None:  # noqa: FBT001 - the signature of the base class
        """Begin or cease to accept connections; at the end of the service, take who has come and refuse the rest."""
        if not enabled and not self.alive:
            self._last_call = time.monotonic() + LAST_CALL_SECONDS
            for listener in self.sockets:
                while self._accept(listener):
                    pass
                if not _holds(self.ppid, listener.fileno()):
                    with suppress(OSError):  # another worker was faster
                        listener.sock.shutdown(socket.SHUT_RDWR)
        super().set_accept_enabled(enabled)

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        """Do what has come up; at the end of the service, look often who has hung up."""
        super().wait_for_and_dispatch_events(timeout if self.alive else min(timeout, TICK_SECONDS))

    def murder_keepalived(self) -> None:
        """Close the kept connections whose time is up; at the end of the service, all that stay silent for a while."""
        if not self.alive and time.monotonic() > self._last_call:
            for conn in self.keepalived_conns:
                conn.timeout = 0
        super().murder_keepalived()

    def handle(self, conn: TConn) -> Any:
        """Serve the next request of a connection."""
        conn.sock.expect_request()
        return super().handle(conn)

    def handle_request(self, req: Request, conn: TConn) -> Any:
        """Serve one request."""
        req.body = LargeReads(req.body.reader)
        return super().handle_request(req, conn)

    def finish_request(self, conn: TConn, served: "Future[Any]") -> None:
        """Keep a connection or close it; closing waits for the client, so it is not done in the main loop."""
        if self.alive and not served.cancelled() and served.exception() is None and served.result():
            super().finish_request(conn, served)
        else:
            self.nr_conns -= 1
            # What a refused client still sends is read away for a while: else the answer would be lost with it.
            self._closers.submit(util.close_graceful, conn.sock, LINGER_SECONDS, LINGER_BYTES)


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
