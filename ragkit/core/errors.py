"""Every error that ragkit raises, split by what the caller can do about it.

```
RagkitError
├── ConfigError          fix a setting
├── MissingExtraError    install the named extra
├── InputError           fix the document, query, filter or schema that is named
├── ProviderError        a store, model or server failed; `retryable` says whether to try again
├── ToolError            a tool failed; the message is shown to the model
├── BudgetExceeded       raise the budget or ask for less
├── IndexMismatch        the index was built by another model or layout: rebuild it
└── IndexLocked          another process has the embedded index open
```
"""


class RagkitError(Exception):
    """Root of all errors raised by ragkit."""


class ConfigError(RagkitError):
    """A setting is missing, unknown or contradicts another."""


class MissingExtraError(RagkitError):
    """An optional part is not installed; the message holds the command that installs it."""

    def __init__(self, module: str, *, extra: str) -> None:
        """Say which module is missing and which extra brings it."""
        super().__init__(
            f'{module!r} is not installed. Install it with: pip install "ragkit[{extra}]"'
        )
        self.module = module
        self.extra = extra


class InputError(RagkitError):
    """A document, query, filter or schema cannot be used as it is."""


class ProviderError(RagkitError):
    """A store, a model or a remote server failed.

    Attributes:
        provider: Which one, for example `"qdrant-edge"`.
        status: HTTP status where there was one.
        retryable: Whether the same call may succeed later.
    """

    def __init__(
        self, message: str, *, provider: str, status: int | None = None, retryable: bool = False
    ) -> None:
        """Keep what a retry needs beside the message."""
        super().__init__(message)
        self.provider = provider
        self.status = status
        self.retryable = retryable


class ToolError(RagkitError):
    """A tool could not do what it was asked; the message is written for the model."""


class BudgetExceeded(RagkitError):
    """A limit of steps, tokens, seconds or cost would be passed."""


class IndexMismatch(RagkitError):
    """An existing index was built by another model, text analysis or layout."""


class IndexLocked(RagkitError):
    """Another process holds the embedded index."""
