"""What goes in: the documents to be signed, where their contents are, and what is asked for them.

.. include:: documents.md
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import AsyncIterable, Callable, Iterable
from pathlib import Path
from typing import Self, TypeVar, Unpack

import attrs

from ._content.sources import Contents, InMemory, Source, Unchanged, contents_of, snapshot
from .errors import InvalidDocumentError
from .models import ContentType, SignatureInfo, SignatureType
from .options import SignatureOptions, signature_from

Answer = TypeVar("Answer")
Documents = TypeVar("Documents")


@attrs.frozen(kw_only=True, eq=False)
class Document:
    """A document to be signed. Make one with `pdf`, `xml` or `binary`.

        Document.pdf("invoice.pdf", reason="Invoice approval")
        Document.xml(xml_bytes, name="invoice.xml")
        Document.binary(open("archive.zip", "rb"))

    The contents are read when the document is sent, not before.

    One `Document` object stands for one document to be signed once: its external reference stays the same however often
    it is sent, so the service refuses a second signature (`DuplicateReferenceError`).

    Attributes:
        name: File name.
        content_type: Media type.
        signature: What is asked for, as the service's own model.
        external_reference: The unique name that the caller gave it, or None.
    """

    name: str
    content_type: str
    signature: SignatureInfo
    external_reference: str | None
    _contents: Contents = attrs.field(alias="contents", repr=False)
    _distinction: str = attrs.field(init=False, repr=False, factory=lambda: secrets.token_hex(6))

    @classmethod
    def pdf(cls, source: Source, **options: Unpack[SignatureOptions]) -> Self:
        """A PDF, signed with PAdES.

        Args:
            source: Path, bytes, or file opened in binary mode.
            **options: See `SignatureOptions`.

        Raises:
            InvalidDocumentError: If the options cannot work together. Contents are checked when it is sent.
        """
        return cls._from(source, ContentType.APPLICATIONPDF, SignatureType.PADES, options)

    @classmethod
    def xml(cls, source: Source, **options: Unpack[SignatureOptions]) -> Self:
        """An XML document, signed with XAdES.

        Args:
            source: Path, bytes, or file opened in binary mode.
            **options: See `SignatureOptions`.

        Raises:
            InvalidDocumentError: If the options cannot work together. Contents are checked when it is sent.
        """
        return cls._from(source, ContentType.APPLICATIONXML, SignatureType.XADES, options)

    @classmethod
    def binary(cls, source: Source, **options: Unpack[SignatureOptions]) -> Self:
        """Any bytes, signed with CAdES.

        Args:
            source: Path, bytes, or file opened in binary mode.
            **options: See `SignatureOptions`. The definition publishes content types for PDF and XML only; unless
                `content_type` says otherwise, `application/octet-stream` is sent.

        Raises:
            InvalidDocumentError: If the options cannot work together. Contents are checked when it is sent.
        """
        return cls._from(source, ContentType.APPLICATIONOCTET_STREAM, SignatureType.CADES, options)

    @classmethod
    def _from(
        cls, source: Source, content_type: ContentType, signature_type: SignatureType, options: SignatureOptions
    ) -> Self:
        unknown = options.keys() - SignatureOptions.__annotations__.keys()
        if unknown:
            raise TypeError(f"a Document has no option {', '.join(sorted(unknown))}")
        name = options.get("name")
        if name is None:
            name = _own_name(source)
        try:
            refuse_text("name", name)
            if re.search(r"[/\\]", name) or name in (".", ".."):
                raise InvalidDocumentError(f"name {name!r} is no file's.", "Give a file name without folders.")
            reference = options.get("external_reference")
            if reference is not None:
                refuse_reference("external_reference", reference)
            media_type = str(options.get("content_type") or content_type)
            if not re.fullmatch(r"[\w.+-]+/[\w.+-]+", media_type):
                raise InvalidDocumentError(
                    f"content_type is {media_type!r}.", "Give a media type, such as application/pdf."
                )
            signature = signature_from(options, signature_type, media_type)
            contents = contents_of(source)
        except InvalidDocumentError as error:
            raise _named(error, name) from None
        return cls(
            name=name,
            content_type=media_type,
            signature=signature,
            external_reference=reference,
            contents=contents,
        )

    def reference(self, client_service: str) -> str:
        """The document's external reference, in the name of a client service.

        Args:
            client_service: Alias of the client service.

        Returns:
            What the caller gave, or else alias, name and something random, in characters that need no quoting in a URL.
        """
        if self.external_reference is not None:
            return self.external_reference
        return unique_reference(client_service, self.name.rpartition(".")[0] or self.name, self._distinction)

    @property
    def in_memory(self) -> bool:
        """Whether its contents were given as bytes, so that reading them does not block."""
        return isinstance(self._contents, InMemory)

    def unchanged(self) -> Self:
        """The document as it is now: if its contents change, they are refused. Blocks: call it in a thread.

        Raises:
            InvalidDocumentError: If they cannot be read.
        """
        return self if self.in_memory else attrs.evolve(self, contents=Unchanged(self.about(snapshot)))

    def about(self, question: Callable[[Contents], Answer]) -> Answer:
        """What a function finds out about the contents; its errors name the document. It may block.

        Raises:
            InvalidDocumentError: If they cannot be read.
        """
        try:
            return question(self._contents)
        except InvalidDocumentError as error:
            raise _named(error, self.name) from error.__cause__


def unique_reference(client_service: str, name: str, distinction: str) -> str:
    """An external reference that is unique and can be read (wiki: integration guide, advice on references).

    Args:
        client_service: Alias of the client service, which the vendor advises as prefix.
        name: What it is about; shortened to 40 characters.
        distinction: What makes it unique.
    """
    return re.sub(r"[^A-Za-z0-9._-]+", "_", f"{client_service}_{name[:40]}_{distinction}")


def refuse_reference(name: str, reference: object) -> None:
    """Refuse what cannot be an external reference.

    Raises:
        InvalidDocumentError: If it is no text, empty, or could not stand in a path, where the service looks it up.
    """
    refuse_text(name, reference)
    if reference in (".", "..") or str(reference) != str(reference).strip():
        raise InvalidDocumentError(f"{name} is {reference!r}.", "Give a name without blanks at its ends.")


def refuse_other_types(document: object) -> None:
    """Refuse what is no `Document`.

    Raises:
        InvalidDocumentError: If it is something else, such as a path.
    """
    if not isinstance(document, Document):
        raise InvalidDocumentError(
            f"A document is of type {type(document).__name__}.",
            "Make it with Document.pdf, Document.xml or Document.binary.",
        )


def require_iterable(documents: Documents) -> Documents:
    """The same documents.

    Raises:
        InvalidDocumentError: If it is only one, or nothing that can be iterated over.
    """
    if isinstance(documents, Document) or not isinstance(documents, Iterable | AsyncIterable):
        raise InvalidDocumentError(
            f"documents is of type {type(documents).__name__}.", "Give an iterable of documents, such as a list."
        )
    return documents


def refuse_text(name: str, value: object) -> None:
    """Refuse what is no text that a person can read.

    Raises:
        InvalidDocumentError: If it is something else, empty, or holds control characters.
    """
    if not isinstance(value, str) or not value.strip():
        raise InvalidDocumentError(f"{name} is {value!r}.", "Give a text that is not empty.")
    if not value.isprintable():
        raise InvalidDocumentError(f"{name} {value!r} holds control characters.", "Take them out.")


def _named(error: InvalidDocumentError, name: object) -> InvalidDocumentError:
    if error.document is not None or not isinstance(name, str):
        return error
    shown = name if name.isprintable() else repr(name)
    return InvalidDocumentError(f"Document {shown}: {error.problem}", error.hint, document=name)


def _own_name(source: Source) -> str:
    if isinstance(source, str | os.PathLike):
        return Path(source).name
    name = getattr(source, "name", None)
    if not isinstance(name, str):
        contents_of(source)  # what cannot be a document is told as such
        raise InvalidDocumentError("The document has no name.", "Give one with name='invoice.pdf'.")
    return Path(name).name
