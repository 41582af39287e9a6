"""Fixtures for tests of the access token."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

from signstash import TokenAuth
from signstash.testing.interception import use_sleep
from tests.auth.vendor import Vendor
from tests.conftest import MockedService


@pytest.fixture
def vendor(service: MockedService) -> Iterator[Vendor]:
    vendor = Vendor(service)
    with use_sleep(vendor.clock.sleep):
        yield vendor


@pytest.fixture
async def auth(vendor: Vendor) -> AsyncIterator[TokenAuth]:
    auth = vendor.auth()
    yield auth
    await auth.aclose()


@pytest.fixture
async def client(vendor: Vendor, auth: TokenAuth) -> AsyncIterator[httpx.AsyncClient]:
    async with vendor.client(auth) as client:
        yield client
