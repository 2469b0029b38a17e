"""Evidence first: verbatim quotes, then whether they suffice, then the answer, then citations."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from ragkit.core.errors import InputError
from ragkit.core.reply_grammar import JsonForm
from ragkit.core.text import sentences
from ragkit.grammar.ebnf import charset
from ragkit.grammar.ebnf.character_runs import closed_run
from ragkit.grammar.ebnf.expression import Expr, Lit, alt, rep, seq
from ragkit.grammar.ebnf.json_escapes import json_text
from ragkit.grammar.ebnf.rules import Rules
from ragkit.grammar.grammar import Built, Grammar, Recipe, load_json
from ragkit.grammar.limits import Limits
from ragkit.grammar.plain_text import require_text
from ragkit.grammar.schema.composition import object_schema
from ragkit.grammar.schema.values import Json
from ragkit.grammar.types.choices import choices

_LINE = re.compile(r"\S(?:.*\S)?")
_SILENT = Lit('{"quotes":[],"sufficient":false,"answer":"","citations":[]}')


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """A sentence of a passage: `passages[passage][start:end] == text`."""

    passage: str
    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """An answer with its evidence; both answer and citations are empty if it does not suffice."""

    quotes: tuple[Quote, ...]
    sufficient: bool
    answer: str
    citations: tuple[str, ...]


def quote_grammar(
    passages: Sequence[str] | Mapping[str, str],
    *,
    max_quotes: int = 3,
    language: str = "english",
    limits: Limits | None = None,
) -> Grammar[Evidence]:
    """Build the grammar of an answer that quotes its passages first.

    A reply is `{"quotes": [{"passage": id, "quote": sentence}, ...], "sufficient": bool, "answer":
    text, "citations": [id, ...]}`. Only whole sentences of the passage can be decoded as quotes
    (a sentence that is too long, such as a table, in lines or words), and only ids of passages as
    citations. With no quote, or when they don't suffice, the answer
    is empty and cites nothing; otherwise it cites at least one passage.

    Args:
        passages: Texts by id; a sequence gets the ids "1", "2" and so on.
        max_quotes: Greatest number of quotes, and of citations.
        language: Language whose sentence rules apply.
        limits: `string_length` bounds the answer and each quote.

    Raises:
        InputError: The passages are empty, or one is not Unicode text.
    """
    limits = limits or Limits()
    sources = _Quotable(texts=_by_id(passages), language=language, limits=limits)

    def build(limits: Limits, rules: Rules) -> Built:
        quote = alt(
            _quote(name, sources.spans(name, limits.string_length), rules) for name in sources.texts
        )
        spoken = _spoken(quote, [*sources.texts], max_quotes, limits, rules)
        return Built(root=alt([_SILENT, spoken]) or _SILENT, rules=rules, limits=limits)

    form = _form([*sources.texts], max_quotes)
    return Recipe(build, partial(_read, sources, max_quotes), form).grammar(limits)


_Spans = Mapping[str, tuple[int, int]]


def _by_id(passages: Sequence[str] | Mapping[str, str]) -> dict[str, str]:
    named = (
        passages
        if isinstance(passages, Mapping)
        else dict(zip(map(str, range(1, len(passages) + 1)), passages, strict=True))
    )
    if not named:
        raise InputError(
            "quote_grammar needs at least one passage, but got none. Fix: pass the passages that "
            "were retrieved."
        )
    for name, text in named.items():
        require_text(name)
        require_text(text)
    return dict(named)


def _parts(text: str, start: int, end: int, longest: int) -> Iterator[tuple[int, int]]:
    """Yield a sentence; a too long one as lines; a too long line as groups of words."""
    if end - start <= longest:
        yield start, end
        return
    for line in _LINE.finditer(text, start, end):
        if line.end() - line.start() <= longest:
            yield line.span()
        else:
            words = re.compile(rf"(?<!\S)\S(?:.{{0,{max(0, longest - 2)}}}\S)?(?!\S)")
            yield from (part.span() for part in words.finditer(text, *line.span()))


def _quote(name: str, spans: _Spans, rules: Rules) -> Expr | None:
    options = choices(map(json_text, spans), rules)
    return seq(Lit(f'{{"passage":{json_text(name)},"quote":'), options, Lit("}"))


def _spoken(
    quote: Expr | None, names: list[str], most: int, limits: Limits, rules: Rules
) -> Expr | None:
    if quote is None or most < 1:
        return None
    one = rules.add(quote)
    name = choices(map(json_text, names), rules)
    answer = closed_run(charset.TEXT, 1, limits.string_length, rules)
    cited = seq(name, rep(seq(Lit(","), name), 0, min(most, len(names)) - 1))
    enough = seq(Lit('true,"answer":"'), answer, Lit(',"citations":['), cited, Lit("]}"))
    return seq(
        Lit('{"quotes":['),
        one,
        rep(seq(Lit(","), one), 0, most - 1),
        Lit('],"sufficient":'),
        alt([enough, Lit('false,"answer":"","citations":[]}')]),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Quotable:
    """The passages that a reply quotes, decoded under these limits, tighter or wide ones."""

    texts: Mapping[str, str]
    language: str
    limits: Limits

    def spans(self, name: str, longest: int) -> _Spans:
        """Return the quotable texts of a passage, each with its first place in it.

        Args:
            name: Id of the passage.
            longest: Greatest length of a quote, in characters.
        """
        text, found = self.texts[name], dict[str, tuple[int, int]]()
        for sentence in sentences(text, language=self.language):
            for start, end in _parts(text, *sentence, longest):
                found.setdefault(text[start:end], (start, end))
        return found

    def place(self, name: str, quote: str) -> tuple[int, int]:
        """Return the start and end of the quote in the passage."""
        bounded = self.limits.bounded()
        limits = (self.limits, bounded, self.limits.wide(), *bounded.tightened())
        for longest in dict.fromkeys(found.string_length for found in limits):
            spans = self.spans(name, longest)
            if quote in spans:
                return spans[quote]
        raise InputError(
            f"The reply quotes {quote[:200]!r}, which is no sentence of passage {name!r}."
        )


def _form(names: list[str], most: int) -> JsonForm:
    """Return the form of an answer; that quotes are sentences is checked when it is read."""
    name: Json = {"type": "string", "enum": [*names]}
    quote = object_schema(passage=name, quote={"type": "string"})
    return JsonForm(
        schema=object_schema(
            quotes={"type": "array", "items": quote, "maxItems": most},
            sufficient={"type": "boolean"},
            answer={"type": "string"},
            citations={"type": "array", "items": name, "maxItems": most},
        )
    )


def _read(sources: _Quotable, most: int, text: str) -> Evidence:
    value = load_json(text)
    try:
        quotes = [
            _read_quote(found["passage"], found["quote"], sources) for found in value["quotes"]
        ]
        citations = tuple(dict.fromkeys(value["citations"]))
        sufficient, answer = value["sufficient"], value["answer"]
    except (KeyError, TypeError) as error:
        raise InputError(f"The reply is no quoted answer: {text[:300]!r}") from error
    if not isinstance(sufficient, bool) or not isinstance(answer, str):
        raise InputError(
            f"sufficient must be true or false, and answer a text, in the reply {text[:300]!r}"
        )
    if len(quotes) > most:
        raise InputError(f"The reply has {len(quotes)} quotes, but may have {most}: {text[:300]!r}")
    if (
        sufficient != bool(quotes and answer and citations)
        or bool(answer or citations) > sufficient
    ):
        raise InputError(
            "The reply is contradictory: it has quotes, an answer and citations where the passages "
            f"are sufficient, and neither answer nor citations otherwise: {text[:300]!r}"
        )
    if not set(citations) <= sources.texts.keys():
        known = [*sources.texts]
        raise InputError(f"The reply cites {citations!r}, but the passages are {known!r}.")
    return Evidence(quotes=tuple(quotes), sufficient=sufficient, answer=answer, citations=citations)


def _read_quote(name: str, text: str, sources: _Quotable) -> Quote:
    start, end = sources.place(name, text)
    return Quote(passage=name, text=text, start=start, end=end)
