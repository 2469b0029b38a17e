"""Compiling grammars with xgrammar: cached by content, under a time limit."""

import threading
from collections import OrderedDict
from concurrent.futures import Future
from typing import TYPE_CHECKING

from ragkit.core.errors import InputError, MissingExtraError
from ragkit.core.operation import Operation
from ragkit.grammar.grammar import Grammar

if TYPE_CHECKING:
    import xgrammar

_CAPACITY = 256
_TOKENIZERS = 4
_lock = threading.Lock()
_compilers: "OrderedDict[int, _Compiler]" = OrderedDict()


class _Compiler:
    """The xgrammar compiler of one tokenizer, which reuses token masks between grammars."""

    def __init__(self, info: "xgrammar.TokenizerInfo") -> None:
        import xgrammar

        self.info = info
        # xgrammar's own cache would keep every grammar; its cache of token masks is what counts.
        self._compiler = xgrammar.GrammarCompiler(
            info, max_threads=2, cache_enabled=True, cache_limit_bytes=1 << 29
        )
        self._done: OrderedDict[str, Future[xgrammar.CompiledGrammar]] = OrderedDict()

    def start(self, ebnf: str) -> "Future[xgrammar.CompiledGrammar]":
        """Return the compilation of a grammar, started now or earlier."""
        with _lock:
            if ebnf in self._done:
                self._done.move_to_end(ebnf)
                return self._done[ebnf]
            future: Future[xgrammar.CompiledGrammar] = Future()
            self._done[ebnf] = future
            while len(self._done) > _CAPACITY:
                self._done.popitem(last=False)
        threading.Thread(target=self._run, args=(ebnf, future), daemon=True).start()
        return future

    def _run(self, ebnf: str, future: "Future[xgrammar.CompiledGrammar]") -> None:
        try:
            future.set_result(self._compiler.compile_grammar(ebnf))
        except Exception as error:  # noqa: BLE001  # whatever xgrammar raises goes to the caller
            future.set_exception(error)


def compile_grammar(
    grammar: Grammar[object] | str,
    tokenizer_info: "xgrammar.TokenizerInfo",
    *,
    timeout_s: float = 30.0,
) -> "xgrammar.CompiledGrammar":
    """Compile a grammar for a tokenizer, or take it from the cache.

    A compilation that exceeds the limit goes on in its thread, so that a later call may find it
    done.

    Raises:
        InputError: The grammar is malformed, or takes longer than `timeout_s` to compile.
        MissingExtraError: xgrammar is not installed.
    """
    ebnf = grammar if isinstance(grammar, str) else grammar.ebnf
    future = _compiler(tokenizer_info).start(ebnf)
    try:
        with Operation(kind="grammar", name="compile", facts={"grammar_bytes": len(ebnf)}):
            return future.result(timeout_s)
    except TimeoutError as error:
        raise InputError(
            f"The grammar of {len(ebnf)} characters takes longer than {timeout_s} s to compile. "
            "Fix: lower its limits, or split the schema."
        ) from error
    except Exception as error:
        raise InputError(f"xgrammar rejects the grammar: {error}") from error


def _compiler(info: "xgrammar.TokenizerInfo") -> _Compiler:
    try:
        with _lock:
            if id(info) not in _compilers:
                _compilers[id(info)] = _Compiler(info)
            while len(_compilers) > _TOKENIZERS:
                _compilers.popitem(last=False)
            return _compilers[id(info)]
    except ImportError as error:
        raise MissingExtraError("xgrammar", extra="local") from error
