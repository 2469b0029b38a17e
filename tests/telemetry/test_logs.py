import json
import logging
import sys
from collections.abc import Iterator

import pytest

from ragkit.core.errors import ConfigError
from ragkit.core.operation import Operation, request_id
from ragkit.telemetry.logs import IdFilter, JsonFormatter, TextFormatter, log_to_stderr
from tests.telemetry.conftest import Traced


@pytest.fixture(autouse=True)
def _outside_of_requests() -> None:
    """Forget the request of a test that ran before in this process."""
    request_id.set("")


def record(message: str, *arguments: object, **extra: object) -> logging.LogRecord:
    made = logging.getLogger("ragkit.test").makeRecord(
        "ragkit.test", logging.INFO, "file", 1, message, arguments, None, extra=extra
    )
    IdFilter().filter(made)
    return made


def test_a_record_is_one_line_of_json_whatever_it_says() -> None:
    line = JsonFormatter().format(record("a\n%s", "é \u2028 \x00", route="/x", status=200))
    assert len(line.splitlines()) == 1 or "\n" not in line
    found = json.loads(line)
    assert found["message"] == "a\né \u2028 \x00"
    assert (found["route"], found["status"], found["level"]) == ("/x", 200, "info")


def test_a_record_has_the_ids_of_its_request_and_trace(traced: Traced) -> None:
    traced()
    token = request_id.set("r-1")
    with Operation(kind="answer") as operation:
        found = json.loads(JsonFormatter().format(record("x")))
    request_id.reset(token)
    assert operation.place is not None
    ids = (found["request_id"], found["trace_id"], found["span_id"])
    assert ids == ("r-1", *operation.place)
    assert "trace_id" not in json.loads(JsonFormatter().format(record("x")))


def test_passwords_of_urls_are_hidden_in_every_field_and_in_tracebacks() -> None:
    url = "http://user:MARK@host"
    made = record("at %s", url, place=url)
    try:
        int(url)
    except ValueError:
        made.exc_info = sys.exc_info()
    for formatter in (JsonFormatter(), TextFormatter()):
        line = formatter.format(made)
        assert "MARK" not in line
        assert "ValueError" in line


def test_text_has_one_line_that_nobody_can_break() -> None:
    line = TextFormatter().format(record("a\nb", route="/x y"))
    assert "\n" not in line
    assert line.endswith('info ragkit.test a\\nb route="/x y"')


@pytest.fixture
def _restored() -> Iterator[None]:
    root, own = logging.getLogger(), logging.getLogger("ragkit")
    handlers, level = list(root.handlers), own.level
    yield
    root.handlers[:] = handlers
    own.setLevel(level)


@pytest.mark.usefixtures("_restored")
def test_the_log_goes_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    log_to_stderr("json")
    logging.getLogger("ragkit.server.requests").info("request", extra={"status": 200})
    logging.getLogger("other").info("quiet")
    logging.getLogger("other").warning("loud")
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["message"] for line in lines] == ["request", "loud"]


def test_an_unknown_format_names_the_known() -> None:
    with pytest.raises(ConfigError, match=r"No log format 'yaml'\. Fix: choose text or json"):
        log_to_stderr("yaml")
