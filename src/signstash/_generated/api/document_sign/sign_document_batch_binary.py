from typing import Any

import httpx

from ... import errors
from ...client import AuthenticatedClient, Client
from ...models.sign_document_batch_binary_body import SignDocumentBatchBinaryBody
from ...models.sign_operation import SignOperation
from ...types import Response, read_answer


def _get_kwargs(
    *,
    body: SignDocumentBatchBinaryBody,
) -> dict[str, Any]:
    headers: dict[str, Any] = {}

    _kwargs: dict[str, Any] = {
        "method": "post",
        "url": "/api/v0/document/sign/",
    }

    _kwargs["files"] = body.to_multipart()

    _kwargs["headers"] = headers
    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> SignOperation:
    if response.status_code == 200:
        response_200 = SignOperation.from_dict(response.json())

        return response_200

    raise errors.UnexpectedStatus(response.status_code, response.content)


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[SignOperation]:
    return Response(
        status_code=response.status_code,
        content=response.content,
        headers=response.headers,
        parsed=read_answer(_parse_response, client=client, response=response),
    )


def sync_detailed(
    *,
    client: AuthenticatedClient | Client,
    body: SignDocumentBatchBinaryBody,
) -> Response[SignOperation]:
    """Sign documents sent as files

     Signs one or more documents that are sent as parts of a multipart request. Otherwise like signing
    base64 contents. Offered by the Integration Service; not confirmed for the proxy.

    Args:
        body (SignDocumentBatchBinaryBody):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[SignOperation]
    """

    kwargs = _get_kwargs(
        body=body,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    *,
    client: AuthenticatedClient | Client,
    body: SignDocumentBatchBinaryBody,
) -> SignOperation:
    """Sign documents sent as files

     Signs one or more documents that are sent as parts of a multipart request. Otherwise like signing
    base64 contents. Offered by the Integration Service; not confirmed for the proxy.

    Args:
        body (SignDocumentBatchBinaryBody):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        SignOperation
    """

    return sync_detailed(
        client=client,
        body=body,
    ).parsed


async def asyncio_detailed(
    *,
    client: AuthenticatedClient | Client,
    body: SignDocumentBatchBinaryBody,
) -> Response[SignOperation]:
    """Sign documents sent as files

     Signs one or more documents that are sent as parts of a multipart request. Otherwise like signing
    base64 contents. Offered by the Integration Service; not confirmed for the proxy.

    Args:
        body (SignDocumentBatchBinaryBody):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[SignOperation]
    """

    kwargs = _get_kwargs(
        body=body,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    *,
    client: AuthenticatedClient | Client,
    body: SignDocumentBatchBinaryBody,
) -> SignOperation:
    """Sign documents sent as files

     Signs one or more documents that are sent as parts of a multipart request. Otherwise like signing
    base64 contents. Offered by the Integration Service; not confirmed for the proxy.

    Args:
        body (SignDocumentBatchBinaryBody):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        SignOperation
    """

    return (
        await asyncio_detailed(
            client=client,
            body=body,
        )
    ).parsed
