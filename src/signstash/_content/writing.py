"""Writes contents to files, each of which has all of them or does not exist, also after a power failure."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import attrs

from ..errors import InvalidDocumentError
from .contents import Contents, InMemory, InTemporaryFile
from .files import TemporaryFile, make_folder, require_replaceable, sync_folder
from .snapshots import digest_of, snapshot

_BLOCK: Final = 1024 * 1024


@attrs.define
class FileWrite:
    """Contents and the file that they become. A file that gets no name disappears with this object.

    Attributes:
        digest: SHA-256 of the contents in hexadecimal digits, if it is asked for and they could be written.
        error: The error that prevented the file, or None.
    """

    contents: Contents
    target: Path
    digest: str | None = attrs.field(init=False, default=None)
    error: Exception | None = attrs.field(init=False, default=None)
    file: TemporaryFile | None = attrs.field(init=False, default=None)
    folder: Path = attrs.field(init=False, default=attrs.Factory(lambda self: self.target.parent, takes_self=True))

    def __enter__(self) -> TemporaryFile | None:
        """The file, unless it failed. What goes wrong for it is kept, so that the others are written."""
        return self.file

    def __exit__(self, _: object, error: BaseException | None, __: object) -> bool:
        if not isinstance(error, OSError | ValueError | InvalidDocumentError):
            return False
        if self.file is not None and self.contents != InTemporaryFile(self.file):
            self.file.remove()  # at once: the error would hold it, and its space on a full disk
        self.digest = self.file = None
        self.error = error
        return True

    def write(self, *, with_digest: bool) -> None:
        """Write the contents to an unnamed file. A temporary file that is in its folder already is used itself."""
        source = self.contents
        self.digest = digest_of(source) if with_digest else None
        if isinstance(source, InTemporaryFile) and source.file.folder == self.folder:
            self.file = source.file
        else:
            self.file = TemporaryFile(self.folder)
            self.file.append([source.content] if isinstance(source, InMemory) else snapshot(source).blocks(_BLOCK))


def write_files(files: Sequence[FileWrite], *, overwrite: bool, record: Callable[[], None] | None = None) -> None:
    """Write files to folders that exist, with as few waits for the disk as possible. Blocks.

    Args:
        files: What is written. Errors are kept in it.
        overwrite: Whether existing files are replaced.
        record: Is called when all contents and their digests are known and on disk, before any file gets its name. If
            it raises, no file gets its name.
    """
    for file in files:
        with file:
            file.write(with_digest=record is not None)
            if file.file is not None and len(files) > 1:
                file.file.start_writeback()
    for file in files:
        with file as written:
            if written is not None:
                written.sync()
    if record is not None:
        record()
    for file in files:
        with file as written:
            if written is not None:
                written.rename(file.target, overwrite=overwrite)
    for folder in {os.fspath(file.folder) for file in files if file.error is None}:
        sync_folder(folder)


def write_atomically(contents: Contents, target: Path, *, overwrite: bool) -> None:
    """Write one file, whose folder is made, or raise the error. Blocks."""
    make_folder(target.parent)
    require_replaceable(target, overwrite=overwrite)
    file = FileWrite(snapshot(contents), target)  # a copy, so that the contents can be saved again
    write_files([file], overwrite=overwrite)
    if file.error is not None:
        raise file.error
