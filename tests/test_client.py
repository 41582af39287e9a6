"""The client that people await, against a mocked service."""



from signstash import Document, SignStash
from tests.conftest import PDF, TOKEN, MockedService


async def test_sign_returns_the_signed_document(client: SignStash, service: MockedService) -> None:
    signed = await client.sign(Document.pdf(PDF, name="invoice.pdf"))

    assert signed.content == b"signed:" + PDF
    assert signed.name == "invoice.pdf"
    assert signed.operation_id == 4711
    assert service.sign.calls.last.request.headers["authorization"] == f"Bearer {TOKEN}"
