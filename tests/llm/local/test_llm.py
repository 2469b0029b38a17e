from pathlib import Path

import pytest

from ragkit.core.errors import ConfigError
from ragkit.llm import (
    LocalLLM,
)


async def test_a_local_model_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such folder"):
        await LocalLLM(str(tmp_path / "none")).complete("x")
