"""Code that stands in a text without marks around it, recognised by its lines."""

import re
from collections.abc import Sequence
from textwrap import dedent

_SHARE = 0.6
_LONGEST_LINE = 200
_CODE = re.compile(
    r"""\s*(?:
        (?:>>>|\.\.\.|\$)[ ]\S.*
        | (?:import|package)[ ][\w.{*"'].*
        | from[ ][\w.]+[ ]import[ ].*
        | \#include[ ]?[<"].*
        | (?:async[ ])?def[ ]\w+\(.*
        | class[ ]\w+.*[:{]
        | (?:let|const|var)[ ][\w{\[(].*=.*
        | use[ ]\w+(?:::|\\).*
        | (?:pub|fn|impl)[ ]\w.*[{;(]
        | (?:sudo|pip3?|npm|npx|yarn|cargo|git|docker|curl|apt(?:-get)?|uv|brew|conda|rustup)
          [ ][\w./-]+.*(?<![.!?])
        | [\w.\[\]"']+[ ]*(?:=|:=|\+=)[ ]*[^=\s].*(?<![.!?])
        | [\w.]+\(.*\)[;,:]?
        | @\w[\w.]*(?:\(.*\))?
        | .*[{;]
        )\s*\Z""",
    re.VERBOSE,
)
_PERHAPS_CODE = re.compile(
    r"""\s*(?:
        //.* | /\*.* | \*/? | \#\s?\w.*
        | [\])}]+[;,)]*
        | \[[^\[\]]+\]
        | .*(?:->|=>|::|\(\)|&&|\|\|).*
        | .*[,(\[:\\]
        | [<"'].*[>,"']
        )\s*\Z""",
    re.VERBOSE,
)


def is_code(lines: Sequence[str]) -> bool:
    """Return True for lines most of which look like code, and one of them surely."""
    written = [line for line in dedent("\n".join(lines)).split("\n") if line.strip()]
    sure = sum(bool(_CODE.match(line)) for line in written)
    perhaps = sum(
        bool(_PERHAPS_CODE.match(line)) or line.startswith(("    ", "\t"))
        for line in written
        if not _CODE.match(line)
    )
    if written and written[0].lstrip().startswith(">>> "):
        return True
    if len(written) == 1:
        return bool(sure) and len(written[0]) < _LONGEST_LINE
    return bool(sure) and sure + perhaps >= _SHARE * len(written)
