from typing import Any

import httpx

from ... import errors
from ...client import AuthenticatedClient, Client
from ...models.sign_operation import SignOperation
from ...types import Response, path_segment, read_answer


def _get_kwargs(
    operation_id: int,
    include_content: bool,
) -> dict[str, Any]:

    _kwargs: dict[str, Any] = {
        "method": "get",
        "url": f"/api/v0/operation/sign/detail/{path_segment(operation_id)}/contentInResponse/{path_segment(include_content)}",
    }

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
    operation_id: int,
    include_content: bool,
    *,
    client: AuthenticatedClient | Client,
) -> Response[SignOperation]:
    """Detail of a signing operation

     Answers a signing operation with its documents, and with their signed contents if asked. Integration
    Service only.

    Args:
        operation_id (int):
        include_content (bool):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[SignOperation]
    """

    kwargs = _get_kwargs(
        operation_id=operation_id,
        include_content=include_content,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    operation_id: int,
    include_content: bool,
    *,
    client: AuthenticatedClient | Client,
) -> SignOperation:
    """Detail of a signing operation

     Answers a signing operation with its documents, and with their signed contents if asked. Integration
    Service only.

    Args:
        operation_id (int):
        include_content (bool):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        SignOperation
    """

    return sync_detailed(
        operation_id=operation_id,
        include_content=include_content,
        client=client,
    ).parsed


async def asyncio_detailed(
    operation_id: int,
    include_content: bool,
    *,
    client: AuthenticatedClient | Client,
) -> Response[SignOperation]:
    """Detail of a signing operation

     Answers a signing operation with its documents, and with their signed contents if asked. Integration
    Service only.

    Args:
        operation_id (int):
        include_content (bool):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[SignOperation]
    """

    kwargs = _get_kwargs(
        operation_id=operation_id,
        include_content=include_content,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    operation_id: int,
    include_content: bool,
    *,
    client: AuthenticatedClient | Client,
) -> SignOperation:
    """Detail of a signing operation

     Answers a signing operation with its documents, and with their signed contents if asked. Integration
    Service only.

    Args:
        operation_id (int):
        include_content (bool):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        SignOperation
    """

    return (
        await asyncio_detailed(
            operation_id=operation_id,
            include_content=include_content,
            client=client,
        )
    ).parsed
