from pathlib import Path
from typing import Any

class NotebookNode(dict[str, Any]):
    def __getattr__(self, name: str) -> Any: ...

def read(fp: Path, as_version: int) -> NotebookNode: ...
