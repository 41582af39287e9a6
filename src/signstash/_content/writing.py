"""Writes contents to files."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from .contents import Contents, InPath, InTemporaryFile
from .files import TemporaryFile, make_folder, require_replaceable, sync_folder
from .snapshots import snapshot

_BLOCK: Final = 1024 * 1024


def write_atomically(contents: Contents, target: Path, *, overwrite: bool) -> InPath:
    """Write contents to a file that has all of them or does not exist, also after a power failure. Blocks.

    The file's folder is made. Returns the contents in the file.
    """
    make_folder(target.parent)
    require_replaceable(target, overwrite=overwrite)
    file = TemporaryFile(target.parent)
    try:
        file.append(snapshot(contents).blocks(_BLOCK))
        file.sync()
        file.rename(target, overwrite=overwrite)
    finally:
        file.remove()
    sync_folder(target.parent)
    return InPath(target)


def write_unnamed(contents: Contents, folder: Path, *, with_digest: bool) -> tuple[TemporaryFile, str | None]:
    """Write contents to a file that is still to be synced and to get its name. Blocks.

    A temporary file that is in the folder already becomes this file. Returns the SHA-256 too if it is asked for.
    """
    digest = hashlib.sha256()

    def blocks() -> Iterator[bytes]:
        for block in snapshot(contents).blocks(_BLOCK):
            if with_digest:
                digest.update(block)
            yield block

    if isinstance(contents, InTemporaryFile) and contents.file.folder == folder:
        file = contents.file
        if with_digest:
            deque(blocks(), maxlen=0)
    else:
        file = TemporaryFile(folder)
        try:
            file.append(blocks())
        except BaseException:
            file.remove()
            raise
    return file, digest.hexdigest() if with_digest else None
