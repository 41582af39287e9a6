"""Paths of certificates to trusted roots: what is accepted is what OpenSSL accepts."""

from __future__ import annotations

import datetime as dt
import ipaddress
import re
from collections.abc import Callable, Iterable
from typing import Any

import attrs
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from signstash.verification import Verdict, verify_file
from tests.verification.conftest import Judges

NOW = dt.datetime.now(dt.UTC)
Days = tuple[int, int]
"""Beginning and end of a certificate's validity, in days from now."""
NOW_VALID, EXPIRED, FUTURE = (-1000, 1000), (-900, -10), (10, 900)
NOT_CA = x509.BasicConstraints(ca=False, path_length=None)


def name(common: str) -> x509.Name:
    parts = ((NameOID.COUNTRY_NAME, "PT"), (NameOID.COMMON_NAME, common))
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in parts])


@attrs.frozen
class Entity:
    """An entity with a name and a key; several may have the same name."""

    name: x509.Name = attrs.field(converter=name)
    key: ec.EllipticCurvePrivateKey = attrs.field(factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    def certifies(
        self, other: Entity, *extensions: x509.ExtensionType, days: Days = NOW_VALID, ca: bool = True
    ) -> x509.Certificate:
        """A certificate for another entity, or for itself."""
        basic = () if any(isinstance(item, x509.BasicConstraints) for item in extensions) else (
            x509.BasicConstraints(ca=ca, path_length=None),
        )  # fmt: skip
        first, last = (NOW + dt.timedelta(days=day) for day in days)
        builder = x509.CertificateBuilder(
            self.name, other.name, other.key.public_key(), x509.random_serial_number(), first, last
        )
        identifiers = (
            x509.SubjectKeyIdentifier.from_public_key(other.key.public_key()),
            x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()),
        )
        for extension in (*basic, *identifiers, *extensions):
            builder = builder.add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
        return builder.sign(self.key, hashes.SHA256())


ROOT, OTHER, CA, SIGNER = map(Entity, ("Root", "Other root", "CA", "Signer"))
NEW_CA_KEY = Entity("CA")


def constraints(*, permitted: Any = None, excluded: Any = None) -> x509.NameConstraints:
    return x509.NameConstraints(None if permitted is None else [permitted], None if excluded is None else [excluded])


def also_named(*names: x509.GeneralName) -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName(names)


def country(code: str) -> x509.DirectoryName:
    return x509.DirectoryName(x509.Name([x509.NameAttribute(NameOID.COUNTRY_NAME, code)]))


NETWORK = x509.IPAddress(ipaddress.ip_network("10.0.0.0/8"))
ADDRESS = x509.IPAddress(ipaddress.ip_address("192.168.0.1"))

Chain = tuple[list[x509.Certificate], list[x509.Certificate]]
"""The signer's certificate with those that come with it, and the trusted roots."""


def chain(
    *of_ca: x509.ExtensionType, leaf: Iterable[x509.ExtensionType] = (), root: Iterable[x509.ExtensionType] = (),
    leaf_days: Days = NOW_VALID, ca_days: Days = NOW_VALID, root_days: Days = NOW_VALID,
) -> Chain:  # fmt: skip
    certificate = CA.certifies(SIGNER, *leaf, ca=False, days=leaf_days)
    return [certificate, ROOT.certifies(CA, *of_ca, days=ca_days)], [ROOT.certifies(ROOT, *root, days=root_days)]


LEAF = CA.certifies(SIGNER, ca=False)
TRUSTED: dict[str, Callable[[], Chain]] = {
    "a path": chain,
    "a permitted name": lambda: chain(constraints(permitted=country("PT"))),
    "a name that is not excluded": lambda: chain(constraints(excluded=country("ES"))),
    "a constraint of names that it does not have": lambda: chain(constraints(permitted=x509.DNSName("example.pt"))),
    "a constraint of addresses that it does not have": lambda: chain(constraints(permitted=NETWORK)),
    "a permitted address": lambda: chain(
        constraints(permitted=x509.RFC822Name("example.pt")), leaf=[also_named(x509.RFC822Name("a@example.pt"))]
    ),
    "a name that the root permits": lambda: chain(root=[constraints(permitted=country("PT"))]),
    "a name of another kind than those that the root limits": lambda: chain(
        root=[constraints(permitted=country("PT"))], leaf=[also_named(x509.RFC822Name("a@example.pt"))]
    ),
    "a root that limits networks": lambda: chain(root=[constraints(permitted=NETWORK)]),
    "a name that the root does not exclude": lambda: chain(root=[constraints(excluded=country("ES"))]),
    "a root with policies": lambda: chain(
        root=[x509.CertificatePolicies([x509.PolicyInformation(x509.ObjectIdentifier("1.2.3"), None)])]
    ),
    "a path of the permitted length": lambda: chain(x509.BasicConstraints(ca=True, path_length=0)),
    "a cross-signed CA": lambda: (
        [LEAF, ROOT.certifies(CA, days=EXPIRED), OTHER.certifies(CA)], [OTHER.certifies(OTHER)]
    ),
    "a cross-signed root": lambda: ([LEAF, ROOT.certifies(CA), OTHER.certifies(ROOT)], [OTHER.certifies(OTHER)]),
    "roots that sign each other": lambda: (
        [LEAF, ROOT.certifies(CA), OTHER.certifies(ROOT), ROOT.certifies(OTHER)], [OTHER.certifies(OTHER)]
    ),
    "a CA with two keys": lambda: ([LEAF, ROOT.certifies(NEW_CA_KEY), ROOT.certifies(CA)], [ROOT.certifies(ROOT)]),
    "a renewed CA": lambda: ([LEAF, ROOT.certifies(CA, days=EXPIRED), ROOT.certifies(CA)], [ROOT.certifies(ROOT)]),
    "a trusted CA": lambda: ([LEAF], [ROOT.certifies(CA)]),
    "a trusted signer": lambda: ([LEAF], [LEAF]),
}  # fmt: skip
UNTRUSTED: dict[str, tuple[Callable[[], Chain], str]] = {
    "a name that is not permitted": (lambda: chain(constraints(permitted=country("ES"))), "permitted"),
    "an excluded name": (lambda: chain(constraints(excluded=country("PT"))), "excluded"),
    "an address that is not permitted": (
        lambda: chain(
            constraints(permitted=x509.RFC822Name("example.pt")), leaf=[also_named(x509.RFC822Name("a@other.pt"))]
        ),
        "permitted",
    ),
    "a constraint of IP addresses": (
        lambda: chain(constraints(permitted=NETWORK), leaf=[also_named(ADDRESS)]),
        "has a path that cannot be judged: .*IP_ADDRESS",
    ),
    "a name that the root does not permit": (
        lambda: chain(root=[constraints(permitted=country("ES"))]), "permitted"
    ),
    "a name that the root excludes": (lambda: chain(root=[constraints(excluded=country("PT"))]), "excluded"),
    "an issuer that is no CA": (lambda: chain(NOT_CA), "not a CA"),
    "a path that is too long": (
        lambda: chain(root=[x509.BasicConstraints(ca=True, path_length=0)]), "maximum path length"
    ),
    "an expired signer": (lambda: chain(leaf_days=EXPIRED), "now: a certificate expired on"),
    "a future signer": (lambda: chain(leaf_days=FUTURE), "now: a certificate is valid from"),
    "an expired CA": (lambda: chain(ca_days=EXPIRED), "now: a certificate expired on"),
    "an expired root": (lambda: chain(root_days=EXPIRED), "now: a certificate expired on"),
    "a future root": (lambda: chain(root_days=FUTURE), "now: a certificate is valid from"),
    "an expired trusted signer": (
        lambda: ([expired := CA.certifies(SIGNER, ca=False, days=EXPIRED)], [expired]),
        "now: a certificate expired on",
    ),
    "a cross-signed CA without its certificate": (
        lambda: ([LEAF, ROOT.certifies(CA)], [OTHER.certifies(OTHER)]), "leads to none of the trusted roots"
    ),
    "roots that sign each other, of which none is trusted": (
        lambda: (
            [LEAF, ROOT.certifies(CA), OTHER.certifies(ROOT), ROOT.certifies(OTHER)],
            [Entity("Third root").certifies(Entity("Third root"))],
        ),
        "leads to none of the trusted roots",
    ),
    "a CA with another key": (
        lambda: ([LEAF, ROOT.certifies(NEW_CA_KEY)], [ROOT.certifies(ROOT)]), "leads to none of the trusted roots"
    ),
}  # fmt: skip


def signed_by(judges: Judges, certificates: list[x509.Certificate]) -> bytes:
    """A CMS message, signed by OpenSSL with the first certificate; the others come with it."""
    for file, held in (("leaf.pem", certificates[:1]), ("others.pem", certificates[1:])):
        (judges.folder / file).write_bytes(b"".join(pem(held)))
    key = SIGNER.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (judges.folder / "leaf.key").write_bytes(key)
    (judges.folder / "content").write_bytes(b"ten euros")
    others = ["-certfile", "others.pem"] if certificates[1:] else []
    judges.make("openssl", "cms", "-sign", "-binary", "-nodetach", "-outform", "DER", "-signer", "leaf.pem",
                "-inkey", "leaf.key", *others, "-in", "content", "-out", "signed")  # fmt: skip
    return (judges.folder / "signed").read_bytes()


def pem(certificates: Iterable[x509.Certificate]) -> list[bytes]:
    return [certificate.public_bytes(Encoding.PEM) for certificate in certificates]


def openssl_trusts(judges: Judges, roots: list[x509.Certificate]) -> bool:
    (judges.folder / "roots.pem").write_bytes(b"".join(pem(roots)))
    return not judges.run("openssl", "cms", "-verify", "-binary", "-inform", "DER", "-in", "signed", "-CAfile",
                          "roots.pem", "-partial_chain", "-purpose", "any", "-out", "content").returncode  # fmt: skip


@pytest.mark.parametrize("path", TRUSTED)
def test_what_openssl_trusts_is_trusted(judges: Judges, path: str) -> None:
    certificates, roots = TRUSTED[path]()

    found = verify_file(signed_by(judges, certificates), trusted_roots=pem(roots))

    assert openssl_trusts(judges, roots) or path == "a cross-signed CA"  # of two certificates OpenSSL tries one
    assert (found.verdict, found.trusted, found.problems) == (Verdict.VALID, True, ())


@pytest.mark.parametrize("path", UNTRUSTED)
def test_what_openssl_does_not_trust_is_not_trusted(judges: Judges, path: str) -> None:
    make, reason = UNTRUSTED[path]
    certificates, roots = make()

    found = verify_file(signed_by(judges, certificates), trusted_roots=pem(roots))

    assert not openssl_trusts(judges, roots)
    assert (found.verdict, found.trusted, found.signer) == (Verdict.INDETERMINATE, False, "Signer")
    (problem,) = found.problems
    assert re.match(rf"the certificate of the signature .*{reason}", problem)
