"""The formats that are decoded as such, as patterns of whole strings.

Each is a subset of what its specification allows and of what jsonschema's format checker accepts.
"""

from collections.abc import Mapping

_BYTE = r"(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_CLOCK = r"([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,9})?"
_OFFSET = r"(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])"
_LEAP = r"([0-9]{2}(0[48]|[2468][048]|[13579][26])|(0[48]|[2468][048]|[13579][26])00)"
_YEAR = r"(000[1-9]|00[1-9][0-9]|0[1-9][0-9]{2}|[1-9][0-9]{3})"
_DAY = (
    r"((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)"
    r"|02-(0[1-9]|1[0-9]|2[0-8]))"
)
_DATE = rf"({_YEAR}-{_DAY}|{_LEAP}-02-29)"
_HOST = r"[A-Za-z0-9](-?[A-Za-z0-9]){0,30}"
_HOSTNAME = rf"{_HOST}(\.{_HOST}){{0,3}}"
_LOCAL = r"[A-Za-z0-9_%+-](\.?[A-Za-z0-9_%+-]){0,31}"
_HEX = r"[0-9a-fA-F]"
_GROUP = rf"{_HEX}{{1,4}}"
_GROUPS = rf"{_GROUP}(:{_GROUP}){{0,2}}"
_URI = r"A-Za-z0-9._~!$&'()*+,;=:@\-"


def _uri(chars: str) -> str:
    """Return scheme, authority and path or a path alone, query and fragment."""
    more = rf"([{chars}/?]|%{_HEX}{{2}})*"
    return (
        rf"^[A-Za-z][A-Za-z0-9+.-]{{0,19}}:(//[{chars}]*([/?]{more})?|[{chars}]{more})"
        rf"(#{more})?$"
    )


_TIME_SPAN = r"T([0-9]{1,2}H)?([0-5]?[0-9]M)?([0-5]?[0-9]S)"
_DURATION = rf"^P([0-9]{{1,4}}D({_TIME_SPAN})?|[0-9]{{1,3}}W|{_TIME_SPAN})$"

FORMATS: Mapping[str, str] = {
    "date": rf"^{_DATE}$",
    "time": rf"^{_CLOCK}{_OFFSET}$",
    "date-time": rf"^{_DATE}[Tt]{_CLOCK}{_OFFSET}$",
    "uuid": rf"^{_HEX}{{8}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{12}}$",
    "email": rf"^{_LOCAL}@{_HOST}(\.{_HOST}){{0,2}}$",
    "ipv4": rf"^{_BYTE}(\.{_BYTE}){{3}}$",
    "ipv6": rf"^({_GROUP}(:{_GROUP}){{7}}|({_GROUPS})?::({_GROUPS})?)$",
    "hostname": rf"^{_HOSTNAME}$",
    "uri": _uri(_URI),
    "http-url": (
        rf"^https?://{_HOSTNAME}\.[A-Za-z]{{2,6}}(:[1-9][0-9]{{0,3}})?(/([{_URI}/]|%{_HEX}{{2}})*)?"
        rf"(\?([{_URI}/?]|%{_HEX}{{2}})*)?$"
    ),
    "duration": _DURATION,
    "iri": _uri(_URI + r"\u00a1-\ud7ff"),
}
"""Name to pattern."""
LONGEST: Mapping[str, int] = {"email": 254, "hostname": 253}
"""Name to greatest length, where the specification has one that the pattern doesn't say."""
CHECKED_FORMATS = frozenset({"regex"})
"""Formats that no grammar can say, checked after decoding."""
