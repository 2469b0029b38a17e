from pathlib import Path

import pytest

from ragkit import ConfigError, InputError, Settings
from ragkit.agents import Budget
from ragkit.cli.agent import AgentChoice, budget_of


def test_a_budget_has_the_limits_of_the_text_and_defaults_for_the_others() -> None:
    budget = budget_of("steps=3, seconds=1.5")
    assert (budget.steps, budget.seconds) == (3, 1.5)
    assert budget.tokens == Budget().tokens
    assert budget_of("") == Budget()


@pytest.mark.parametrize("text", ["steps=many", "steps=1.5", "tokens="])
def test_a_limit_that_is_not_a_number_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="Fix: use a number"):
        budget_of(text)


def test_an_unknown_limit_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"Unknown limit 'patience'\. Fix: use one of .*steps"):
        budget_of("patience=3")


def test_the_identity_depends_on_tools_budget_settings_and_databases(tmp_path: Path) -> None:
    settings, file = Settings(), tmp_path / "a.db"
    file.write_bytes(b"1")
    choice = AgentChoice(tools=f"calculator,sql={file}")
    known = choice.identity(settings)
    assert known == AgentChoice(tools=f"calculator,sql={file}").identity(settings)
    assert known != AgentChoice(tools=f"sql={file}").identity(settings)
    assert known != AgentChoice(tools=choice.tools, budget="steps=3").identity(settings)
    file.write_bytes(b"22")
    assert known != choice.identity(settings)


def test_tool_names_are_separated_by_commas() -> None:
    assert AgentChoice(tools=" calculator, sql=a.db,, ").tool_names == ["calculator", "sql=a.db"]
