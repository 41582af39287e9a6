"""XAdES signatures."""

from __future__ import annotations

import asyncio
import base64
import datetime as dt
import hashlib
from typing import Any, BinaryIO, Final

import attrs
from asn1crypto import cms, x509
from cryptography.exceptions import InvalidSignature
from cryptography.x509 import Certificate, load_der_x509_certificate
from lxml import etree
from pyhanko.sign.validation.generic_cms import validate_tst_signed_data
from pyhanko.sign.validation.status import TimestampSignatureStatus
from signxml.exceptions import InvalidDigest, SignXMLException
from signxml.verifier import SignatureConfiguration
from signxml.xades.xades import XAdESVerifier

from ..models import SignatureType
from .report import Verification, signed_by, with_problem
from .trust import context, leads_to_a_root

_DS: Final = "{http://www.w3.org/2000/09/xmldsig#}"
_XADES: Final = "{http://uri.etsi.org/01903/v1.3.2#}"


def verify_xml(file: BinaryIO, original: bytes | None, roots: list[x509.Certificate]) -> Verification:
    """Judge the signature of an XML document.

    Args:
        file: The document.
        original: What was signed, if it is there.
        roots: Which certificates are trusted.
    """
    found = Verification(signature_type=SignatureType.XADES)
    root = _parsed(file.read())
    signatures = list(root.iter(f"{_DS}Signature"))
    if not signatures:
        return with_problem(found, "it holds no signature")
    if len(signatures) > 1:
        return with_problem(found, f"it holds {len(signatures)} signatures, and only one can be judged")
    (signature,) = signatures
    certificates = [base64.b64decode(item.text or "") for item in signature.iter(f"{_DS}X509Certificate")]
    if not certificates:
        return with_problem(found, "its signature holds no certificate")
    signing, signed, claimed, problem = _checked(root, signature, certificates)
    certificate = x509.Certificate.load(signing)
    found = attrs.evolve(signed_by(found, certificate), signed_at=claimed)
    if problem is not None:
        found = with_problem(found, problem)
    elif signed is None:
        found = with_problem(found, "its signature is not about the whole document")
    elif original is not None and _canonical(signed) != _canonical(_parsed(original)):
        found = with_problem(found, "it is not what was sent")
    found = _stamped(found, signature)
    if not roots:
        return found
    others = [x509.Certificate.load(item) for item in certificates if item != signing]
    trusted = asyncio.run(leads_to_a_root(certificate, others, roots))
    found = attrs.evolve(found, trusted=trusted)
    return found if trusted else with_problem(found, "its certificate leads to none of the trusted roots")


def _parsed(content: bytes) -> Any:
    return etree.fromstring(content, etree.XMLParser(resolve_entities=False, no_network=True))


def _canonical(element: Any) -> bytes:
    return bytes(etree.tostring(element, method="c14n", exclusive=True, with_comments=False))


def _checked(root: Any, signature: Any, certificates: list[bytes]) -> tuple[bytes, Any, dt.datetime | None, str | None]:
    """The certificate that made the signature, what is signed of the whole document, since when, and what is wrong."""
    problem = None
    for certificate in certificates:
        try:
            signing = load_der_x509_certificate(certificate)
            results: Any = XAdESVerifier().verify(root, x509_cert=signing, expect_config=_any_references(signing))
        except InvalidDigest:
            problem = problem or "what its signature signs was changed afterwards"
        except (SignXMLException, InvalidSignature) as error:
            problem = problem or f"its signature does not hold: {error}"
        else:
            references = signature.iter(f"{_DS}Reference")
            whole = [item.signed_xml for item, of in zip(results, references, strict=False) if of.get("URI") == ""]
            return certificate, whole[0] if whole else None, _claimed([item.signed_xml for item in results]), None
    return certificates[0], None, None, problem


def _any_references(signing: Certificate) -> SignatureConfiguration:
    """Any number of references. An expired certificate is a question of trust, which is judged by the roots."""
    return SignatureConfiguration(expect_references=True, verification_time=signing.not_valid_before_utc)


def _claimed(signed: list[Any]) -> dt.datetime | None:
    """When it was signed, as the signer claims (ETSI EN 319 132-1, 5.2.1); what is not signed is not looked at."""
    (properties,) = [item for item in signed if item is not None and item.tag == f"{_XADES}SignedProperties"]
    text = properties.findtext(f"{_XADES}SignedSignatureProperties/{_XADES}SigningTime")
    if text is None:
        return None
    time = dt.datetime.fromisoformat(text)
    return time if time.tzinfo is not None else time.replace(tzinfo=dt.UTC)


def _stamped(found: Verification, signature: Any) -> Verification:
    """The same with the time of the timestamp, if there is one (ETSI EN 319 132-1, 5.3)."""
    stamp = signature.find(f".//{_XADES}SignatureTimeStamp")
    if stamp is None:
        return found
    algorithm = stamp.find(f"{_DS}CanonicalizationMethod")
    exclusive = algorithm is not None and "xml-exc-c14n" in algorithm.get("Algorithm", "")
    value = etree.tostring(signature.find(f"{_DS}SignatureValue"), method="c14n", exclusive=exclusive)
    token = cms.ContentInfo.load(base64.b64decode(stamp.findtext(f"{_XADES}EncapsulatedTimeStamp")))["content"]
    judged = validate_tst_signed_data(token, context([]), lambda name: hashlib.new(name, value).digest())
    status = TimestampSignatureStatus(**asyncio.run(judged))
    if not (status.intact and status.valid):
        found = with_problem(found, "the timestamp of its signature does not hold")
    return attrs.evolve(found, timestamped_at=status.timestamp)
