"""Responses derived from the definition and then damaged: they raise only SignStashError, and never give a wrong file.

`SIGNSTASH_FUZZ_EXAMPLES` is the number of responses of each test (300 by default). If set, they differ between runs.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import pickle
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from signstash import Document, DocumentNotSignedError, SignStash, SignStashError
from signstash._errors.codes import ERROR_CODES
from tests.conftest import PDF, MockedService, new_client
from tests.fault_server import little_memory

fuzz = settings(
    max_examples=int(os.environ.get("SIGNSTASH_FUZZ_EXAMPLES", "300")),
    derandomize="SIGNSTASH_FUZZ_EXAMPLES" not in os.environ,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)

DEFINITION = json.loads(Path(__file__).parents[2].joinpath("openapi", "signstash.json").read_text("utf-8"))
SCHEMAS: dict[str, Any] = DEFINITION["components"]["schemas"]
REFERENCES = ("A", "B", "C")


@attrs.frozen
class Response(httpx.AsyncByteStream):
    """A response.

    Attributes:
        status: HTTP status.
        headers: Headers, as bytes.
        body: Body.
        end: What breaks the connection at the end of the body, or None.
    """

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes
    end: Exception | None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        middle = len(self.body) // 2
        yield self.body[:middle]
        yield self.body[middle:]
        if self.end is not None:
            raise self.end

    def to_response(self) -> httpx.Response:
        """The response as httpx receives it."""
        return httpx.Response(self.status, headers=self.headers, stream=self)


# Responses that conform to the definition

texts = st.text(max_size=12)
scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), texts, st.just(10**320), st.just("x" * 5000))
junk = st.recursive(scalars, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(texts, inner, max_size=2))
dates = st.sampled_from(
    ["2026-02-10T10:19:21.648Z", "2026-02-10 10:19:21.648", "2026-02-10T10:19:21.648+0000", "", "0", "9" * 400, 1e300]
)


def from_schema(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Values that a schema of the definition describes."""
    if "$ref" in schema:
        return from_schema(SCHEMAS[schema["$ref"].rpartition("/")[2]])
    if "allOf" in schema:
        return from_schema(schema["allOf"][0])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if schema["type"] == "object":
        fields = {name: from_schema(field) for name, field in schema.get("properties", {}).items()}
        return st.fixed_dictionaries({}, optional=fields)
    if schema["type"] == "array":
        return st.lists(from_schema(schema["items"]), max_size=2)
    if schema.get("format") == "date-time":
        return dates
    return {"integer": st.integers(0, 2**63), "boolean": st.booleans(), "number": st.floats()}.get(
        schema["type"], texts
    )


@st.composite
def signed_operations(draw: st.DrawFn) -> dict[str, Any]:
    """Operations that have signed all documents, in any order."""
    operation: dict[str, Any] = draw(from_schema(SCHEMAS["SignOperation"]))
    described = from_schema(SCHEMAS["DocumentResponse"])
    documents = []
    for reference in draw(st.permutations(REFERENCES)):
        content = base64.b64encode(draw(st.binary(min_size=1, max_size=20))).decode()
        signed = {"externalReference": reference, "signStatus": "SIGNED", "signError": None, "signedContent": content}
        documents.append(draw(described) | signed)
    return operation | {"documentList": documents}


operations = from_schema(SCHEMAS["SignOperation"])
refusals = st.fixed_dictionaries(
    {},
    optional={
        **{name: from_schema(field) for name, field in SCHEMAS["ErrorResponse"]["properties"].items()},
        "errorCode": st.sampled_from([*ERROR_CODES, "2.1.7", "9.9.9"]) | texts,
        "error": st.sampled_from(["invalid_token", "invalid_client"]),
    },
)
tokens = st.fixed_dictionaries(
    {
        "access_token": st.just("abc.def.ghi") | junk,
        "token_type": st.just("bearer") | junk,
        "expires_in": st.integers(-1, 100_000) | junk,
    }
)


# ... and damaged ones


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """All containers of a JSON value, each with every key that it has."""
    for key in list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield value, key
        yield from places(value[key])


@st.composite
def broken(draw: st.DrawFn, values: st.SearchStrategy[Any]) -> Any:
    """Values of which some fields are missing, replaced, or of another type."""
    value = [draw(values)]
    for _ in range(draw(st.sampled_from([0, 0, 1, 1, 2, 3]))):
        container, key = draw(st.sampled_from(list(places(value))))
        match draw(st.sampled_from(["drop", "null", "text", "list", "twice", "replace"])):
            case "drop" if isinstance(container, dict):
                del container[key]
            case "null" | "drop":
                container[key] = None
            case "text":
                container[key] = str(container[key])
            case "list":
                container[key] = [container[key]]
            case "twice" if isinstance(container, list) and container is not value:
                container.append(container[key])
            case _:
                container[key] = draw(junk)
    return value[0]


header_values = st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=30)
header_lines = st.tuples(
    st.sampled_from(["Content-Type", "Retry-After", "Location", "WWW-Authenticate", "Content-Encoding", "X-Other"]),
    st.sampled_from(["gzip", "deflate", "7", "nan", "http:x", "//", "/x", "text/html", "a/b; charset=q"])
    | header_values,
).map(lambda line: (line[0].encode(), line[1].encode("latin-1")))


@st.composite
def responses(draw: st.DrawFn, values: st.SearchStrategy[Any], *, raw: bytes = b"") -> Response:
    """Responses with such a value, some of them damaged."""
    body = raw
    if not raw:
        written = json.dumps(draw(broken(values)), ensure_ascii=draw(st.booleans()))
        encoding = draw(st.sampled_from(["utf-8", "utf-8", "utf-8", "latin-1", "utf-16"]))
        body = written.encode(encoding, "xmlcharrefreplace" if encoding == "latin-1" else "surrogatepass")
    match draw(st.sampled_from(["", "", "", "", "", "cut", "noise", "spot"])):
        case "cut":
            body = body[: draw(st.integers(0, len(body)))]
        case "noise":
            body = draw(st.binary(max_size=40))
        case "spot":
            spot = draw(st.integers(0, len(body)))
            body = body[:spot] + draw(st.binary(max_size=3)) + body[spot + 1 :]
    status = draw(st.sampled_from([200, 200, 200, 200, 201, 204, 302, 401, 409, 429, 500]) | st.integers(200, 599))
    ends = [
        None,
        None,
        None,
        None,
        httpx.ReadError("reset"),
        httpx.RemoteProtocolError("cut"),
        httpx.ReadTimeout("slow"),
    ]
    headers = draw(st.lists(header_lines, max_size=2) | st.just([]))
    return Response(status, headers, body, draw(st.sampled_from(ends)))


# What must hold


@contextlib.contextmanager
def responding(response: Response) -> Iterator[None]:
    """The mock, with one response to every request but those for a token."""
    with MockedService() as service:
        service.router.route(path__regex="^(?!.*/oauth/token$)").mock(side_effect=lambda _: response.to_response())
        yield


async def outcome_of(call: Callable[[SignStash], Awaitable[Any]]) -> Any:
    """What a call returns, or the error that it raises; any other exception passes through and fails the test."""
    async with new_client() as client:
        try:
            return await call(client)
        except SignStashError as error:
            return error


def expect_clear(error: SignStashError) -> None:
    text = str(error)
    assert text.isprintable()
    assert len(text) < 3000
    arrived = pickle.loads(pickle.dumps(error))
    assert (type(arrived), str(arrived)) == (type(error), text)


def expect_rightly_signed(response: Response, reference: str, result: Any) -> None:
    """A document is signed with exactly the content in the response under its reference, or has an error."""
    if isinstance(result, SignStashError):
        expect_clear(result)
        if response.status < 300:
            assert result.maybe_processed or isinstance(result, DocumentNotSignedError)
    entries = entries_in(response, reference)
    clean = [entry for entry in entries if entry.get("signStatus") == "SIGNED" and not entry.get("signError")]
    content = base64_of(clean[0].get("signedContent")) if len(entries) == len(clean) == 1 else None
    if not isinstance(result, SignStashError):
        assert result.content == content
        assert result.external_reference == reference
    elif content and response.status == 200 and response.end is None and not response.headers:
        raise AssertionError("a signed document is lost") from result


def entries_in(response: Response, reference: str) -> list[Any]:
    fields = read(response.body)
    listed = fields.get("documentList") if isinstance(fields, dict) else None
    entries = [entry for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else []
    return [entry for entry in entries if entry.get("externalReference") == reference]


def read(body: bytes) -> Any:
    """JSON as liberally as it is to be read, or None."""
    try:
        return json.loads(body, strict=False)
    except UnicodeDecodeError:
        try:
            return json.loads(body.decode("latin-1"), strict=False)
        except ValueError:
            return None
    except (ValueError, RecursionError):
        return None


def base64_of(text: Any) -> bytes | None:
    if not isinstance(text, str):
        return None
    compact = "".join(text.split()).rstrip("=")
    try:
        return base64.b64decode(compact + "=" * (-len(compact) % 4), validate=True) or None
    except ValueError:
        return None


def try_responses(cases: st.SearchStrategy[Any], check: Callable[[Any], Coroutine[Any, Any, None]]) -> None:
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:

        @fuzz
        @given(cases)
        def run(case: Any) -> None:
            with little_memory():
                runner.run(check(case))

        run()


def documents() -> list[Document]:
    return [Document.pdf(PDF, name=f"{name}.pdf", external_reference=name) for name in REFERENCES]


def test_signing_one_document_raises_only_errors_of_the_sdk() -> None:
    async def check(response: Response) -> None:
        with responding(response):
            result = await outcome_of(lambda client: client.sign(documents()[0]))
        expect_rightly_signed(response, "A", result)

    try_responses(responses(signed_operations() | refusals), check)


def test_signing_several_documents_raises_only_errors_of_the_sdk() -> None:
    async def check(response: Response) -> None:
        with responding(response):
            batch = await outcome_of(lambda client: client.sign_batch(documents()))
        if isinstance(batch, SignStashError):
            expect_rightly_signed(response, "A", batch)
            return
        assert [outcome.document.name for outcome in batch.outcomes] == ["A.pdf", "B.pdf", "C.pdf"]
        for reference, outcome in zip(REFERENCES, batch.outcomes, strict=True):
            result = outcome.error if outcome.signed is None else outcome.signed
            expect_rightly_signed(response, reference, result)
        assert repr(batch)
        assert isinstance(batch.operation.to_dict(), dict)

    try_responses(responses(signed_operations()), check)


def is_number(result: Any) -> bool:
    return type(result) is int


def is_model(result: Any) -> bool:
    return bool(repr(result)) and isinstance(result.to_dict(), dict)


@pytest.mark.parametrize(
    ("cases", "call", "holds"),
    [
        (responses(st.integers() | refusals), lambda client: client.get_operation_id("A"), is_number),
        (responses(operations | refusals), lambda client: client.get_status(7), is_model),
        (responses(operations | refusals), lambda client: client.get_operation(7, include_content=True), is_model),
        (
            responses(refusals) | responses(refusals, raw=b"PK\x05\x06" + bytes(18)),
            lambda client: client.download_documents(7, "downloads"),
            lambda result: result == [],
        ),
        (
            responses(refusals),
            lambda client: client.resend_mails(7, ["ana@example.test"]),
            lambda result: result is None,
        ),
    ],
    ids=["get_operation_id", "get_status", "get_operation", "download_documents", "resend_mails"],
)
def test_queries_raise_only_errors_of_the_sdk(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    cases: st.SearchStrategy[Response],
    call: Callable[..., Any],
    holds: Callable[[Any], bool],
) -> None:
    monkeypatch.chdir(tmp_path)  # where downloads go

    async def check(response: Response) -> None:
        with responding(response):
            result = await outcome_of(call)
        if isinstance(result, SignStashError):
            expect_clear(result)
        else:
            assert 200 <= response.status < 300
            assert holds(result)

    try_responses(cases, check)


def test_token_requests_raise_only_errors_of_the_sdk() -> None:
    async def check(response: Response) -> None:
        with MockedService() as service:
            service.token.mock(side_effect=lambda _: response.to_response())
            status = service.routes.status.respond(json={"id": 1})
            result = await outcome_of(lambda client: client.get_status(7))
            authorization = [call.request.headers["authorization"] for call in status.calls]
        if isinstance(result, SignStashError):
            expect_clear(result)
            assert result.maybe_processed is False
            assert authorization == []
        else:
            assert 200 <= response.status < 300
            assert authorization == [f"Bearer {read(response.body)['access_token']}"]

    try_responses(responses(tokens | refusals), check)
