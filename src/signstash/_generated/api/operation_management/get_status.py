from typing import Any

import httpx

from ... import errors
from ...client import AuthenticatedClient, Client
from ...models.base_operation import BaseOperation
from ...types import Response, path_segment, read_answer


def _get_kwargs(
    operation_id: int,
) -> dict[str, Any]:

    _kwargs: dict[str, Any] = {
        "method": "get",
        "url": f"/api/v0/operation/status/{path_segment(operation_id)}",
    }

    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> BaseOperation:
    if response.status_code == 200:
        response_200 = BaseOperation.from_dict(response.json())

        return response_200

    raise errors.UnexpectedStatus(response.status_code, response.content)


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[BaseOperation]:
    return Response(
        status_code=response.status_code,
        content=response.content,
        headers=response.headers,
        parsed=read_answer(_parse_response, client=client, response=response),
    )


def sync_detailed(
    operation_id: int,
    *,
    client: AuthenticatedClient | Client,
) -> Response[BaseOperation]:
    """Status of an operation

     Answers how far an operation has come, without its documents. Integration Service only.

    Args:
        operation_id (int):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[BaseOperation]
    """

    kwargs = _get_kwargs(
        operation_id=operation_id,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    operation_id: int,
    *,
    client: AuthenticatedClient | Client,
) -> BaseOperation:
    """Status of an operation

     Answers how far an operation has come, without its documents. Integration Service only.

    Args:
        operation_id (int):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        BaseOperation
    """

    return sync_detailed(
        operation_id=operation_id,
        client=client,
    ).parsed


async def asyncio_detailed(
    operation_id: int,
    *,
    client: AuthenticatedClient | Client,
) -> Response[BaseOperation]:
    """Status of an operation

     Answers how far an operation has come, without its documents. Integration Service only.

    Args:
        operation_id (int):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[BaseOperation]
    """

    kwargs = _get_kwargs(
        operation_id=operation_id,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    operation_id: int,
    *,
    client: AuthenticatedClient | Client,
) -> BaseOperation:
    """Status of an operation

     Answers how far an operation has come, without its documents. Integration Service only.

    Args:
        operation_id (int):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        BaseOperation
    """

    return (
        await asyncio_detailed(
            operation_id=operation_id,
            client=client,
        )
    ).parsed
