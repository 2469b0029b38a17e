"""Strict decoding of text: nothing is guessed or replaced, and errors name the byte."""

import codecs
import re

from ragkit.core.errors import ConfigError, InputError

# UTF-32 comes first because its little-endian mark begins with the one of UTF-16.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# Escape is left out: logs with terminal colours are text.
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f-\x84\x86-\x9f]")
_MAX_CONTROL_SHARE = 0.05
_SURROGATE = re.compile("[\ud800-\udfff]")


def codec_name(encoding: str) -> str:
    """Return the canonical name of a text encoding.

    Raises:
        ConfigError: Python knows no text encoding of that name.
    """
    try:
        "a".encode(encoding)
        return codecs.lookup(encoding).name
    except (LookupError, ValueError) as error:
        raise ConfigError(
            f"{encoding!r} is not a text encoding. "
            "Fix: set RAGKIT_INGEST__ENCODING to a name such as utf-8, cp1252 or shift_jis."
        ) from error


def has_byte_order_mark(data: bytes) -> bool:
    """Return whether the bytes begin with a byte order mark."""
    return any(data.startswith(mark) for mark, _ in _MARKS)


def decode_text(data: bytes, *, uri: str, encoding: str, declared: bool = False) -> str:
    r"""Decode a text file: a byte order mark decides, else `encoding`; line ends become `\n`.

    `declared` says that the document itself named `encoding`, which changes the advice.

    Raises:
        InputError: The file is empty, binary, or not in this encoding.
    """
    mark, codec = next((known for known in _MARKS if data.startswith(known[0])), (b"", encoding))
    text = _decode(data, uri=uri, codec=codec, skip=len(mark), declared=declared or bool(mark))
    if not text.strip():
        raise empty_error(uri)
    if "\x00" in text or _too_many_controls(text):
        raise _binary_error(uri)
    return text.replace("\r\n", "\n").replace("\r", "\n")


def valid_text(text: str) -> str:
    """Return the text with U+FFFD for lone surrogates, which no encoding can store."""
    return _SURROGATE.sub("\ufffd", text)


def empty_error(uri: str) -> InputError:
    """Return the error for a file that holds only white space."""
    return InputError(f"{uri!r} is empty: it holds no text. Fix: leave it out, or fill it.")


def _decode(data: bytes, *, uri: str, codec: str, skip: int, declared: bool) -> str:
    try:
        return data[skip:].decode(codec)
    except UnicodeError as error:
        wide = codec_name(codec).startswith(("utf-16", "utf-32"))
        if not wide and (b"\x00" in data or _too_many_controls(data.decode("latin-1"))):
            raise _binary_error(uri) from error
        offset = skip + error.start if isinstance(error, UnicodeDecodeError) else skip
        remedy = (
            "The document declares it itself. Fix: correct that, or save it as UTF-8."
            if declared
            else "Fix: set RAGKIT_INGEST__ENCODING=cp1252 or another, or save it as UTF-8."
        )
        raise InputError(
            f"{uri!r} is not valid {codec}: byte 0x{data[offset]:02x} at offset {offset} cannot be "
            f"decoded. {remedy}"
        ) from error


def _too_many_controls(text: str) -> bool:
    return len(_CONTROL.findall(text)) > _MAX_CONTROL_SHARE * len(text)


def _binary_error(uri: str) -> InputError:
    return InputError(
        f"{uri!r} holds binary data, not text. Fix: give it the extension of its real format, or "
        "leave it out. (UTF-16 without a byte order mark: set RAGKIT_INGEST__ENCODING=utf-16-le.)"
    )
