"""What is found out about a signature."""

from __future__ import annotations

import datetime as dt
from typing import Any

import attrs
from asn1crypto import x509

from ..models import SignatureType


@attrs.frozen(kw_only=True)
class Verification:
    """What was found out about a signed document.

    Revocation, and whether a certificate is qualified, are not judged: ask a validation service for these.

    Attributes:
        signature_type: PAdES, XAdES or CAdES.
        problems: What is wrong; nothing if the document is whole and signed.
        signer: Who signed it, by the certificate's common name.
        identifiers: What identifies the signer in the certificate beside the name, the organisation's first: mostly tax
            numbers, such as `VATPT-123456789` (ETSI EN 319 412-1, 5.1).
        issuer: Who issued the certificate, likewise.
        certificate: The signer's certificate, in DER.
        signed_at: When it was signed, as the signer claims.
        timestamped_at: When it was signed at the latest, as its timestamp says.
        trusted: Whether the certificate leads to one of the roots that were given, at the present moment. None if none
            were given: then anybody can have signed it.
    """

    signature_type: SignatureType
    problems: tuple[str, ...] = ()
    signer: str | None = None
    identifiers: tuple[str, ...] = ()
    issuer: str | None = None
    certificate: bytes | None = attrs.field(default=None, repr=False)
    signed_at: dt.datetime | None = None
    timestamped_at: dt.datetime | None = None
    trusted: bool | None = None

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


def with_problem(found: Verification, problem: str) -> Verification:
    """The same report with one problem more."""
    return attrs.evolve(found, problems=(*found.problems, problem))


def signed_by(found: Verification, certificate: x509.Certificate) -> Verification:
    """The same report with what the signer's certificate says."""
    return attrs.evolve(
        found,
        signer=_name(certificate.subject),
        identifiers=_identifiers(certificate.subject),
        issuer=_name(certificate.issuer),
        certificate=certificate.dump(),
    )


def _identifiers(name: Any) -> tuple[str, ...]:
    parts = (name.native.get(key) for key in ("organization_identifier", "serial_number"))
    return tuple(part for part in parts if isinstance(part, str))


def _name(name: Any) -> str:
    common = name.native.get("common_name")
    return common if isinstance(common, str) else str(name.human_friendly)
