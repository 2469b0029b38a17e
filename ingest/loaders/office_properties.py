"""The core properties of office documents as metadata."""

from datetime import datetime
from typing import Protocol

from ragkit.core.types import MetadataValue

_FILLED_IN = frozenset({"powerpoint presentation", "word document", "untitled"})


class CoreProperties(Protocol):
    """The properties that Word, PowerPoint and Excel share."""

    @property
    def title(self) -> str | None:
        """Of the document."""
        ...

    @property
    def subject(self) -> str | None:
        """Of the document."""
        ...

    @property
    def keywords(self) -> str | None:
        """Separated by commas or semicolons."""
        ...

    @property
    def created(self) -> datetime | None:
        """Date of creation."""
        ...


def office_metadata(properties: CoreProperties, *, author: str | None) -> dict[str, MetadataValue]:
    """Return author, subject, keywords and date of creation, without those that are empty."""
    values: dict[str, MetadataValue] = {}
    for key, value in (("author", author), ("subject", properties.subject)):
        if text := " ".join((value or "").split()):
            values[key] = text
    keywords = (properties.keywords or "").replace(";", ",").split(",")
    if words := tuple(word for keyword in keywords if (word := keyword.strip())):
        values["keywords"] = words
    if properties.created is not None:
        values["date"] = properties.created.isoformat()
    return values


def office_title(properties: CoreProperties) -> str:
    """Return the title of the properties, empty where a program only filled it in."""
    title = " ".join((properties.title or "").split())
    return "" if title.lower() in _FILLED_IN else title
