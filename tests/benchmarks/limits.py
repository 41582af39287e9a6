"""What the machine allows at most: base64 in memory, syncs of the disk, bytes over loopback."""

from __future__ import annotations

import os
import socket
import tempfile
import threading
import timeit
from collections.abc import Callable
from pathlib import Path
from typing import Self

import attrs

from signstash._content.base64 import decode_base64, encode_base64

BLOCK = os.urandom(200_000)


@attrs.frozen
class Limits:
    """The machine's limits.

    Attributes:
        base64: Bytes that are encoded and decoded in a second.
        syncs: Files that are synced in a second, one after the other.
        loopback: Bytes that go over loopback in a second.
    """

    base64: float
    syncs: float
    loopback: float

    @classmethod
    def measured(cls) -> Self:
        """Measure them."""
        base64 = len(BLOCK) / _seconds(lambda: decode_base64(encode_base64(BLOCK)), 20)
        with tempfile.TemporaryDirectory() as folder, Path(folder, "file").open("wb", buffering=0) as file:

            def sync() -> None:
                file.write(BLOCK[:2_000])
                os.fsync(file.fileno())

            syncs = 1 / _seconds(sync, 20)
        return cls(base64=base64, syncs=syncs, loopback=200 * len(BLOCK) / _seconds(_over_loopback, 1))

    def __str__(self) -> str:
        return (
            f"limit: base64 there and back {self.base64 / 1e6:.0f} MB/s, loopback {self.loopback / 1e6:.0f} MB/s, "
            f"the disk syncs {self.syncs:.0f} files/s, one after the other"
        )

    def of(self, count: int, size: int, *, syncs: int = 0) -> str:
        """Where the limit is when documents are signed, and files and folders synced."""
        base64, loopback = (1000 * count * size / speed for speed in (self.base64, self.loopback * 3 / 8))
        waits = f"; waiting for {syncs} syncs {1000 * syncs / self.syncs:.1f} ms" if syncs else ""
        return f"limit: base64 {base64:.2f} ms, loopback {loopback:.2f} ms{waits}"


def _over_loopback() -> None:
    ours, theirs = socket.socketpair()
    left = 200 * len(BLOCK)

    def send() -> None:
        for _ in range(200):
            theirs.sendall(BLOCK)

    sender = threading.Thread(target=send)
    sender.start()
    while left:
        left -= len(ours.recv(1 << 20))
    sender.join()
    ours.close()
    theirs.close()


def _seconds(work: Callable[[], object], times: int) -> float:
    return min(timeit.repeat(work, number=times, repeat=5)) / times
