"""Documents to be signed.

.. include:: documents.md
"""

from __future__ import annotations

import io
import os
import re
import secrets
from collections.abc import AsyncIterable, Callable, Iterable
from pathlib import Path
from typing import Self, TypeVar, Unpack

import attrs

from . import models
from ._arguments import require_known_options, require_text
from ._content.contents import Contents, InMemory
from ._content.names import safe_names
from ._content.sources import InAsyncFile, InOpenFile, Source, contents_of
from .errors import InvalidDocumentError
from .options import SignatureOptions, signature_from

_Result = TypeVar("_Result")
_Documents = TypeVar("_Documents")


@attrs.define
class _ReferenceState:
    """What earlier requests mean for the reference of the next one.

    Attributes:
        distinction: What makes the next reference unique.
        failed: Whether the last request under the caller's own reference failed, which may have used it up.
    """

    distinction: str = attrs.field(factory=lambda: secrets.token_hex(6))
    failed: bool = False


@attrs.frozen(kw_only=True, eq=False)
class Document:
    """A document to be signed. Make one with `pdf`, `xml` or `binary`.

        Document.pdf("invoice.pdf", reason="Invoice approval")
        Document.xml(xml_bytes, name="invoice.xml")
        Document.binary(open("archive.zip", "rb"))

    The contents are read when the document is sent, not before. An open file, synchronous or asynchronous, is read from
    its current position.

    One `Document` object is one document to be signed once: its external reference stays the same however often it
    is sent, so the service rejects a second signature (`DuplicateReferenceError`). Only if a response says that it
    was not signed (`DocumentNotSignedError`), the next attempt gets a new reference, unless you gave one.

    Attributes:
        name: File name.
        content_type: Media type.
        signature: The requested signature, as the service's own model.
        external_reference: Your own unique reference, or None.
    """

    name: str
    content_type: str
    signature: models.SignatureInfo
    external_reference: str | None
    _contents: Contents = attrs.field(alias="contents", repr=False)
    _name_problem: str | None = attrs.field(alias="name_problem", repr=False, default=None)
    _state: _ReferenceState = attrs.field(alias="_state", repr=False, factory=_ReferenceState)

    @classmethod
    def pdf(cls, source: Source, **options: Unpack[SignatureOptions]) -> Self:
        """A PDF, signed with PAdES.

        Args:
            source: Path, bytes, or file opened in binary mode; it may be asynchronous.
            **options: `name`, `external_reference`, `content_type`, `signature_type`, `reason`, `location`,
                `timestamp`, `visible_signature`, `signature_location`, `signature_transform`, `canonical_transform`
                and `signature`, which `signstash.options.SignatureOptions` describes.

        Raises:
            InvalidDocumentError: If options contradict each other. A file's name and contents are checked when sent.
        """
        return cls._from(source, models.ContentType.APPLICATIONPDF, models.SignatureType.PADES, options)

    @classmethod
    def xml(cls, source: Source, **options: Unpack[SignatureOptions]) -> Self:
        """An XML document, signed with XAdES. The arguments are those of `pdf`."""
        return cls._from(source, models.ContentType.APPLICATIONXML, models.SignatureType.XADES, options)

    @classmethod
    def binary(cls, source: Source, **options: Unpack[SignatureOptions]) -> Self:
        """Any bytes, signed with CAdES. The arguments are those of `pdf`.

        The definition publishes content types for PDF and XML only; unless `content_type` says otherwise,
        `application/octet-stream` is sent.
        """
        return cls._from(source, models.ContentType.APPLICATIONOCTET_STREAM, models.SignatureType.CADES, options)

    @classmethod
    def _from(
        cls, source: Source, content_type: str, signature_type: models.SignatureType, options: SignatureOptions
    ) -> Self:
        require_known_options("Document", options, SignatureOptions)
        given, problem = options.get("name"), None
        name = _own_name(source) if given is None else given
        try:
            if name in ("", "..") and given is None and isinstance(source, str | os.PathLike):
                raise InvalidDocumentError(f"The path {str(source)!r} names no file.", "Give the path of a file.")
            try:
                require_text("name", name)
                if re.search(r"[/\\]|^\.\.?$", name):
                    raise InvalidDocumentError(f"name {name!r} is not a plain file name.", "Give one without folders.")
            except InvalidDocumentError as error:
                if given is not None:
                    raise
                problem, (name,) = error.problem, safe_names([name])
            reference = options.get("external_reference")
            if reference is not None:
                require_reference("external_reference", reference)
            media_type = str(options.get("content_type") or content_type)
            if not re.fullmatch(r"[\w.+-]+/[\w.+-]+", media_type):
                raise InvalidDocumentError(f"content_type is {media_type!r}.", "Give a type, such as application/pdf.")
            signature = signature_from(options, signature_type, media_type)
            contents = contents_of(source)
        except InvalidDocumentError as error:
            raise _named(error, name, options.get("external_reference")) from None
        return cls(
            name=name,
            content_type=media_type,
            signature=signature,
            external_reference=reference,
            contents=contents,
            name_problem=problem,
        )

    def reference(self, client_service: str) -> str:
        """The external reference under which a client service sends the document.

        Args:
            client_service: Alias of the client service.

        Returns:
            The caller's reference, or one made from alias, name and random digits, which needs no quoting in a URL.
        """
        if self.external_reference is not None:
            return self.external_reference
        return unique_reference(client_service, self.name, self._state.distinction)

    def _note_request(self, reference: str, *, failed: bool) -> None:
        """Record a request, which may have used up its reference; it failed if certainly nothing was signed."""
        if self.external_reference is not None:
            self._state.failed = failed
        elif failed and reference.endswith(self._state.distinction):
            self._state.distinction = secrets.token_hex(6)

    @property
    def in_memory(self) -> bool:
        """Whether its contents were given as bytes, so that reading them does not block."""
        return isinstance(self._contents, InMemory)

    async def _load(self) -> None:
        """Copy its contents if they are in an open file. Whatever goes wrong is raised when they are read."""
        if isinstance(self._contents, InOpenFile | InAsyncFile):
            await self._contents.load()

    def _read_with(self, function: Callable[[Contents], _Result]) -> _Result:
        """Apply a function to the contents; errors name the document. Blocks: call it in a thread."""
        try:
            if self._name_problem:
                raise InvalidDocumentError(self._name_problem, "Rename its file, or give name='invoice.pdf'.")
            return function(self._contents)
        except InvalidDocumentError as error:
            raise _named(error, self.name, self.external_reference) from error.__cause__

    def _digested(self) -> tuple[Self, str]:
        """The document, which raises an error if its contents change, and their SHA-256. Blocks."""
        from ._content.snapshots import digested

        contents, digest = self._read_with(digested)
        return self if contents is self._contents else attrs.evolve(self, contents=contents), digest


def unique_reference(client_service: str, name: str, distinction: str) -> str:
    """A unique, readable external reference, with the prefix that the vendor advises (wiki: integration guide)."""
    stem = name.rpartition(".")[0] or name
    return re.sub(r"[^A-Za-z0-9._-]+", "_", f"{client_service}_{stem[:40]}_{distinction}")


def require_reference(name: str, reference: object) -> None:
    """Check that an external reference can be part of a URL, where the service looks it up."""
    require_text(name, reference)
    if reference in (".", "..") or str(reference) != str(reference).strip():
        raise InvalidDocumentError(f"{name} is {reference!r}.", "Give letters or digits, without blanks at the ends.")


def require_document(document: object) -> Document:
    """Check that a value is a `Document`, and not a path, and return it."""
    if not isinstance(document, Document):
        hint = "Make it with Document.pdf, Document.xml or Document.binary."
        raise InvalidDocumentError(f"A document is of type {type(document).__name__}.", hint)
    return document


def require_iterable(documents: _Documents) -> _Documents:
    """Check that documents can be iterated over, and return them."""
    if isinstance(documents, Document) or not isinstance(documents, Iterable | AsyncIterable):
        hint = "Give an iterable of documents, such as a list."
        raise InvalidDocumentError(f"documents is of type {type(documents).__name__}.", hint)
    return documents


def _named(error: InvalidDocumentError, name: object, reference: object) -> InvalidDocumentError:
    if error.document is not None or not isinstance(name, str) or not name.strip():
        return error
    shown = name if name.isprintable() else repr(name)
    references = (reference,) if isinstance(reference, str) else ()
    problem = f"Document {shown}: {error.problem}"
    return InvalidDocumentError(problem, error.hint, document=name, external_references=references)


def _own_name(source: Source) -> str:
    if isinstance(source, str | os.PathLike):
        contents_of(source)  # raises for text, which has no file name
        return Path(source).name
    # Uploads have a `filename`, which may have folders; the `name` of those of werkzeug is that of a form field.
    upload = None if isinstance(source, io.IOBase) else getattr(source, "filename", None)
    name = re.split(r"[/\\]", upload)[-1] if isinstance(upload, str) else getattr(source, "name", None)
    if not isinstance(name, str) or not name:  # a form without a file gives an empty one
        contents_of(source)  # raises a better error if it cannot be a document at all
        raise InvalidDocumentError("The document has no name.", "Give one with name='invoice.pdf'.")
    return Path(name).name
