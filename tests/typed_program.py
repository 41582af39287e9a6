"""A program as users write it, for pyright in `make types`: public names have the types that users count on."""

# pyright: reportUnnecessaryTypeIgnoreComment=true

import gzip
import io
import zipfile
from collections.abc import AsyncGenerator
from typing import assert_type

import httpx
import httpx2

from signstash import (
    ConfigurationError,
    Document,
    Outcome,
    RateLimitedError,
    RetryPolicy,
    SignedBatch,
    SignedDocument,
    SignStash,
    SignStashError,
    TokenAuth,
    VisibleSignature,
)
from signstash.api import get_sign_operation_detail, get_status
from signstash.models import BaseOperation, SignOperation


async def program(client: SignStash) -> None:
    document = Document.pdf("invoice.pdf", reason="Approval", visible_signature=VisibleSignature(page=1, x=60, y=50))
    assert_type(document, Document)
    with gzip.open("invoice.xml.gz") as compressed, zipfile.ZipFile("invoices.zip").open("1.bin") as archived:
        Document.xml(compressed, name="invoice.xml", reason=None)
        Document.binary(archived, external_reference=None)
    Document.pdf(io.StringIO("text"))  # type: ignore[arg-type]
    assert_type(await client.sign(document, save_to="signed"), SignedDocument)
    batch = await client.sign_batch([document], save_to=lambda document: f"signed/{document.name}")
    assert_type(batch, SignedBatch)
    assert_type(batch.outcomes[0].error, SignStashError | None)
    assert_type(client.sign_all(iter([document])), AsyncGenerator[Outcome, None])
    number = await client.get_operation_id("FT_2026_31")
    assert_type(await client.get_status(number), BaseOperation)
    assert_type(await get_status.asyncio(7, client=client.generated), BaseOperation)
    detailed = await get_sign_operation_detail.asyncio_detailed(7, True, client=client.generated)
    assert_type(detailed.parsed, SignOperation)
    assert_type(client.at("http://proxy-2:8081/signstash"), SignStash)
    assert_type(await client.get_operation(number), SignOperation)


async def set_up() -> None:
    async with httpx.AsyncClient() as one, httpx2.AsyncClient() as other:
        SignStash.from_env(http_client=one, token_http_client=other, retries=RetryPolicy.interactive())
        auth = TokenAuth("https://token.test", "id", "secret", base_urls="http://proxy.test", http_client=other)
        SignStash("http://proxy.test", auth=auth, http_client=other)
        SignStash("http://proxy.test", http_client=httpx.Client())  # type: ignore[arg-type]


def judged(error: SignStashError) -> float | None:
    match error:
        case RateLimitedError():
            return error.retry_after
        case ConfigurationError(problem=problem):
            assert_type(problem, str)
    return None


async def unwrapped(client: SignStash, documents: list[Document]) -> list[bytes]:
    contents = []
    async for outcome in client.sign_all(documents):
        if outcome.signed is None:
            raise outcome.error
        contents.append(outcome.signed.content)
        assert_type(outcome.unwrap(), SignedDocument)
    return contents


def hint(outcome: Outcome) -> str:
    if outcome.ok is False:
        return outcome.error.hint
    return outcome.signed.name


def hint_for_mypy(outcome: Outcome) -> str:
    if not outcome.ok:  # the guides say which type checkers understand it
        return outcome.error.hint  # pyright: ignore[reportOptionalMemberAccess]
    return outcome.unwrap().name
