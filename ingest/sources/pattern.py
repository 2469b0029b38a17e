"""Include and exclude patterns over the paths below a root, in the notation of `.gitignore`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self, cast

from ragkit.core.errors import InputError

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class PathPatterns:
    """The paths that a run covers: those that match every group of `includes`, and no exclusion."""

    includes: "tuple[GitIgnoreSpec, ...]" = ()
    excludes: "GitIgnoreSpec | None" = None

    @classmethod
    def of(cls, *, include: Sequence[str] = (), exclude: Sequence[str] = ()) -> Self:
        """Compile patterns such as `*.pdf`, `drafts/` or `/2024/**/*.md`.

        Raises:
            InputError: A pattern cannot be read.
        """
        return cls(
            includes=(_compiled(include),) if include or include == "" else (),
            excludes=_compiled(exclude) if exclude or exclude == "" else None,
        )

    def narrowed(self, pattern: str) -> "PathPatterns":
        """Return these patterns, for paths that match one more."""
        return PathPatterns(includes=(*self.includes, _compiled([pattern])), excludes=self.excludes)

    def covers(self, relative: str) -> bool:
        """Return whether a file's path, relative to the root, belongs to the run."""
        if self.excludes is not None and self.excludes.match_file(relative):
            return False
        return all(spec.match_file(relative) for spec in self.includes)

    def skips_folder(self, relative: str) -> bool:
        """Return whether nothing below a folder can belong to the run."""
        return self.excludes is not None and self.excludes.match_file(f"{relative}/")


def _compiled(patterns: Sequence[str]) -> "GitIgnoreSpec":
    from pathspec import GitIgnoreSpec

    lines = [patterns] if isinstance(patterns, str) else list(patterns)
    for line in lines:
        given = cast("object", line)  # callers need not be checked by types
        if not isinstance(given, str) or not given.strip() or given.startswith("#"):
            raise InputError(
                f"{line!r} is no pattern. Fix: write one such as '*.pdf' or 'drafts/'."
            )
    try:
        return GitIgnoreSpec.from_lines(lines)
    except ValueError as error:
        raise InputError(
            f"The patterns {lines!r} cannot be read: {error}. Fix: write them as in .gitignore, "
            "such as '*.pdf' or 'drafts/'."
        ) from error
