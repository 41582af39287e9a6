"""CMS signatures, of which PAdES and CAdES consist, with their timestamps and countersignatures.

These three stand in one module, as each can hold the others: a timestamp is a CMS signature itself.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any, Final

import attrs
from asn1crypto import cms, core, parser, tsp, x509
from cryptography.x509 import load_der_x509_certificate

from .algorithms import Content, SignatureAlgorithm, digest, judge_strength, matches, unreliable
from .cms_algorithms import signature_algorithm
from .cms_message import ATTRIBUTES, MAX_SIGNERS, SignedData, as_der, parse, values_of
from .report import Findings, NotJudgedError
from .trust import judge_trust

_TST_INFO: Final = "1.2.840.113549.1.9.16.1.4"
_MAX_ATTRIBUTES: Final = 64 * 1024
"""Bytes of signed attributes that are encoded anew."""
_MESSAGE_DIGEST: Final = core.ObjectIdentifier(ATTRIBUTES["message digest"]).dump()


def judge_signers(data: SignedData, content: Content, roots: list[x509.Certificate], findings: Findings) -> None:
    """Judge every signer of a message."""
    for certificate in data.certificates:
        try:
            _ = certificate.native  # parsed as a whole, also if no signer needs it
            load_der_x509_certificate(certificate.dump())  # which tolerates no unknown fields
        except (ValueError, TypeError, KeyError):
            findings.indeterminate(f"a certificate in {findings.label} cannot be read, so other software may reject it")
    for number, signer in enumerate(data.signers, 1):
        found = Findings(findings.label if len(data.signers) == 1 else f"{findings.label} by signer {number}")
        with found.judging():
            _judge_signer(data, signer, content, roots, found)
        findings.include(found)


def _judge_signer(
    data: SignedData, signer: Any, content: Content, roots: list[x509.Certificate], findings: Findings
) -> None:
    certificate = _certificate(data, signer)
    findings.signed_by(certificate)
    signed = signer["signed_attrs"]
    try:
        findings.signed_at = next(values_of(signed, "signing time"), None)
    except ValueError:
        findings.note(f"the claimed time of {findings.label} cannot be read")
    hash_name = signer["digest_algorithm"]["algorithm"].native
    if data.content_type and hash_name not in data.digests:  # software may then reject it (RFC 5652, 5.1)
        findings.indeterminate(f"{findings.label} does not list its digest algorithm")
    _judge_digest(data, signed, content, hash_name, findings)
    algorithm = signature_algorithm(signer["signature_algorithm"], hash_name)
    if not _value_matches(signer, certificate, algorithm, content):
        if algorithm.hash_name not in ("", hash_name):
            raise NotJudgedError(f"its digest algorithms are {hash_name} and {algorithm.hash_name}")
        findings.value_differs()
    judge_strength(certificate.public_key.dump(), (hash_name, algorithm.hash_name), findings)
    if not _names_certificate(signed, certificate):
        findings.certificate_differs()
    judge_trust(certificate, data.certificates, roots, findings)
    value = Content.of(signer["signature"].native, name="the signature value")
    for token in values_of(signer["unsigned_attrs"], "signature timestamp", native=False):
        judge_timestamp(token, value, f"the timestamp of {findings.label}", findings)
    findings.compare_times()
    _judge_countersignatures(data, signer, value, findings)


def _judge_digest(data: SignedData, signed: Any, content: Content, hash_name: str, findings: Findings) -> None:
    """Judge the signed attributes that are about the content (RFC 5652, 11.1 and 11.2)."""
    made = content.digest(hash_name)
    if len(signed):
        stated = list(values_of(signed, "message digest"))
        stated_type = list(values_of(signed, "content type", native=False))
        if len(stated) != 1 or len(stated_type) != bool(data.content_type):  # a countersignature has no type (11.4)
            raise NotJudgedError("its signed attributes lack the content type or the message digest, or repeat them")
        if stated != [made]:
            findings.digest_differs(content.name)
        if stated_type not in ([], [data.content_type]):
            findings.invalid(f"the content is not of the type that {findings.label} states")
    elif content.octets is not None and content.octets[:1] == b"\x31" and _MESSAGE_DIGEST in content.octets:
        # Without signed attributes, the value of a signature that has them fits their encoding as content.
        raise NotJudgedError("its content may be the signed attributes of another signature")


def _judge_countersignatures(data: SignedData, signer: Any, value: Content, findings: Findings) -> None:
    """Judge the signatures of the signature value (RFC 5652, 11.4); the trust in their signers is not judged."""
    encoded = list(values_of(signer["unsigned_attrs"], "countersignature", native=False))
    if len(encoded) > MAX_SIGNERS:
        raise NotJudgedError(f"it has more than {MAX_SIGNERS} countersignatures")
    for item in encoded:
        countersigner = cms.SignerInfo.load(item)
        found = Findings()
        with found.judging():
            _judge_signer(attrs.evolve(data, content_type=""), countersigner, value, [], found)
        findings.include_countersignature(found)


def judge_timestamp(token: bytes, stamped: Content, label: str, findings: Findings) -> None:
    """Judge a timestamp token (RFC 3161), which is a CMS message itself; the trust in its authority is not judged."""
    found = Findings()
    try:
        data = parse(token)
        if data.content_type != _TST_INFO or data.content is None:
            raise NotJudgedError("it is not a timestamp token")
        info = tsp.TSTInfo.load(data.content)
        hash_name = info["message_imprint"]["hash_algorithm"]["algorithm"].native
        if info["message_imprint"]["hashed_message"].native != stamped.digest(hash_name):
            found.invalid("it is about something else: its digest differs")
        if weak := unreliable(hash_name):
            found.indeterminate(f"it {weak}")
        judge_signers(data, Content.of(data.content), [], found)  # found.signer is the authority
        time: dt.datetime = info["gen_time"].native
    except NotJudgedError as error:
        findings.note(f"{label} cannot be judged: {error}")
    except (ValueError, TypeError, KeyError):
        findings.note(f"{label} cannot be read")
    else:
        if findings.include_attached(found, label):
            # The signature existed at the earliest of several times.
            findings.timestamped_at = min(time, findings.timestamped_at or time)


def _certificate(data: SignedData, signer: Any) -> x509.Certificate:
    sid = signer["sid"]
    for certificate in data.certificates:
        if sid.name == "subject_key_identifier":
            if certificate.key_identifier == sid.chosen.native:
                return certificate
        elif (
            certificate.serial_number == sid.chosen["serial_number"].native
            and certificate.issuer == sid.chosen["issuer"]
        ):
            return certificate
    raise NotJudgedError("it does not hold the signer's certificate")


def _value_matches(signer: Any, certificate: x509.Certificate, algorithm: SignatureAlgorithm, content: Content) -> bool:
    key, value = certificate.public_key.dump(), signer["signature"].native
    parts = [attribute.dump() for attribute in signer["signed_attrs"]]
    if not parts:
        return matches(key, algorithm, value, content)
    # Signed is the DER encoding (RFC 5652, 5.4); not all software orders the attributes as it asks for.
    forms: list[Callable[[], list[bytes]]] = [lambda: parts, lambda: sorted(parts), lambda: sorted(map(as_der, parts))]
    return any(
        matches(key, algorithm, value, Content.of(parser.emit(0, 1, 17, b"".join(form()))))
        for form in (forms if sum(map(len, parts)) <= _MAX_ATTRIBUTES else forms[:2])
    )


def _names_certificate(signed: Any, certificate: x509.Certificate) -> bool:
    """Whether the signing certificate attributes, if there are any, are about the certificate (RFC 5035, 3 and 4)."""
    for name in ("signing certificate v2", "signing certificate"):
        for value in values_of(signed, name):
            reference = value["certs"][0]
            algorithm = reference.get("hash_algorithm")
            hash_name = algorithm["algorithm"] if algorithm else "sha1"
            if reference["cert_hash"] != digest(hash_name, certificate.dump()):
                return False
    return True
