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
