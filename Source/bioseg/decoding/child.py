"""The confined process: `python -m bioseg.decoding.child` decodes one file after the other, within bounds.

It speaks `bioseg.decoding.wire` on its standard input and output; what libraries print goes to the null device. The
end of the input, which comes as well when the parent dies, ends the process.
"""

import ctypes
import os
import resource
import signal
import time
from pathlib import Path
from typing import IO, Final

import cv2

from bioseg.children import READY, exactly
from bioseg.decoding import formats, wire
from bioseg.errors import ImageError
from bioseg.images import Image, Limits

ORPHAN_SECONDS: Final = 25
"""After so long in one file the kernel ends the process, when no parent has done so before."""
BYTES_PER_PIXEL: Final = 64
"""Four float64 in a compressed TIFF take the most: 32 bytes decoded, and 32 put in order."""
SPARE_BYTES: Final = 96 * 2**20
OPEN_FILES: Final = 32
NO_NEW_PRIVILEGES: Final = 38
"""Number of PR_SET_NO_NEW_PRIVS, see prctl(2)."""


def main() -> None:
    """Serve until the input ends."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    confine()
    own_size = _own_size()
    answers.write(READY)
    answers.flush()
    try:
        with open(0, "rb") as requests:
            while serve_one(requests, answers, own_size):
                pass
    except MemoryError as error:
        raise SystemExit(wire.OUT_OF_MEMORY) from error


def confine() -> None:
    """Give up what decoding does not need: threads, written files, core dumps, many open files, privileges."""
    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    for what, most in ((resource.RLIMIT_FSIZE, 0), (resource.RLIMIT_CORE, 0), (resource.RLIMIT_NOFILE, OPEN_FILES)):
        resource.setrlimit(what, (most, most))
    ctypes.CDLL(None).prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0)


def _own_size() -> int:
    """Bytes of address space in use."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()


def serve_one(requests: IO[bytes], answers: IO[bytes], own_size: int) -> bool:
    """Answer one request; False when there is none any more."""
    header = requests.read(wire.REQUEST.size)
    if len(header) < wire.REQUEST.size:
        return False
    length, max_bytes, max_pixels = wire.REQUEST.unpack(header)
    allowed = own_size + SPARE_BYTES + 3 * max_bytes + BYTES_PER_PIXEL * max_pixels
    resource.setrlimit(resource.RLIMIT_AS, (allowed, resource.RLIM_INFINITY))
    data = exactly(requests, length)
    spent = time.process_time()
    signal.alarm(ORPHAN_SECONDS)
    result = decode(data, Limits(max_bytes, max_pixels))
    signal.alarm(0)
    wire.answer(answers, result, time.process_time() - spent)
    return True


def decode(data: bytes, limits: Limits) -> Image | ImageError:
    """Give the image or what is wrong with it; raises MemoryError when the memory does not suffice."""
    try:
        return formats.decode(data, limits)
    except ImageError as error:
        if isinstance(error.__cause__, MemoryError):
            raise error.__cause__ from None
        return error


if __name__ == "__main__":
    main()
