"""Every error that ragkit raises, split by what the caller can do about it.

```
RagkitError
├── ConfigError          fix a setting
├── MissingExtraError    install the named extra
├── InputError           fix the document, query, filter, schema or message that is named
│   ├── ContextExceeded  shorten the prompt, or ask for less
│   ├── ReplyTooLong     allow more tokens, or bound the schema of the reply
│   └── IndexMissing     ingest first, or name another index
├── ProviderError        a store, model or server failed; `retryable` says whether to try again
│   └── CallRefused      a wrapper refused a call before it reached the model; make it later
├── ToolError            a tool failed; the message is shown to the model
├── IndexMismatch        the index was built by another model or layout: rebuild it
└── IndexLocked          another process did not release the embedded index in time
```
"""

from collections.abc import Callable
from typing import Literal, TypeAlias

from ragkit.core.secrets import without_credentials

Failure: TypeAlias = Literal[
    "refused",
    "overloaded",
    "timeout",
    "broken_stream",
    "rejected",
    "no_grammar",
    "invalid_reply",
    "failed",
]
"""Kinds of failure of a provider: no connection; 429, 503 or a full queue; too slow; cut off within
a reply; a request that it refuses; a server that ignores or refuses grammars, or the schemas that
stand for them; replies that break their schema; anything else."""


class RagkitError(Exception):
    """Root of all errors raised by ragkit; no message has the password of a URL."""

    def __init__(self, message: str) -> None:
        """Keep the message, without user names and passwords of URLs in it."""
        super().__init__(without_credentials(message))

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...], dict[str, object]]:
        """Let the error be pickled with its facts, whatever arguments its class takes."""
        return _restored, (type(self), self.args), self.__dict__


def _restored(kind: type[RagkitError], arguments: tuple[object, ...]) -> RagkitError:
    return kind.__new__(kind, *arguments)


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
    """A document, query, filter, schema or message cannot be used as it is."""


class ContextExceeded(InputError):
    """Prompt and reply do not fit the model's context."""


class ReplyTooLong(InputError):
    """No reply of a grammar is as short as the tokens that are left for it."""


class IndexMissing(InputError):
    """There is no index where the settings say."""

    def __init__(self, location: str) -> None:
        """Say where, and how to make it."""
        super().__init__(f"No index at {location!r}. Fix: ragkit ingest PATH --index {location}")


class ProviderError(RagkitError):
    """A store, a model or a remote server failed.

    Attributes:
        provider: Which one, for example `"qdrant-edge"`.
        status: HTTP status where there was one.
        retryable: Whether the same call may succeed later.
        failure: How it failed.
        retry_after_s: Seconds that the server asked to wait.
        partial: The part of a reply that had come before.
    """

    def __init__(  # noqa: PLR0913  # one argument for each thing that a caller can act upon
        self,
        message: str,
        *,
        provider: str,
        status: int | None = None,
        retryable: bool = False,
        failure: Failure = "failed",
        retry_after_s: float | None = None,
        partial: str = "",
    ) -> None:
        """Keep what a retry needs beside the message."""
        super().__init__(message)
        self.provider = provider
        self.status = status
        self.retryable = retryable
        self.failure = failure
        self.retry_after_s = retry_after_s
        self.partial = partial


class CallRefused(ProviderError):
    """A wrapper refused a call before it reached the model; it may be made later."""

    def __init__(
        self,
        message: str,
        *,
        provider: str,
        retryable: bool = True,
        retry_after_s: float | None = None,
    ) -> None:
        """Report a wrapper that is overloaded."""
        super().__init__(
            message,
            provider=provider,
            retryable=retryable,
            failure="overloaded",
            retry_after_s=retry_after_s,
        )


class ToolError(RagkitError):
    """A tool could not do what it was asked; the message is written for the model."""


class IndexMismatch(RagkitError):
    """An existing index was built by another model, text analysis or layout."""


class IndexLocked(RagkitError):
    """Another process did not release the embedded index in time."""
