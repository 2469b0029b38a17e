import subprocess
import sys

import ragkit.agents


def test_every_exported_name_is_there_and_no_module_hides_it() -> None:
    for name in ragkit.agents.__all__:
        value = getattr(ragkit.agents, name)
        assert not hasattr(value, "__path__")
        assert callable(value) or isinstance(value, type)


def test_importing_the_package_alone_loads_nothing_heavy() -> None:
    heavy = "{'langgraph', 'torch'}"
    code = f"import ragkit.agents, sys; sys.exit(len({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_module_that_is_imported_first_does_not_hide_the_function_of_its_name() -> None:
    code = (
        "from ragkit.agents.react import ReAct; import ragkit.agents.team; "
        "from ragkit.agents import react, team; import ragkit.agents, sys; "
        "assert callable(react) and callable(team) and ragkit.agents.react is react; "
        "assert sys.modules['ragkit.agents.react'].ReAct is ReAct"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
