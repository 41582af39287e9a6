"""The result of a verification, and how it is collected."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Iterator
from enum import StrEnum
from typing import Any, Final

import attrs
from asn1crypto import x509

from ..errors import InvalidDocumentError
from ..models import SignatureType

_CLOCKS_DIFFER: Final = dt.timedelta(minutes=1)
"""How much the clocks of a signer and a timestamp authority may differ."""


class Verdict(StrEnum):
    """The result of a verification, in the terms of ETSI EN 319 102-1, 5.1.3."""

    VALID = "valid"
    """Every signature holds, and together they cover the document (`TOTAL-PASSED`)."""

    INVALID = "invalid"
    """The document is not the one that was signed or sent, or not all of it is signed (`TOTAL-FAILED`)."""

    INDETERMINATE = "indeterminate"
    """Nothing was found to be wrong, but it cannot be judged here (`INDETERMINATE`)."""


@attrs.frozen(kw_only=True)
class Verification:
    """The result of verifying a signed document.

    Revocation, and whether a certificate is qualified, are not judged: use a validation service for these.

    Attributes:
        verdict: Whether the document is valid.
        signature_type: PAdES, XAdES or CAdES; None if the file is none of them.
        problems: Why the document is invalid or cannot be judged, the reasons for the verdict first; else empty.
        notes: What is worth knowing but does not affect the verdict.
        signer: The signer of the newest signature, by the certificate's common name.
        identifiers: The signer's identifiers in the certificate, the organization's first: mostly tax numbers, such as
            `VATPT-123456789` (ETSI EN 319 412-1, 5.1).
        issuer: The issuer of the certificate, by its common name.
        certificate: The signer's certificate, in DER.
        signed_at: The time of signing that the signer claims.
        timestamped_at: The time in the signature's timestamp: it was signed before that.
        trusted: Whether every signer's certificate has a valid path to one of the given roots now, no matter when it
            was used. None without roots: then anybody may have signed the document.
    """

    verdict: Verdict
    signature_type: SignatureType | None
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    signer: str | None = None
    identifiers: tuple[str, ...] = ()
    issuer: str | None = None
    certificate: bytes | None = attrs.field(default=None, repr=False)
    signed_at: dt.datetime | None = None
    timestamped_at: dt.datetime | None = None
    trusted: bool | None = None

    @property
    def ok(self) -> bool:
        """Whether the verdict is `Verdict.VALID`."""
        return self.verdict is Verdict.VALID

    @property
    def reason(self) -> str:
        """The reason for the verdict."""
        return "; ".join(self.problems) or "every signature holds, and they cover the document"


class NotJudgedError(Exception):
    """Something is not understood, not available or too large; its text is the reason.

    Whatever reads or judges a part of a document may raise it: a signature then is indeterminate, see
    `Findings.judging`, or the document as a whole.
    """


@attrs.define
class Findings:
    """Collects what is found about a document or one of its signatures; the last signer that is added is the newest.

    Attributes:
        label: What messages call the document or signature.
    """

    label: str = "it"
    signature_type: SignatureType | None = attrs.field(default=None, init=False)
    signer: x509.Certificate | None = attrs.field(default=None, init=False)
    signed_at: dt.datetime | None = attrs.field(default=None, init=False)
    timestamped_at: dt.datetime | None = attrs.field(default=None, init=False)
    trusted: bool | None = attrs.field(default=None, init=False)
    _invalid: list[str] = attrs.field(factory=list, init=False)
    _indeterminate: list[str] = attrs.field(factory=list, init=False)
    _notes: list[str] = attrs.field(factory=list, init=False)

    def signed_by(self, certificate: x509.Certificate) -> None:
        """Record the signer.

        Raises:
            ValueError: If the names in the certificate are broken; asn1crypto parses them only now.
        """
        for name in (certificate.subject, certificate.issuer):
            _name_of(name)
        self.signer = certificate

    def invalid(self, problem: str) -> None:
        """Record why the document is invalid."""
        self._invalid.append(problem)

    def indeterminate(self, problem: str) -> None:
        """Record why the document cannot be judged."""
        self._indeterminate.append(problem)

    def note(self, text: str) -> None:
        """Record what does not affect the verdict."""
        self._notes.append(text)

    def digest_differs(self, part: str) -> None:
        """Record that a part of the document is not what was signed."""
        self.invalid(f"{part} was changed after {self.label} was made: its digest differs")

    def value_differs(self) -> None:
        """Record that the signature value was not made for what is signed, or with another key."""
        self.invalid(f"the value of {self.label} does not match what it signs and its certificate")

    def certificate_differs(self) -> None:
        """Record that the signed attributes or properties name another certificate than the signer's."""
        self.indeterminate(f"{self.label} names another certificate than the one that it holds")

    @contextlib.contextmanager
    def judging(self) -> Iterator[None]:
        """Record what ends the judging of a signature early: it must not hide what is known of the others."""
        try:
            yield
        except NotJudgedError as error:
            self.indeterminate(f"{self.label} cannot be judged: {error}")
        except InvalidDocumentError:  # a file cannot be read, which says nothing about the signature
            raise
        except Exception as error:  # noqa: BLE001 - whatever a broken signature raises in its parser
            reason = str(error).partition("\n")[0]
            self.indeterminate(f"{self.label} cannot be read ({type(error).__name__}: {reason})")

    @property
    def problems(self) -> tuple[str, ...]:
        """All problems, those that make the document invalid first."""
        return (*self._invalid, *self._indeterminate)

    def include(self, other: Findings) -> None:
        """Add what was found about one of the document's signatures."""
        self._invalid += other._invalid
        self._indeterminate += other._indeterminate
        self._notes += other._notes
        if other.signer is not None:
            self.signer, self.signed_at, self.timestamped_at = other.signer, other.signed_at, other.timestamped_at
        if other.trusted is not None:
            self.trusted = other.trusted and self.trusted is not False

    def include_earlier(self, other: Findings) -> None:
        """Add what was found about a signature that was in the original: the verdict does not depend on it."""
        self._notes += [f"{other.label} was in what was sent, and {text}" for text in (*other.problems, *other._notes)]

    def include_attached(self, other: Findings, label: str) -> bool:
        """Add what was found about a timestamp or countersignature of a signature, and return whether it holds."""
        found = other.report()
        if found.verdict is Verdict.INVALID:
            self.invalid(f"{label} does not hold ({found.problems[0]})")
        elif not found.ok:
            self.note(f"{label} is not used: {found.reason}")
        return found.ok

    def include_countersignature(self, other: Findings) -> None:
        """Add what was found about a countersignature of this signature."""
        if self.include_attached(other, f"the countersignature of {self.label}"):
            self.note(f"{self.label} is countersigned by {other.report().signer}")

    def compare_times(self) -> None:
        """Note if the signer claims to have signed after the timestamp."""
        claimed, stamped = self.signed_at, self.timestamped_at
        if claimed and stamped and claimed.tzinfo and claimed - stamped > _CLOCKS_DIFFER:
            self.note(f"the claimed time of {self.label} is later than its timestamp, so one of them is wrong")

    def report(self) -> Verification:
        """The result."""
        subject: Any = None if self.signer is None else self.signer.subject
        verdict = Verdict.INVALID if self._invalid else Verdict.INDETERMINATE if self._indeterminate else Verdict.VALID
        return Verification(
            verdict=verdict,
            signature_type=self.signature_type,
            problems=tuple(dict.fromkeys(self.problems)),
            notes=tuple(dict.fromkeys(self._notes)),
            signer=None if self.signer is None else _name_of(subject),
            identifiers=() if self.signer is None else _identifiers(subject),
            issuer=None if self.signer is None else _name_of(self.signer.issuer),
            certificate=None if self.signer is None else self.signer.dump(),
            signed_at=self.signed_at,
            timestamped_at=self.timestamped_at,
            trusted=self.trusted,
        )


def _identifiers(name: Any) -> tuple[str, ...]:
    parts = (name.native.get(key) for key in ("organization_identifier", "serial_number"))
    return tuple(part for part in parts if isinstance(part, str))


def _name_of(name: Any) -> str:
    """A subject or issuer by its common name, or else by all of its parts."""
    common = name.native.get("common_name")
    return common if isinstance(common, str) else str(name.human_friendly)
