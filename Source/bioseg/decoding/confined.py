"""Decoding in child processes, which a hostile file may crash, hang or bloat without harm to this one."""

import logging
import signal
from threading import BoundedSemaphore
from typing import Final

from bioseg import helped
from bioseg.children import Child, Ended
from bioseg.decoding import content, wire
from bioseg.errors import ImageError
from bioseg.images import Image, Limits

log = logging.getLogger(__name__)

DECODE_SECONDS: Final = 20.0
MODULE: Final = "bioseg.decoding.child"
OUT_OF_TIME: Final = "such that it takes more than {seconds:g} s to decode"
OUT_OF_MEMORY: Final = "such that it takes more memory to decode than is allowed"
CRASHED: Final = "damaged such that decoding it fails"


class Confined:
    """Decodes as `formats.decode` does, in child processes; may be called from any thread.

    A file that ends its child, or takes longer than allowed, costs one line in the log and its caller an
    UnreadableImage; the next file gets a fresh child. ProcessFailed is raised when no child can be started. What the
    children spend is counted in `bioseg.helped` for the thread that called.

    Parameters
    ----------
    places
        How many files may be decoded at once, and so how many children there may be; a caller more waits. As the one
        used last is used first, mostly there is one.
    seconds
        How long one file may take.
    """

    def __init__(self, places: int, seconds: float = DECODE_SECONDS) -> None:
        self._places = BoundedSemaphore(places)
        self._seconds = seconds
        self._idle: list[Child] = []

    def __call__(self, data: bytes, limits: Limits) -> Image:
        """Decode the one image that an uploaded file holds; returns and raises as `formats.decode` does."""
        content.check_bytes(data, limits)
        kind = content.sniff(data)
        with self._places:
            child = self._take()
            try:
                result = _decoded(child, data, limits, self._seconds)
            except Ended as ended:
                helped.add(ended.took)
                log.warning("decoding %s of %s bytes ended its process: %s", kind, f"{len(data):,}", ended)
                raise content.damaged(kind, _blame(ended, self._seconds)) from ended
            finally:
                self._give_back(child)
        if isinstance(result, ImageError):
            raise result
        return result

    def start(self) -> None:
        """Have a child ready, so that the first file does not wait for one."""
        with self._places:
            self._give_back(self._take())

    def close(self) -> None:
        """End the children that wait; a later call starts new ones."""
        while self._idle:
            self._idle.pop().end()

    def _take(self) -> Child:
        while self._idle:
            child = self._idle.pop()
            if child.lives:
                return child
            child.end()
        return Child(MODULE)

    def _give_back(self, child: Child) -> None:
        if child.lives and not child.is_busy:
            self._idle.append(child)
        else:
            child.end()


def _decoded(child: Child, data: bytes, limits: Limits, seconds: float) -> Image | ImageError:
    """Give the image or what is wrong with it; raises Ended when the child does not answer in time, or at all."""
    with child.asked(seconds):
        wire.ask(child.requests, data, limits)
        result, cpu_seconds = wire.receive(child.answers, limits)
    helped.add(cpu_seconds)
    return result


def _blame(ended: Ended, seconds: float) -> str:
    if ended.took >= seconds or ended.status == -signal.SIGALRM:
        return OUT_OF_TIME.format(seconds=seconds)
    return OUT_OF_MEMORY if ended.status in (wire.OUT_OF_MEMORY, -signal.SIGKILL) else CRASHED
