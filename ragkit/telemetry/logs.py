"""Log records as lines of JSON or of text, with the ids of their request and their trace."""

import json
import logging
from datetime import UTC, datetime
from typing import Literal, TypeAlias, get_args

from ragkit.core.errors import ConfigError
from ragkit.core.operation import request_id, trace_place
from ragkit.core.secrets import without_credentials

LogFormat: TypeAlias = Literal["text", "json"]
_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class IdFilter(logging.Filter):
    """Adds the ids of the running request and trace to a record, where it has none."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Add `request_id`, `trace_id` and `span_id` where they are known."""
        if known := request_id.get():
            record.request_id = known
        place = None if hasattr(record, "trace_id") else trace_place()
        if place is not None:
            record.trace_id, record.span_id = place
        return True


class _Formatter(logging.Formatter):
    """A record as a dictionary, for both formats."""

    def fields(self, record: logging.LogRecord) -> dict[str, object]:
        """Return the fields of a record, without the passwords of URLs."""
        found: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": without_credentials(record.getMessage()),
        }
        for name, value in vars(record).items():
            if name not in _OWN:
                known = isinstance(value, int | float | bool)
                found[name] = value if known else without_credentials(str(value))
        if record.exc_info:
            found["error"] = without_credentials(self.formatException(record.exc_info))
        return found


class JsonFormatter(_Formatter):
    """A record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        return json.dumps(self.fields(record), ensure_ascii=False)


class TextFormatter(_Formatter):
    """A record as one line of text: its fields as `name=value` behind the message."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, and the traceback of an error below it."""
        fields = self.fields(record)
        head = [str(fields.pop(name)) for name in ("time", "level", "logger", "message")]
        error = fields.pop("error", None)
        pairs = [f"{name}={_quoted(value)}" for name, value in fields.items()]
        line = " ".join([*head, *pairs]).replace("\n", "\\n")
        return line if error is None else f"{line}\n{error}"


def log_to_stderr(form: str, *, level: int = logging.INFO) -> None:
    """Write the log of ragkit, and warnings of others, to the standard error stream.

    Nothing is rotated: that is the work of what reads the stream.

    Raises:
        ConfigError: The format is unknown.
    """
    if form not in get_args(LogFormat):
        known = " or ".join(get_args(LogFormat))
        raise ConfigError(f"No log format {form!r}. Fix: choose {known}.")
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    handler.addFilter(IdFilter())
    logging.getLogger().addHandler(handler)
    logging.getLogger("ragkit").setLevel(level)


def _quoted(value: object) -> str:
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if " " in text or '"' in text else text
