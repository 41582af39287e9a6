"""Writes contents to files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Protocol

from .contents import Contents, InPath, InTemporaryFile
from .files import TemporaryFile, make_folder, require_replaceable, sync_folder
from .snapshots import snapshot

_BLOCK: Final = 1024 * 1024


class _Digest(Protocol):
    def update(self, block: bytes, /) -> object: ...


def write_atomically(contents: Contents, target: Path, *, overwrite: bool) -> InPath:
    """Write contents to a file that has all of them or does not exist, also after a power failure. Blocks.

    Args:
        contents: What is written.
        target: The file. Its folder is made.
        overwrite: Whether an existing file is replaced.

    Returns:
        The contents in the file.

    Raises:
        FileExistsError: If the file exists.
        InvalidDocumentError: If the contents cannot be read.
        OSError: If it cannot be written.
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

    A temporary file that is in the folder already becomes this file.

    Args:
        contents: What is written.
        folder: The folder, which must exist.
        with_digest: Whether their SHA-256 is returned, too, in hexadecimal digits.

    Raises:
        InvalidDocumentError: If the contents cannot be read.
        OSError: If the file cannot be written.
    """
    digest = hashlib.sha256() if with_digest else None
    blocks = snapshot(contents).blocks(_BLOCK)
    if isinstance(contents, InTemporaryFile) and contents.file.folder == folder:
        file = contents.file
        for block in _digested(blocks, digest) if digest is not None else ():
            del block
    else:
        file = TemporaryFile(folder)
        try:
            file.append(blocks if digest is None else _digested(blocks, digest))
        except BaseException:
            file.remove()
            raise
    return file, None if digest is None else digest.hexdigest()


def _digested(blocks: Iterator[bytes], digest: _Digest) -> Iterator[bytes]:
    for block in blocks:
        digest.update(block)
        yield block
