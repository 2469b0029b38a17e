import subprocess
import sys

import pytest

import ragkit

HEAVY = ("torch", "transformers", "langgraph", "qdrant_client", "qdrant_edge", "streamlit", "numpy")


def test_root_exports_at_most_thirty_names_and_all_of_them_exist() -> None:
    assert len(ragkit.__all__) <= 30
    for name in ragkit.__all__:
        assert getattr(ragkit, name) is not None
    assert set(ragkit.__all__) <= set(dir(ragkit))


def test_importing_the_root_loads_no_heavy_package() -> None:
    code = f"import sys, ragkit; print([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = getattr(ragkit, "nonsense")  # noqa: B009 - the name is not there
