"""Both decoders of base64, that of pybase64 and that of the standard library, accept and reject the same."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest
from hypothesis import example, given, settings, strategies as st

from signstash._content import base64 as with_pybase64


@pytest.fixture(scope="module")
def without() -> Iterator[ModuleType]:
    """The module as it is where pybase64 is not installed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "pybase64", None)
        patch.delitem(sys.modules, "signstash._content.base64")
        yield importlib.import_module("signstash._content.base64")


def found(decode: Callable[[Any], bytes], text: bytes) -> bytes | None:
    try:
        return decode(memoryview(text))
    except ValueError:
        return None


LETTERS = st.text("AQz09+/=-_ \r\n\0é", max_size=400).map(lambda text: text.encode("latin-1"))
VALID = st.binary(max_size=400).map(with_pybase64.encode_base64)


def damaged(text: bytes, position: int, letter: int) -> bytes:
    position %= len(text) + 1
    return text[:position] + bytes([letter]) + text[position + 1 :]


@pytest.mark.skipif(not hasattr(with_pybase64, "pybase64"), reason="pybase64 is not installed")
def test_both_decoders_are_tested(without: ModuleType) -> None:
    assert with_pybase64.decode_base64.__code__ != without.decode_base64.__code__


@settings(max_examples=500)
@example(b"QQ==QQ==")
@example(b"QR==")
@example(b"=AAA")
@example(b"A===")
@given(LETTERS | VALID | st.builds(damaged, VALID, st.integers(0, 999), st.integers(0, 255)))
def test_both_decoders_agree(without: ModuleType, text: bytes) -> None:
    text = text[: len(text) - len(text) % 4]
    if text.endswith(b"==="):  # the parser brings such padding into order before
        return

    assert found(with_pybase64.decode_base64, text) == found(without.decode_base64, text)


@given(st.binary(max_size=1000))
def test_both_encoders_agree(without: ModuleType, content: bytes) -> None:
    assert with_pybase64.encode_base64(content) == without.encode_base64(content)
    assert without.decode_base64(with_pybase64.encode_base64(content)) == content
