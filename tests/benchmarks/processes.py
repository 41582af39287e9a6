"""Stubs in processes of their own, so that only what is measured is measured."""

from __future__ import annotations

import contextlib
import multiprocessing
from collections.abc import Callable, Iterator
from typing import Any


@contextlib.contextmanager
def stub(serve: Callable[..., None], *arguments: Any) -> Iterator[str]:
    """The URL of a server that runs as long as the block.

    Args:
        serve: Serves on 127.0.0.1 until it is terminated; it sends its port through the connection that it gets first.
        *arguments: What else it gets.
    """
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    process = spawn.Process(target=serve, args=(theirs, *arguments), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{ours.recv()}"
    finally:
        process.terminate()
        process.join()
        ours.close()
