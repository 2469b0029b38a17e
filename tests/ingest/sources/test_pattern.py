"""Patterns: what they cover, and that a pattern that means nothing is refused."""

from typing import Any

import pytest

from ragkit import InputError
from ragkit.ingest.sources.pattern import PathPatterns


@pytest.mark.parametrize(
    ("include", "exclude", "path", "covered"),
    [
        ([], [], "a.md", True),
        (["*.pdf"], [], "sub/a.pdf", True),
        (["*.pdf"], [], "a.md", False),
        (["*.pdf", "*.md"], [], "a.md", True),
        ([], ["drafts/"], "drafts/a.md", False),
        ([], ["drafts/"], "sub/drafts/a.md", False),
        ([], ["/drafts/"], "sub/drafts/a.md", True),
        (["*.md"], ["README.md"], "sub/README.md", False),
        (["/2024/**/*.md"], [], "2024/may/a.md", True),
        (["/2024/**/*.md"], [], "old/2024/may/a.md", False),
    ],
)
def test_patterns_cover_paths_as_gitignore_does(
    include: list[str], exclude: list[str], path: str, covered: bool
) -> None:
    assert PathPatterns.of(include=include, exclude=exclude).covers(path) is covered


def test_a_narrowed_pattern_must_match_too() -> None:
    patterns = PathPatterns.of(include=["*.md"], exclude=["old/"]).narrowed("/sub/*")
    assert patterns.covers("sub/a.md")
    assert not patterns.covers("a.md")
    assert not patterns.covers("sub/a.txt")
    assert not patterns.covers("sub/old/a.md")


def test_a_single_pattern_may_be_a_string() -> None:
    assert PathPatterns.of(include="*.md").covers("a.md")


def test_excluded_folders_are_not_searched() -> None:
    patterns = PathPatterns.of(exclude=["node_modules/"])
    assert patterns.skips_folder("web/node_modules")
    assert not patterns.skips_folder("web")


@pytest.mark.parametrize("pattern", ["", "  ", "# comment", "!"])
def test_a_pattern_that_means_nothing_is_refused(pattern: str) -> None:
    with pytest.raises(InputError, match="Fix: write"):
        PathPatterns.of(exclude=[pattern])


@pytest.mark.parametrize("given", ["", [None], [5]])
def test_what_is_no_text_is_no_pattern(given: Any) -> None:
    with pytest.raises(InputError, match="is no pattern"):
        PathPatterns.of(include=given)
    with pytest.raises(InputError, match="is no pattern"):
        PathPatterns.of(exclude=given)
