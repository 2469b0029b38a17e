"""`finish`: how a model says that it has the answer."""

from typing import Annotated

from pydantic import Field

from ragkit.agents.tools.decorator import tool
from ragkit.core.protocols import Tool

_MAX_CHARACTERS = 8000


def finish() -> Tool:
    """A tool that ends the run; its argument is the answer, and so is its result."""

    @tool(max_chars=_MAX_CHARACTERS)
    async def finish(
        answer: Annotated[str, Field(min_length=1, max_length=_MAX_CHARACTERS)],
    ) -> str:
        """End with the answer, once it is known or clearly cannot be found.

        Args:
            answer: The whole answer for the person who asked.
        """
        return answer

    return finish
