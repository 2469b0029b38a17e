import subprocess
import sys

import pytest

import ragkit.testing


@pytest.mark.parametrize("name", ragkit.testing.__all__)
def test_every_name_is_exported(name: str) -> None:
    assert getattr(ragkit.testing, name).__name__ == name
    assert name in dir(ragkit.testing)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'Nothing'"):
        _ = ragkit.testing.Nothing  # pyright: ignore[reportAttributeAccessIssue]


def test_the_doubles_do_not_import_pytest() -> None:
    code = "from ragkit.testing import HashEmbedder; import sys; assert 'pytest' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
