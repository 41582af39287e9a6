"""Looks for cookies only in responses that set some."""

from __future__ import annotations

from functools import cached_property

import httpx


class _Cookies(httpx.Cookies):
    def extract_cookies(self, response: httpx.Response) -> None:
        if "set-cookie" in response.headers:  # copying all headers for `http.cookiejar` takes a tenth of a short call
            super().extract_cookies(response)


class AsyncClient(httpx.AsyncClient):
    """A client that keeps cookies as httpx does."""

    @cached_property
    def cookies(self) -> httpx.Cookies:  # pyright: ignore[reportIncompatibleMethodOverride]  # never set
        return _Cookies()
