from pathlib import Path

import pytest

from ragkit.ui.options import LOOPBACK, Options, arguments_of, parse_options


def test_the_application_is_bound_to_this_machine_unless_asked_otherwise() -> None:
    assert parse_options([]).host == LOOPBACK == "127.0.0.1"
    assert parse_options(["--host", "0.0.0.0"]).host == "0.0.0.0"


def test_data_is_kept_outside_of_the_working_folder() -> None:
    assert not parse_options([]).data.is_relative_to(Path.cwd())


def test_every_option_survives_its_command_line() -> None:
    options = Options(
        index="dir with space",
        tenant="acme",
        config=Path("r.toml"),
        llm="vllm:http://127.0.0.1:8000",
        read_only=True,
        data=Path("data"),
        questions=Path("q.jsonl"),
        host="::1",
        port=9000,
        browser=True,
    )
    assert parse_options(arguments_of(options)) == options
    assert parse_options(arguments_of(Options())) == Options()


def test_an_unknown_option_is_an_error() -> None:
    with pytest.raises(SystemExit) as ended:
        parse_options(["--readonly"])
    assert ended.value.code == 2
