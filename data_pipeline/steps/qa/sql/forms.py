"""Forms by which queries and questions are compared. Pure.

    normal form   the same for different spellings:  b.y = a.x AND (z > 1)  ->  and(eq(#0.0.x, #0.1.y), lt(1, z))
    skeleton      the normal form, every value as `?`
    shape         the skeleton, every name as `_`

A form is a text for comparing and counting, not SQL to run. Two queries with one normal form give the same rows on
every database on which both run, as long as the columns of one comparison share a collation. Equivalent queries may
have different forms.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Any, Final, Literal

from sqlglot import exp

_BARE: Final = re.compile(r"[^\W\d][\w$]*")
_UPPER: Final = re.compile("[A-Z]")
_LOWERED: Final = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}
"""Folds only ASCII, as databases do for identifiers."""

_DERIVED: Final = frozenset({"big_int", "_type"})
"""Arguments by the parser that are not part of the text."""

_WORDS: Final = frozenset({"side", "kind", "method", "start", "start_side", "end", "end_side", "exclude", "over"})
"""Arguments that are keywords, in the case of the text."""

_TURNED: Final[dict[type[exp.Expr], str]] = {exp.GT: "lt", exp.GTE: "lte"}
_COMMUTATIVE: Final = frozenset({exp.EQ, exp.NEQ, exp.NullSafeEQ, exp.NullSafeNEQ})
_FORMATS: Final[dict[type[exp.Expr], str]] = {exp.TimeToStr: "format", exp.StrToDate: "format", exp.DateTrunc: "unit"}
_DATE_FUNCTIONS: Final = frozenset({"strftime", "date_part"})


def normal_form(expression: exp.Expr) -> str:
    """Return one text for equivalent spellings of a query.

    It ignores: the case of keywords and unquoted names, redundant parentheses, aliases of tables, the only table before
    its columns, the order of operands of AND, OR, IN and `=`, `a > b` or `b < a`, redundant INNER and OUTER. A query
    that is nested too deeply is its own form.
    """
    return _form(expression, hides_values=False, hides_names=False)


def skeleton_of(expression: exp.Expr) -> str:
    """Return the normal form with every value as `?`, and a list of values as one.

    Positions in ORDER BY, and formats and parts of dates, are not values, because they change the question.
    """
    return _form(expression, hides_values=True, hides_names=False)


def shape_of(expression: exp.Expr) -> str:
    """Return the skeleton with every name as `_`; queries of one shape differ only in names and values."""
    return _form(expression, hides_values=True, hides_names=True)


def _form(expression: exp.Expr, *, hides_values: bool, hides_names: bool) -> str:
    try:
        writer = _Writer(hides_values=hides_values, hides_names=hides_names, keeps_aliases=False)
        text = writer.write(expression)
        if writer.is_doubtful:
            text = _Writer(hides_values=hides_values, hides_names=hides_names, keeps_aliases=True).write(expression)
        return text
    except RecursionError:
        return expression.sql(comments=False)


@dataclass
class _Scope:
    """The sources of a SELECT by lower-case name: the name as written, and its place."""

    sources: dict[str, tuple[str, int]]
    is_single: bool
    outputs: frozenset[str]
    has_unnamed_outputs: bool
    is_ordering: bool = False


class _Writer:
    """Writes one form of one query.

    `is_doubtful`: the meaning of a name depends on the database, so aliases must be kept.
    """

    def __init__(self, *, hides_values: bool, hides_names: bool, keeps_aliases: bool) -> None:
        self.is_doubtful = False
        self._hides_values = hides_values
        self._hides_names = hides_names
        self._keeps_aliases = keeps_aliases
        self._scopes: list[_Scope] = []

    def write(self, node: exp.Expr) -> str:
        special = _SPECIAL.get(type(node))
        return self._plain(node) if special is None else special(self, node)

    def _plain(self, node: exp.Expr, **written: str) -> str:
        """Write every argument that is set, by name, except those that are `written` already."""
        parts = []
        for name, value in sorted(node.args.items()):
            if value is None or value is False or value == [] or name in _DERIVED:
                continue
            text = written[name] if name in written else self._value(name, value)
            if text:
                parts.append(text if name == "this" else f"{name}={text}")
        return f"{node.key}({', '.join(parts)})"

    def _value(self, name: str, value: Any) -> str:
        if isinstance(value, exp.Expr):
            return self.write(value)
        if isinstance(value, list):
            return f"[{', '.join([self._value(name, item) for item in value])}]"
        if isinstance(value, str) and name in _WORDS:
            return value.lower()
        return _quoted(value) if isinstance(value, str) else str(value)

    def paren(self, node: exp.Expr) -> str:
        return self.write(node.this)

    def literal(self, node: exp.Expr) -> str:
        if self._hides_values:
            return "?"
        return _quoted(node.this) if node.args.get("is_string") else str(node.this)

    def _shown(self, node: exp.Expr) -> str:
        """Write a literal that is not a value, and so is not replaced."""
        if not isinstance(node, exp.Literal):
            return self.write(node)
        return _quoted(node.this) if node.is_string else str(node.this)

    def boolean(self, node: exp.Expr) -> str:
        return "?" if self._hides_values else str(node.this).lower()

    def negative(self, node: exp.Expr) -> str:
        is_value = self._hides_values and isinstance(node.this, exp.Literal)
        return "?" if is_value else self._plain(node)

    def var(self, node: exp.Expr) -> str:
        return str(node.this).lower()

    def identifier(self, node: exp.Expr) -> str:
        return "_" if self._hides_names else _folded(node)

    def connected(self, node: exp.Expr) -> str:
        """Write AND or OR over all its operands, in one order."""
        class_, found, waiting = type(node), [], [node]
        while waiting:
            one = waiting.pop()
            while type(one) is exp.Paren:
                one = one.this
            if type(one) is class_:
                waiting += [one.args["this"], one.args["expression"]]
            else:
                found.append(self.write(one))
        return f"{node.key}({', '.join(sorted(found))})"

    def compared(self, node: exp.Expr) -> str:
        left, right = self.write(node.args["this"]), self.write(node.args["expression"])
        if "collate(" in left or "collate(" in right:  # the left operand decides
            return f"{node.key}({left}, {right})"
        if type(node) in _COMMUTATIVE and right < left:
            left, right = right, left
        turned = _TURNED.get(type(node))
        return f"{turned}({right}, {left})" if turned else f"{node.key}({left}, {right})"

    def in_list(self, node: exp.Expr) -> str:
        items = sorted(self.write(item) for item in node.args.get("expressions") or ())
        if self._hides_values:
            items = sorted(set(items))
        return self._plain(node, expressions=f"[{', '.join(items)}]")

    def ordered(self, node: exp.Expr) -> str:
        return self._plain(node, this=self._shown(node.this))

    def group(self, node: exp.Expr) -> str:
        return self._plain(node, expressions=f"[{', '.join([self._shown(item) for item in node.expressions])}]")

    def dated(self, node: exp.Expr) -> str:
        name = _FORMATS[type(node)]
        value = node.args.get(name)
        return self._plain(node, **({name: self._shown(value)} if isinstance(value, exp.Expr) else {}))

    def named_function(self, node: exp.Expr) -> str:
        name = str(node.name).lower()
        items = list(node.expressions)
        shown = [self._shown(item) for item in items[:1]] if name in _DATE_FUNCTIONS else []
        rest = [self.write(item) for item in items[len(shown) :]]
        return f"{node.key}({name}, [{', '.join([*shown, *rest])}])"

    def alias(self, node: exp.Expr) -> str:
        return self.write(node.this) if self._hides_names else self._plain(node)

    def column(self, node: exp.Expr) -> str:
        args = node.args
        is_star = type(args["this"]) is exp.Star
        if self._hides_names:
            return "star()" if is_star else "_"
        name, table = self.write(args["this"]), args.get("table")
        if table is None:
            # A whole row is written like a column, so its alias must stay.
            if len(self._scopes) > 1 and any(_key(args["this"]) in scope.sources for scope in self._scopes):
                self.is_doubtful = True
            return name
        if args.get("db") is not None:
            return ".".join(_folded(args[part]) for part in ("catalog", "db", "table") if args.get(part)) + f".{name}"
        place = None if self._keeps_aliases else self._place(table)
        if place is None:
            return f"{_folded(table)}.{name}"
        innermost = self._scopes[-1]
        is_plain = place[0] == len(self._scopes) - 1 and innermost.is_single and name not in innermost.outputs
        if is_plain and is_star:
            is_plain = isinstance(node.parent, exp.Select)
        if is_plain and not (innermost.is_ordering and innermost.has_unnamed_outputs):
            return name
        return f"#{place[0]}.{place[1]}.{name}"

    def _place(self, qualifier: exp.Expr) -> tuple[int, int] | None:
        """Return the source and the scope of a name before a dot."""
        for depth in range(len(self._scopes) - 1, -1, -1):
            found = self._scopes[depth].sources.get(_key(qualifier))
            if found is not None:
                if found[0] != _folded(qualifier):
                    self.is_doubtful = True
                return depth, found[1]
        return None

    def select(self, node: exp.Expr) -> str:
        args = node.args
        written = {}
        if args.get("with_") is not None:
            written["with_"] = self.write(args["with_"])
        from_, joins = args.get("from_"), args.get("joins") or []
        # A query in FROM does not see the other sources, unless it is LATERAL.
        sources = [one.this for one in ([from_] if from_ is not None else []) + joins]
        texts = [None if type(source) is exp.Lateral else self._source(source) for source in sources]
        self._scopes.append(self._scope(node, sources))
        texts = [self._source(source) if text is None else text for source, text in zip(sources, texts, strict=True)]
        if from_ is not None:
            written["from_"] = self._plain(from_, this=str(texts[0]))
        if joins:
            own = texts[len(sources) - len(joins) :]
            written["joins"] = (
                f"[{', '.join([self._join(one, str(text)) for one, text in zip(joins, own, strict=True)])}]"
            )
        order = args.get("order")
        if order is not None:
            self._scopes[-1].is_ordering = True
            written["order"] = self.write(order)
            self._scopes[-1].is_ordering = False
        text = self._plain(node, **written)
        self._scopes.pop()
        return text

    def _scope(self, select: exp.Expr, sources: Sequence[exp.Expr]) -> _Scope:
        found: dict[str, tuple[str, int]] = {}
        for place, source in enumerate(sources):
            if type(source) not in _SOURCES or source.args.get("joins") or type(source.this) is exp.Table:
                self.is_doubtful = True
                continue
            alias = source.args.get("alias")
            identifier = alias.this if alias is not None else source.this if type(source) is exp.Table else None
            if isinstance(identifier, exp.Identifier):
                key = _key(identifier)
                self.is_doubtful |= key in found
                found[key] = (_folded(identifier), place)
        outputs, has_unnamed = set(), False
        for output in select.args.get("expressions") or ():
            if type(output) is exp.Alias:
                outputs.add(_folded(output.args["alias"]))
            else:
                # PostgreSQL names such an output after its function, and ORDER BY can refer to it.
                has_unnamed |= type(output) not in (exp.Column, exp.Star)
        return _Scope(found, len(sources) == 1, frozenset(outputs), has_unnamed)

    def _source(self, node: exp.Expr) -> str:
        alias = node.args.get("alias")
        if alias is None or (self._keeps_aliases and not self._hides_names):
            return self._plain(node)
        columns = alias.args.get("columns")
        return self._plain(node, alias=self._value("columns", columns) if columns else "")

    def _join(self, node: exp.Expr, source: str) -> str:
        side, kind = (str(node.args.get(name) or "").lower() for name in ("side", "kind"))
        says_nothing = kind == ("outer" if side else "inner")
        return self._plain(node, this=source, **({"kind": ""} if says_nothing else {}))


_SOURCES: Final = frozenset({exp.Table, exp.Subquery, exp.Lateral, exp.Values})
_SPECIAL: Final[dict[type[exp.Expr], Callable[[_Writer, Any], str]]] = {
    exp.Paren: _Writer.paren,
    exp.Literal: _Writer.literal,
    exp.Boolean: _Writer.boolean,
    exp.Neg: _Writer.negative,
    exp.Var: _Writer.var,
    exp.Identifier: _Writer.identifier,
    exp.And: _Writer.connected,
    exp.Or: _Writer.connected,
    exp.In: _Writer.in_list,
    exp.Ordered: _Writer.ordered,
    exp.Group: _Writer.group,
    exp.Anonymous: _Writer.named_function,
    exp.Alias: _Writer.alias,
    exp.Column: _Writer.column,
    exp.Select: _Writer.select,
    **dict.fromkeys((*_COMMUTATIVE, exp.GT, exp.GTE, exp.LT, exp.LTE), _Writer.compared),
    **dict.fromkeys(_FORMATS, _Writer.dated),
}


def _folded(node: exp.Expr) -> str:
    """Return an identifier, in quotes if they make a difference."""
    name = str(node.this)
    if not node.args.get("quoted"):
        name = name.lower() if name.isascii() else name.translate(_LOWERED)
    elif _UPPER.search(name):
        return '"' + name.replace('"', '""') + '"'
    return name if _BARE.fullmatch(name) else '"' + name.replace('"', '""') + '"'


def _key(node: exp.Expr) -> str:
    """Return an identifier folded to lower case."""
    return str(node.this).lower()


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


_CLAUSE_OF: Final[dict[type[exp.Expr], str]] = {
    exp.Where: "where", exp.Group: "group by", exp.Having: "having", exp.Order: "order by", exp.Limit: "limit",
    exp.Fetch: "limit", exp.Offset: "offset", exp.Join: "join", exp.Like: "like", exp.ILike: "like",
    exp.SimilarTo: "like", exp.Glob: "like", exp.In: "in", exp.Between: "between", exp.Or: "or", exp.Not: "not",
    exp.Exists: "exists", exp.Union: "union", exp.Intersect: "intersect", exp.Except: "except", exp.Case: "case",
    exp.Window: "window", exp.With: "with", exp.Count: "count", exp.Sum: "sum", exp.Avg: "avg", exp.Min: "min",
    exp.Max: "max", exp.Extract: "date part", exp.TimeToStr: "date part", exp.DateTrunc: "date part",
    exp.TimestampTrunc: "date part", exp.Year: "date part", exp.Month: "date part", exp.Day: "date part",
    exp.Add: "arithmetic", exp.Sub: "arithmetic", exp.Mul: "arithmetic", exp.Div: "arithmetic",
    exp.IntDiv: "arithmetic", exp.Mod: "arithmetic", exp.Cast: "cast", exp.Coalesce: "coalesce",
}  # fmt: skip

_OF_QUERIES: Final = frozenset({exp.Where, exp.Order})
"""Nodes that windows and aggregates have too; there they are not clauses of the query."""


def clauses_of(expression: exp.Expr) -> frozenset[str]:
    """Return the clauses of a query at any depth; IS NOT NULL is `is null` and `not`."""
    return frozenset(_clauses(expression))


def _clauses(expression: exp.Expr) -> Iterator[str]:
    for node in expression.walk():
        class_ = type(node)
        if class_ in _CLAUSE_OF and (class_ not in _OF_QUERIES or isinstance(node.parent, exp.Query)):
            yield _CLAUSE_OF[class_]
        if class_ is exp.Join and node.args.get("side"):
            yield f"{node.args['side'].lower()} join"
        elif class_ is exp.Is and isinstance(node.args["expression"], exp.Null):
            yield "is null"
            if node.args.get("negate"):
                yield "not"
        elif class_ is exp.Distinct and isinstance(node.parent, exp.Select | exp.Count):
            yield "distinct" if isinstance(node.parent, exp.Select) else "count distinct"
        elif class_ is exp.Anonymous and str(node.name).lower() in _DATE_FUNCTIONS:
            yield "date part"
        elif isinstance(node, exp.Select | exp.SetOperation) and _is_nested(node):
            yield "subquery"


def _is_nested(query: exp.Expr) -> bool:
    """True if a query is inside a clause of another one, but not half of a UNION or part of WITH."""
    parent = query.parent
    while isinstance(parent, exp.Subquery) and not isinstance(parent.parent, exp.From | exp.Join):
        if parent.parent is None:
            return False
        parent = parent.parent
    return parent is not None and not isinstance(parent, (exp.SetOperation, exp.CTE))


class _Folding(dict[int, "str | None"]):
    """Map the characters of a question, each computed once; punctuation and separators split words."""

    def __missing__(self, code: int) -> str | None:
        sign = chr(code)
        category = unicodedata.category(sign)
        kept: str | None = sign
        if category == "Cf":  # an invisible character that joins or splits words
            kept = None
        elif category[0] in "PZC" and sign not in "%.-":
            kept = " "
        self[code] = kept
        return kept


_FOLDING: Final = _Folding()
_MARK: Final = re.compile(r"(?<!\d)\.|\.(?!\d)|(?<=\w)-|-(?!\d)")
"""Points and dashes that are not part of a number."""

_CJK: Final = (
    "\u3005\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # han and kana
)
_WORD: Final = re.compile(rf"[{_CJK}]|[^\s{_CJK}]+")


def normal_question(text: str) -> str:
    """Return a question without differences of case, width, punctuation and spaces.

    Signs that compare or measure stay (`<`, `%`, `$`), as do the point and the minus of a number.
    """
    if not text.isascii():
        text = unicodedata.normalize("NFKC", unicodedata.normalize("NFD", text).casefold())
    folded = unicodedata.normalize("NFKC", text.casefold()).translate(_FOLDING)
    if not text.isascii():
        folded = unicodedata.normalize("NFKC", folded)  # removed characters may have joined others
    return " ".join(_MARK.sub(" ", folded).split())


def question_words(text: str) -> list[str]:
    """Return the words of a question; in Chinese and Japanese every character is a word."""
    return _WORD.findall(normal_question(text))


def distinct_share(questions: Iterable[str], n: int) -> float:
    """Return distinct-n of questions, from 0 to 1: the share of different sequences of `n` words; 0 without any."""
    count, found = 0, set()
    for question in questions:
        words = question_words(question)
        runs = [tuple(words[start : start + n]) for start in range(len(words) - n + 1)]
        count += len(runs)
        found.update(runs)
    return len(found) / count if count else 0.0


LIKENESS: Final = 0.8
"""Minimum Jaccard index of the word trigrams of near-duplicate questions.

Another last word leaves (n - 1) / (n + 1) of n trigrams, another one in the middle (n - 3) / (n + 3): at 0.8 a question
of eleven words may differ in its last word, one of twenty-nine in any. Below that, questions have another meaning.
"""

_LIKENESS_PERCENT: Final = round(100 * LIKENESS)


@dataclass
class Duplicates:
    """The accepted pairs, for the comparison with new ones.

    Two similar sets share one of their first few members in any fixed order (prefix filter), so only such questions
    are compared, and only if their lengths allow it.
    """

    _forms: set[str] = field(default_factory=set)
    _questions: set[str] = field(default_factory=set)
    _skeletons: set[str] = field(default_factory=set)
    _trigrams: dict[str, dict[int, list[frozenset[str]]]] = field(default_factory=lambda: defaultdict(dict))
    _last: tuple[exp.Expr, tuple[str, str]] | None = None

    def add(self, question: str, expression: exp.Expr) -> None:
        """Record a pair."""
        form, skeleton = self._forms_of(expression)
        self._forms.add(form)
        self._skeletons.add(skeleton)
        self._add_question(question)

    def _add_question(self, question: str) -> None:
        self._questions.add(normal_question(question))
        trigrams = _trigrams_of(question)
        for trigram in _first_of(trigrams):
            self._trigrams[trigram].setdefault(len(trigrams), []).append(trigrams)

    def reword(self, question: str, new: str) -> bool:
        """Record a paraphrase of a question; return False without a change if another question is a near-duplicate."""
        old, other = _trigrams_of(question), normal_question(new)
        self._questions.discard(normal_question(question))
        for trigram in _first_of(old):
            self._trigrams[trigram][len(old)].remove(old)
        is_new = other not in self._questions and not self._is_alike(_trigrams_of(new))
        self._add_question(new if is_new else question)
        return is_new

    def why_duplicate(self, question: str, expression: exp.Expr) -> Literal["duplicate", "near_duplicate"] | None:
        """Return `duplicate` for the same query or question, `near_duplicate` for other values or similar words.

        Return None for a new pair.
        """
        if normal_question(question) in self._questions:
            return "duplicate"
        known = self.why_known(expression)
        if known is None and self._is_alike(_trigrams_of(question)):
            return "near_duplicate"
        return known

    def why_known(self, expression: exp.Expr) -> Literal["duplicate", "near_duplicate"] | None:
        """Return the same as `why_duplicate`, but only for the query."""
        form, skeleton = self._forms_of(expression)
        if form in self._forms:
            return "duplicate"
        return "near_duplicate" if skeleton in self._skeletons else None

    def _forms_of(self, expression: exp.Expr) -> tuple[str, str]:
        """Return the normal form and the skeleton; cached, because a checked query is usually added next."""
        if self._last is None or self._last[0] is not expression:
            self._last = expression, (normal_form(expression), skeleton_of(expression))
        return self._last[1]

    def _is_alike(self, trigrams: frozenset[str]) -> bool:
        size = len(trigrams)
        for trigram in _first_of(trigrams):
            for other_size, others in self._trigrams.get(trigram, {}).items():
                # The union of two sets has at least the size of the larger one.
                least, most = sorted((size, other_size))
                if 100 * least < _LIKENESS_PERCENT * most:
                    continue
                needed = ceil(_LIKENESS_PERCENT * (size + other_size) / (100 + _LIKENESS_PERCENT))
                if any(len(trigrams & other) >= needed for other in others):
                    return True
        return False


def _trigrams_of(question: str) -> frozenset[str]:
    """Return every sequence of three words; all words of a shorter question as one."""
    words = question_words(question)
    return frozenset(" ".join(words[start : start + 3]) for start in range(max(1, len(words) - 2)))


def _first_of(trigrams: frozenset[str]) -> list[str]:
    """Return so many members of a set, in a fixed order, that a similar set has at least one of them."""
    count = len(trigrams) - ceil(_LIKENESS_PERCENT * len(trigrams) / 100) + 1
    return sorted(trigrams, key=hash)[:count]
