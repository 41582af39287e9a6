"""Limits of time and memory, no output, and the same meaning of trust for every kind of signature."""

from __future__ import annotations

import datetime as dt
import logging
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from signstash.models import SignatureInfo, SignatureType
from signstash.sandbox import certificate
from signstash.sandbox.certificate import Root, new_root, pem
from signstash.sandbox.signatures import SignatureMaker
from signstash.verification import Verdict, verify_file
from tests.conftest import INVOICE
from tests.project.test_commands import python
from tests.verification.test_cases import CASES

KINDS = [SignatureType.PADES, SignatureType.XADES, SignatureType.CADES]


def content_for(kind: SignatureType) -> bytes:
    return {SignatureType.PADES: INVOICE.read_bytes(), SignatureType.XADES: b"<a/>"}.get(kind, b"any bytes")


LARGE = [
    (b"", b"", "neither a PDF"),
    (b"%PDF-1.7\n", b"startxref\n9\n%%EOF\n", "not a whole PDF"),
    (b"<a>", b"", "XML is judged up to 67108864"),
    (b"\x30\x80\x06\x09", b"", "CMS signatures are judged up to 134217728"),
    (b"-----BEGIN CMS-----\n", b"", "CMS signatures are judged up to 134217728"),
]


@pytest.mark.skipif(sys.platform == "win32", reason="the module resource is of Unix")
def test_a_gigabyte_is_verified_in_bounded_time_and_memory(tmp_path: Path) -> None:
    for number, (start, end, _) in enumerate(LARGE):
        with (tmp_path / str(number)).open("wb") as file:
            file.write(start)
            file.truncate(2**30 - len(end))
            file.seek(0, 2)
            file.write(end)

    ended = python(
        "import resource\nfrom signstash.verification import verify_file\n"
        "before = resource.getrusage(resource.RUSAGE_SELF)\n"
        f"for number in range({len(LARGE)}):\n"
        "    found = verify_file(str(number))\n"
        "    print(found.verdict, found.reason)\n"
        "after = resource.getrusage(resource.RUSAGE_SELF)\n"
        "print(after.ru_maxrss - before.ru_maxrss < 50_000, after.ru_utime - before.ru_utime < 5)",
        folder=tmp_path,
    )

    assert ended.stderr == ""
    *found, measured = ended.stdout.splitlines()
    assert measured == "True True"
    for line, (_, _, reason) in zip(found, LARGE, strict=True):
        assert line.startswith("indeterminate ")
        assert reason in line


SIGNATURE = (CASES / "plain.xml").read_bytes().partition(b"<ds:Signature ")[1:]
XML_SIGNATURE = b"".join(SIGNATURE).rpartition(b"</ds:Signature>")[0] + b"</ds:Signature>"


@pytest.mark.parametrize(
    "start",
    [
        b"<a %s>" % b" ".join(b"a%d='1'" % number for number in range(60_000)),
        b"<a %s>" % b" ".join(b"xmlns:a%d='urn:%d'" % (number, number) for number in range(60_000)),
        b"<a>" + b"<b/>" * 400_000,
        b"<a>" + b"<!---->" * 400_000,
        b"<?b?>" * 400_000 + b"<a>",
    ],
    ids=["attributes", "namespaces", "elements", "comments", "instructions"],
)
def test_expensive_xml_is_rejected(start: bytes) -> None:
    found = verify_file(start + XML_SIGNATURE + b"</a>")

    assert (found.verdict, found.signature_type) == (Verdict.INDETERMINATE, SignatureType.XADES)
    assert found.reason == "it has too many nodes, or attributes or namespaces in one element"


def test_expensive_xpath_is_rejected() -> None:
    content = (CASES / "xpath-transform.xml").read_bytes()
    start, _, rest = content.partition(b"not(")
    steps = b"/child::node()/parent::node()" * 8
    expensive = start + b"count(//*[count(//*%s)])" % steps + rest[rest.index(b"</") :]

    assert "its XPath takes too much work for this document" in verify_file(expensive).reason


def test_entities_are_not_expanded() -> None:
    entities = "".join(f'<!ENTITY a{n} "{f"&a{n - 1 if n else str()};" * 10}">' for n in range(9))
    bomb = f'<!DOCTYPE a [<!ENTITY a "{"x" * 100}">{entities}]><a b="&a8;">&a8;</a>'

    assert verify_file(bomb.encode()).verdict is Verdict.INDETERMINATE


def test_nothing_is_written_to_standard_error() -> None:
    """In a separate process, where nothing captures what lxml and logging write."""
    ended = python(
        "import pathlib\nfrom signstash.verification import verify_file\n"
        f"for path in pathlib.Path({str(CASES)!r}).iterdir():\n    print(verify_file(path).verdict)"
    )

    assert ended.stderr == ""
    assert len(ended.stdout.splitlines()) == len(list(CASES.iterdir())) > 0


def made_by(monkeypatch: pytest.MonkeyPatch, change: Any) -> Root:
    root, made = Root(new_root()), certificate._certificate
    monkeypatch.setattr(certificate, "_certificate", lambda *arguments: change(made(*arguments)))
    return root


@pytest.mark.parametrize("kind", KINDS)
def test_key_usage_is_irrelevant_to_trust(monkeypatch: pytest.MonkeyPatch, kind: SignatureType) -> None:
    def without_usage(builder: Any) -> Any:
        builder._extensions = [item for item in builder._extensions if not isinstance(item.value, x509.KeyUsage)]
        return builder

    root = made_by(monkeypatch, without_usage)
    signed = SignatureMaker(root).sign(content_for(kind), SignatureInfo(signature_type=kind))

    assert verify_file(signed, trusted_roots=[pem(root.certificate)]).trusted is True


@pytest.mark.parametrize("kind", KINDS)
def test_an_invalid_path_gives_its_reason(monkeypatch: pytest.MonkeyPatch, kind: SignatureType) -> None:
    def expired(builder: Any) -> Any:
        builder._not_valid_before, builder._not_valid_after = dt.datetime(2020, 1, 1), dt.datetime(2021, 1, 1)
        return builder

    root = made_by(monkeypatch, expired)
    signed = SignatureMaker(root).sign(content_for(kind), SignatureInfo(signature_type=kind))

    found = verify_file(signed, trusted_roots=[pem(root.certificate)])

    assert (found.verdict, found.trusted) == (Verdict.INDETERMINATE, False)
    assert "has no valid path to a trusted root now: a certificate expired on 2021-01-01" in found.reason
    assert verify_file(signed).ok


def test_logging_is_unchanged(caplog: pytest.LogCaptureFixture) -> None:
    verify_file(CASES / "changed-between-signatures.pdf")
    logging.getLogger("pyhanko.sign.diff_analysis.policies").warning("of somebody else")

    assert [record.message for record in caplog.records] == ["of somebody else"]
