"""The form of a part of a text, which says if it can answer a question at all.

Rules over English wording that no judged set tells: a change log says what changed and not how a
thing is, a number answers "how many", a sentence without its beginning answers nothing.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ragkit.answering.paragraph import asks
from ragkit.answering.question_kind import QuestionKind
from ragkit.answering.question_words import NAME
from ragkit.answering.units import Unit

_HISTORY = re.compile(
    r"\b(?:change ?log|release notes?|release history|what'?s new|unreleased|bug ?fixes)\b|"
    # A version alone or with its date; not a date alone, nor the number of a section such as 4.2.
    r"^\W*(?!\d\d?\.\d\d?\.\d{4}\b|(?:19|20)\d\d\.\d\d\.\d\d\b)"
    r"(?:(?:version |release )v?\d+\.\d+|v\d+\.\d+|\d+\.\d+\.\d+|"
    r"\d+\.\d+(?=[a-z]+\d|\W[\w ,/-]*\d{4}|\W+\d{4}))"
    r"(?:\.\d+)*(?:[a-z]+\d*)?\W*(?:[\w ,/-]*\d{4}[\d/-]*)?\W*$",
    re.IGNORECASE,
)
_VERSION = re.compile(r"\d+(?:\.\d+)+")
_NOT_LATIN = re.compile(r"[^\W\d_A-Za-z\u00aa-\u024f]")
"""A letter of another script: the wording of such a question is not recognized."""
_ASKS_HISTORY = re.compile(
    r"\b(?:(?:which|what|since|in|from) version|change[sd]?|changelog|release[sd]?|new|"
    r"since|deprecated?|removed|dropped|added|"
    r"introduced|fixed|upgrad\w+|migrat\w+|when)\b",
    re.IGNORECASE,
)
_ASKS_NUMBER = re.compile(
    r"\bhow (?:many|much|old|far|tall|big|large|fast|high|deep|wide)\b|"
    r"\bwhat (?:is|are|was) (?:the|its|your|our|their) (?:\S+ ){0,3}(?:number|size|length|height|"
    r"width|weight|port|maximum|minimum|limit|percentage|price|cost|capacity)\b|"
    r"^(?:(?:at|on|in|to) )?(?:what|which) (?:port|year|age)\b",
    re.IGNORECASE,
)
_NUMBER = re.compile(
    r"\d|\b(?:no|none|never|always|once|twice|one|two|three|four|five|six|seven|eight|nine|ten|"
    r"eleven|twelve|twenty|thirty|forty|fifty|sixty|hundred|thousand|million|dozen|half|"
    r"unlimited|infinit\w+|daily|weekly|monthly|yearly|hourly|every|per)\b",
    re.IGNORECASE,
)
_ASKS_DURATION = re.compile(
    r"\bhow (?:long|often)\b|\bwhat (?:is|are|was) (?:the|its) (?:\S+ ){0,3}(?:timeout|"
    r"duration|interval|delay)\b",
    re.IGNORECASE,
)
_DURATION = re.compile(
    r"\d|\b(?:(?:milli|micro)?seconds?|minutes?|hours?|days?|weeks?|months?|years?|decades?|"
    r"centur(?:y|ies)|none|no timeout|never|always|forever|infinit\w+|daily|weekly|monthly|yearly|"
    r"hourly|once|every)\b",
    re.IGNORECASE,
)
_ASKS_DATE = re.compile(
    r"^when (?:was|were|did|had)\b|\b(?:what|which) (?:year|date|month|century)\b", re.IGNORECASE
)
_DATE = re.compile(
    r"(?<![\d,.])[12]\d{3}(?!\d|,\d)|\b\d+(?:st|nd|rd|th)\b|"
    r"\b(?:january|february|march|april|may|june|july|august|september|october|november|december|"
    r"centur(?:y|ies)|decades?|ago|BCE?|AD|years?|yesterday|today|monday|tuesday|wednesday|thursday|"
    r"friday|saturday|sunday|spring|summer|autumn|winter|after|before|during|until|since)\b",
    re.IGNORECASE,
)
_TYPED = ((_ASKS_NUMBER, _NUMBER), (_ASKS_DURATION, _DURATION), (_ASKS_DATE, _DATE))
"""The wording of a question, and what an answer to it must hold."""
SAME_YEAR = re.compile(r"\b(?:the same|that) year\b", re.IGNORECASE)
YEAR = re.compile(r"(?<![\d,.])[12]\d{3}(?!\d|[.,]\d)")
_FIELD = re.compile(
    r"(?:types?|defaults?|alias(?:es)?|added in|since|version|deprecated|returns?|stability|"
    r"status)\s*:",
    re.IGNORECASE,
)
_STATES_DEFAULT = re.compile(
    r"\bdefaults?:|\bdefaults? (?:is|are|to|value)\b|\(default|\[default|\bby default\b|"
    r"; default\b|\bdefault [\w.]+ (?:is|are)\b",
    re.IGNORECASE,
)
_ASKS_MEANING = re.compile(
    r"^what(?:'s| is| are| does| do) (?:an? |the )?(?P<name>[^\s?]+(?: [^\s?]+){0,3}?)"
    r"(?: (?:option|flag|function|method|command|setting|parameter|argument|class))?"
    r"(?: (?:do|for|used for|mean|good for))?\W*$",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Suitability:
    """Marks of a unit as the answer to a question, each 0 or 1 unless it says more.

    Attributes:
        asks: A sentence that is a question itself, as in a list of frequent questions.
        code: Code, but 1/3 where the question asks for instructions.
        fragment: A sentence whose beginning is in another passage.
        refers: A sentence that needs the one before it: "It ...", "So, ...".
        history: From a list of changes, where the question is not about changes.
        mistyped: Without a number, duration or date, where the question asks for one.
        default: States a default, where the question asks for one.
        defines: Says what the thing is that the question asks about.
        named: Under a heading that is the name that the question asks about, or its entry.
        field: A type, default or version, where the question asks for more than a fact.
        opens: The first of its section, where the question asks for an explanation.
        listed: An item, a row or what announces a list, where the question asks for several.
    """

    asks: float
    code: float
    fragment: float
    refers: float
    history: float
    mistyped: float
    default: float
    defines: float
    named: float
    field: float
    opens: float
    listed: float


_REFERS_BACK = re.compile(
    r"(?:it|its|this|these|those|they|their|them|he|she|his|her|such|that|however|therefore|thus|"
    r"hence|then|also|instead|otherwise|additionally|furthermore|moreover|but|and|so|"
    r"the (?:former|latter|same)|in (?:this|that|these|those) (?:cases?|example)|as a result|"
    r"for (?:example|instance))\b",
    re.IGNORECASE,
)


def refers_back(text: str) -> bool:
    """Return True for a sentence that needs the one before it."""
    return bool(_REFERS_BACK.match(text))


def dated_before(text: str, before: Sequence[str]) -> int | None:
    """Return the place of the text whose year "in the same year" means, None where none is meant.

    Args:
        text: The sentence that may refer to a year.
        before: The sentences before it.
    """
    if not SAME_YEAR.search(text):
        return None
    return max((at for at, one in enumerate(before) if YEAR.search(one)), default=None)


def announces(text: str) -> bool:
    """Return True for a sentence that ends in a colon, of a list or code after it."""
    return text.endswith((":", "\uff1a"))


def starts_midway(unit: Unit) -> bool:
    """Return True for a sentence or row whose beginning is in another passage."""
    return unit.kind in {"sentence", "row"} and unit.text[0].islower()


@dataclass(frozen=True, slots=True)
class AskedForm:
    """The form of a question and of what answers it."""

    question: str
    kind: QuestionKind

    def suitability(self, unit: Unit, headings: str) -> Suitability:
        """Return the marks of a unit under its headings."""
        text, question = unit.text, self.question
        code = (1 / 3 if self.kind == "steps" else 1.0) if unit.kind == "code" else 0.0
        worded = not _NOT_LATIN.search(question)
        history = worded and _is_history(headings) and not _asks_history(question, headings)
        mistyped = is_mistyped(question, text)
        wants_default = "default" in question.lower()
        return Suitability(
            asks=float(asks(text)),
            code=code,
            fragment=float(starts_midway(unit) and unit.start == 0),
            refers=float(unit.kind == "sentence" and refers_back(text)),
            history=float(history),
            mistyped=float(mistyped),
            default=float(wants_default and bool(_STATES_DEFAULT.search(text))),
            defines=float(_defines(question, text)),
            named=float(_is_named(question, unit)),
            field=float(worded and self.kind != "fact" and bool(_FIELD.match(text))),
            opens=float(worded and self.kind == "explanation" and unit.opens),
            listed=float(self.kind == "list" and _is_listed(unit)),
        )


def asks_date(question: str) -> bool:
    """Return True for a question that asks for a year or a date."""
    return bool(_ASKS_DATE.search(question))


def is_mistyped(question: str, text: str) -> bool:
    """Return True for a text without the number, duration or date that a question asks for."""
    return any(asks.search(question) and not says.search(text) for asks, says in _TYPED)


def _asks_history(question: str, headings: str) -> bool:
    named = {*_VERSION.findall(question)} & {*_VERSION.findall(headings)}
    return bool(_ASKS_HISTORY.search(question) or named)


def _is_history(headings: str) -> bool:
    return any(_HISTORY.search(heading) for heading in headings.split(" > "))


def _is_named(question: str, unit: Unit) -> bool:
    """Return True for the section or the entry of what a question names: `--omit` and "omit"."""
    names = [name.strip(".:/") for name in NAME.findall(question)]
    entry = unit.kind in {"item", "row"} and any(
        re.match(rf"(?:[\w ]+: )?{re.escape(name)}(?![\w.])", unit.text) for name in names
    )
    found = _ASKS_MEANING.match(question.strip())
    bare = _bare(unit.heading)
    asked = [*names, *([found["name"]] if found else [])]
    return entry or (bool(bare) and any(_bare(name) == bare for name in asked))


def _bare(name: str) -> str:
    return re.sub(r"\([^()]*\)|[^\w.]+", " ", name).strip(" .").casefold()


def _is_listed(unit: Unit) -> bool:
    return unit.kind in {"item", "row"} or announces(unit.text)


def _defines(question: str, text: str) -> bool:
    """Return True for "NAME is ..." where the question is "What is NAME?"."""
    found = _ASKS_MEANING.match(question.strip())
    if found is None:
        return False
    name = re.escape(found["name"].strip("`'\"()"))
    return bool(
        re.match(
            rf"(?:an? |the )?{name}(?:s|\(\))?(?: \([^)]*\))?,?"
            r"(?: \w+)? (?:is|are|was|were|means|refers to|describes|allows|provides|lets|does|"
            r"returns|stands for|can be|has|have|contains|holds|defines)\b",
            text,
            re.IGNORECASE,
        )
    )
