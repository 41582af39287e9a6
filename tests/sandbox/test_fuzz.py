"""The sandbox responds to any request as its API definition says, without an internal error.

`make fuzz-sandbox` sends much more.
"""

from __future__ import annotations

import base64
import copy
import os
import uuid
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, assume, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance

from signstash.sandbox import Sandbox
from tests.conftest import BASE64_PATH, DEFINITION, INVOICE

pytestmark = pytest.mark.sandbox

EXAMPLES = int(os.environ.get("SIGNSTASH_SANDBOX_EXAMPLES", "8"))
SETTINGS = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=EXAMPLES < 100,
    database=None,
    suppress_health_check=list(HealthCheck),
)
TIMEOUT = 600 if EXAMPLES < 100 else 3600

CONTENTS = {"PAdES": INVOICE.read_bytes(), "XAdES": b"<a><b>1</b></a>", "CAdES": b"any"}
PLACES = {"COORDINATE": "page=1,x=70.5,y=100", "SIGN_FIELD": "field", "PLACEHOLDER": "Invoice"}

schema = schemathesis.openapi.from_dict(copy.deepcopy(DEFINITION))
signing = schema[BASE64_PATH]["POST"]


@pytest.fixture(scope="module")
def token(sandbox: Sandbox) -> str:
    response = httpx.post(
        sandbox.token_url,
        auth=(sandbox.client_id, sandbox.client_secret),
        data={"grant_type": "client_credentials"},
    )
    return str(response.json()["access_token"])


def signable(body: dict[str, Any]) -> dict[str, Any]:
    """A valid request, with as much of the generated one as possible."""
    body |= {"externalReference": uuid.uuid4().hex, "description": f".{body['description']}"}
    for number, item in enumerate(body["documents"]):
        document, info = item["documentRequest"], item["signatureInfo"]
        document["externalReference"] = f"{body['externalReference']}/{number}/{document['externalReference']}"
        document["name"] += ".pdf"
        document["base64Content"] = base64.b64encode(CONTENTS[info["signatureType"]]).decode()
        info.pop("advancedSignatureInfo" if info["signatureType"] == "PAdES" else "visibleSignatureInfo", None)
        visible = info.get("visibleSignatureInfo", {})
        for name in ("area", "areaBackgroundColor", "font", "imageValue"):
            visible.pop(name, None)
        if visible:
            visible["locationValue"] = PLACES[visible["locationType"]]
            visible["oneOffTemplate"] = f".{visible.get('oneOffTemplate', '')}"
    return body


@schema.parametrize()
@SETTINGS
@pytest.mark.timeout(TIMEOUT)
def test_every_response_conforms_to_the_definition(case: Case[Any], sandbox: Sandbox, token: str) -> None:
    response = case.call(base_url=sandbox.integration_base_url, headers={"Authorization": f"Bearer {token}"})
    assume(response.text != "Invalid HTTP request received.")  # made-up headers that are not HTTP

    documented = {int(status) for status in case.operation.definition.raw["responses"]}
    assert response.status_code in documented | {404, 405, 415}
    if response.status_code == 500:
        assert response.json()["errorCode"] in ("0.0.2", "0.0.6", "2.2.1")
    if response.status_code in documented:
        case.validate_response(response, checks=[content_type_conformance, response_schema_conformance])


@given(case=signing.as_strategy(generation_mode=GenerationMode.POSITIVE))
@SETTINGS
@pytest.mark.timeout(TIMEOUT)
def test_valid_requests_are_signed_or_explained(case: Case[Any], sandbox: Sandbox, token: str) -> None:
    body: Any = case.body
    assume(body["documents"])
    case.body = signable(body)

    response = case.call(base_url=sandbox.base_url, headers={"Authorization": f"Bearer {token}"})

    assert response.status_code == 200, response.text
    case.validate_response(response, checks=[content_type_conformance, response_schema_conformance])
    for document in response.json()["documentList"]:
        assert ("causeMessage" in document) == (document["signStatus"] != "SIGNED")
