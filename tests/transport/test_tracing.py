"""OpenTelemetry spans of calls, with the real packages."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from opentelemetry import trace
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from signstash import OutcomeUnknownError, RetryPolicy, SignStash, SignStashError
from signstash._transport.tracing import note
from signstash.api import get_status
from tests.conftest import (
    CLIENT_SECRET,
    TOKEN,
    MockedService,
    new_client,
    pdf,
    signed_response,
    url_of,
)

POLICY = RetryPolicy(attempts=3, first_bound=0.001, longest_bound=0.001, deadline=1000)


class Spans:
    """The ended spans."""

    def __init__(self, provider: TracerProvider) -> None:
        self.provider = provider
        self._exporter = InMemorySpanExporter()
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer = provider.get_tracer("application")

    def ended(self, prefix: str = "signstash.") -> list[ReadableSpan]:
        return [span for span in self._exporter.get_finished_spans() if span.name.startswith(prefix)]

    def only(self, name: str) -> ReadableSpan:
        (span,) = self.ended()
        assert span.name == name
        return span

    def everything(self) -> str:
        return "".join(span.to_json() for span in self._exporter.get_finished_spans())


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Spans:
    provider = TracerProvider()
    monkeypatch.setattr(trace, "get_tracer", provider.get_tracer)
    return Spans(provider)


@pytest.fixture
def instrumented(spans: Spans) -> Iterator[None]:
    HTTPXClientInstrumentor().instrument(tracer_provider=spans.provider)
    yield
    HTTPXClientInstrumentor().uninstrument()


async def test_a_call_is_a_span_with_its_documents(client: SignStash, spans: Spans) -> None:
    await client.sign_batch([pdf("FT_1"), pdf("FT_2")])

    span = spans.only("signstash.sign")
    assert span.attributes == {
        "signstash.external_references": ("FT_1", "FT_2"),
        "signstash.documents": 2,
        "signstash.documents_failed": 0,
        "signstash.operation": "signDocumentBatchBase64",
        "signstash.operation_id": 4711,
        "signstash.attempts": 1,
    }
    assert span.status.status_code is StatusCode.UNSET


async def test_a_span_names_some_of_many_references(client: SignStash, spans: Spans) -> None:
    await client.sign_batch([pdf(f"FT_{number}") for number in range(90)])

    attributes = spans.only("signstash.sign").attributes
    assert attributes is not None
    assert attributes["signstash.external_references"] == tuple(f"FT_{number}" for number in range(20))
    assert attributes["signstash.documents"] == 90


async def test_several_attempts_are_one_span(service: MockedService, spans: Spans) -> None:
    service.sign_effects(httpx.ConnectError("no route"), httpx.Response(429), signed_response)
    async with new_client(retries=POLICY) as client:
        await client.sign(pdf("FT_1"))

    attributes = spans.only("signstash.sign").attributes
    assert attributes is not None
    assert attributes["signstash.attempts"] == 3


async def test_a_query_is_a_span(client: SignStash, service: MockedService, spans: Spans) -> None:
    service.router.get(url_of("getStatus", operationId=7)).respond(json={"id": 7, "status": "EXECUTED"})
    await client.get_status(7)

    attributes = spans.only("signstash.getStatus").attributes
    assert attributes is not None
    assert attributes["signstash.operation_id"] == 7


async def test_a_generated_function_is_a_span(client: SignStash, service: MockedService, spans: Spans) -> None:
    service.router.get(url_of("getStatus", operationId=7)).respond(json={"id": 7, "status": "EXECUTED"})
    await get_status.asyncio(7, client=client.generated)

    spans.only("signstash.generated")


async def test_a_span_records_how_the_call_failed(client: SignStash, service: MockedService, spans: Spans) -> None:
    service.sign.side_effect = httpx.ReadTimeout("slow")
    with pytest.raises(OutcomeUnknownError):
        await client.sign(pdf("FT_1"))

    span = spans.only("signstash.sign")
    assert span.status.status_code is StatusCode.ERROR
    assert (span.attributes or {})["signstash.maybe_processed"] is True
    assert [event.name for event in span.events] == ["exception"]
    assert "OutcomeUnknownError" in str((span.events[0].attributes or {})["exception.type"])


async def test_an_unsigned_document_is_an_error_of_its_span(
    client: SignStash, service: MockedService, spans: Spans
) -> None:
    refusal = {"signStatus": "ERROR", "signError": "CONFIGURATION_SIGN_ERROR", "signedContent": None}
    service.sign.side_effect = lambda request: signed_response(
        request, lambda document: document | (refusal if document["externalReference"] == "FT_2" else {})
    )
    await client.sign_batch([pdf("FT_1"), pdf("FT_2")])

    span = spans.only("signstash.sign")
    assert span.status.description == "1 of 2 documents were not signed"
    assert (span.attributes or {})["signstash.documents_failed"] == 1


async def test_a_run_has_a_span_for_each_request_under_the_current_one(service: MockedService, spans: Spans) -> None:
    service.sign_effects(httpx.Response(429, headers={"Retry-After": "0"}), signed_response, signed_response)
    async with new_client(retries=POLICY) as client:
        with spans.tracer.start_as_current_span("month end") as whole:
            documents = [pdf(f"FT_{number}") for number in range(4)]
            outcomes = [o async for o in client.sign_all(documents, batch_documents=2, in_flight=1)]

    assert all(outcome.ok for outcome in outcomes)
    references = [(span.attributes or {})["signstash.external_references"] for span in spans.ended()]
    assert (len(references), {*references}) == (2, {("FT_0", "FT_1"), ("FT_2", "FT_3")})
    assert {span.parent.span_id for span in spans.ended() if span.parent} == {whole.get_span_context().span_id}


async def test_a_lookup_is_a_span(client: SignStash, service: MockedService, spans: Spans) -> None:
    service.sign_effects(httpx.ReadTimeout("slow"), signed_response)
    service.router.get(path__regex="/FT_1").respond(404, json={"errorCode": "0.0.5"})
    outcomes = [outcome async for outcome in client.sign_all([pdf("FT_1")], unknown_outcomes="look_up")]

    assert outcomes[0].ok
    assert [span.name for span in spans.ended()] == ["signstash.sign", "signstash.look_up", "signstash.sign"]


async def test_concurrent_calls_have_separate_spans(client: SignStash, spans: Spans) -> None:
    await asyncio.gather(*(client.sign(pdf(f"FT_{number}")) for number in range(20)))

    references = [(span.attributes or {})["signstash.external_references"] for span in spans.ended()]
    assert (len(references), {*references}) == (20, {(f"FT_{number}",) for number in range(20)})
    assert all((span.attributes or {})["signstash.operation_id"] == 4711 for span in spans.ended())


async def test_a_cancelled_call_ends_its_span(client: SignStash, service: MockedService, spans: Spans) -> None:
    arrived = asyncio.Event()

    async def wait(_: httpx.Request) -> Any:
        arrived.set()
        return await asyncio.get_running_loop().create_future()

    service.sign.side_effect = wait
    signing = asyncio.create_task(client.sign(pdf("FT_1")))
    await arrived.wait()
    signing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await signing

    span = spans.only("signstash.sign")
    assert span.status.status_code is StatusCode.ERROR
    assert span.status.description == "CancelledError"
    assert (span.attributes or {})["signstash.maybe_processed"] is True


async def test_spans_of_httpx_are_children(instrumented: None, service: MockedService, spans: Spans) -> None:
    service.sign_effects(httpx.Response(401), signed_response)
    async with (
        httpx.AsyncClient() as http_client,
        new_client(retries=POLICY, http_client=http_client) as client,
    ):
        await client.sign(pdf("FT_1"))

    call = spans.only("signstash.sign")
    requests = spans.ended("POST")
    assert len(requests) == 4, "a token, a refusal, a new token, the signature"
    assert {request.parent.span_id for request in requests if request.parent} == {call.context.span_id}
    assert all(call.request.headers["traceparent"] for call in service.sign.calls)


@pytest.mark.parametrize("response", [200, 401, 429, 500, "lost"])
async def test_spans_contain_no_secret(
    instrumented: None, service: MockedService, spans: Spans, response: int | str
) -> None:
    if response == "lost":
        service.sign.side_effect = httpx.ReadError("broken")
    elif response != 200:
        service.sign.side_effect = None
        service.sign.respond(int(response), json={"errorCode": "0.0.1", "causeMessage": f"Bearer {TOKEN}"})
    async with new_client() as client:
        with contextlib.suppress(SignStashError):
            await client.sign(pdf("FT_1"))

    told = spans.everything()
    assert "FT_1" in told
    assert [secret for secret in (CLIENT_SECRET, TOKEN) if secret in told] == []
    assert "PDF-1.7" not in told


def test_opentelemetry_is_not_imported_without_use() -> None:
    program = """
import asyncio, sys
from signstash import Document
from signstash.testing import MockSignStash

with MockSignStash() as mock:
    asyncio.run(mock.client.sign(Document.binary(b"any", name="a.bin")))
print([name for name in sys.modules if name.startswith("opentelemetry")])
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert ended.stdout == "[]\n"


async def test_calls_without_a_provider_have_no_trace(client: SignStash) -> None:
    with trace.use_span(trace.INVALID_SPAN):
        assert (await client.sign(pdf("FT_1"))).external_reference == "FT_1"


async def test_an_ended_span_is_not_changed(client: SignStash, spans: Spans) -> None:
    await client.sign(pdf("FT_1"))
    note(operation="another")

    assert (spans.only("signstash.sign").attributes or {})["signstash.operation"] == "signDocumentBatchBase64"
