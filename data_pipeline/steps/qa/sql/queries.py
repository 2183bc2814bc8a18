"""Write the query of a plan as a syntax tree of the database's dialect. Pure.

Names are quoted by the dialect's rules, and only if necessary: `track` stays plain, `Order Details` and `group`
do not. Literals are those of the plan.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable
from functools import cache, lru_cache
from typing import Any, Final

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from data_pipeline.database.driver import Dialect
from data_pipeline.database.drivers import grammar_of
from data_pipeline.semantics.facts import Facts, Link
from data_pipeline.semantics.parts import At, Measure, Value
from data_pipeline.steps.qa.plans.plan import (
    AtExtreme,
    BesideAverage,
    Between,
    Bucket,
    Change,
    Compared,
    Condition,
    During,
    Flag,
    Having,
    Key,
    Like,
    Missing,
    OneOf,
    Order,
    Output,
    Plan,
    Related,
    Running,
    Selection,
    Share,
    Source,
)

Label = Callable[[Output, Selection], str | None]
"""Return the name of a column of the result; None keeps the name of a plain column."""


class _NotIn:
    """Writes `a NOT IN (...)` instead of `NOT a IN (...)`."""

    def not_sql(self, expression: exp.Not) -> str:
        inner = expression.this
        if not isinstance(inner, exp.In):
            return str(super().not_sql(expression))  # type: ignore[misc]
        column = self.sql(inner, "this")  # type: ignore[attr-defined]
        return f"{column} NOT{self.in_sql(inner)[len(column) :]}"  # type: ignore[attr-defined]


@cache
def _writer(dialect: Dialect) -> type[sqlglot.Dialect]:
    """Return the dialect of sqlglot that writes questions' queries."""
    read: Any = grammar_of(dialect).sqlglot

    class Writer(read):  # type: ignore[misc]
        class Generator(_NotIn, read.Generator):  # type: ignore[misc]
            pass

    return Writer


_COMPARISONS: Final = {"=": exp.EQ, "<>": exp.NEQ, ">": exp.GT, ">=": exp.GTE, "<": exp.LT, "<=": exp.LTE}
RANK: Final = "place_in_group"
GROUPED: Final = "grouped"
RANKED: Final = "ranked"


def query_of(plan: Plan, facts: Facts, label: Label) -> exp.Query:
    """Return the query of the plan."""
    build = _Build(facts, label)
    if plan.best is not None:
        return build.best(plan)
    having = plan.query.having
    if having is not None and having.value is None:
        return build.beside_average_of_groups(plan.query, having)
    query: exp.Query = build.select(plan.query)
    if plan.other is not None:
        join = {"union": exp.union, "intersect": exp.intersect, "except": exp.except_}[str(plan.combined)]
        query = join(query, build.select(plan.other), copy=False)
    return query


def sql_of(query: exp.Expr, dialect: Dialect) -> str:
    """The text of a query, whose tree may not be used afterwards."""
    return query.sql(dialect=_writer(dialect), comments=False, copy=False)


@lru_cache(maxsize=100_000)
def is_plain(name: str, dialect: Dialect) -> bool:
    """Whether a name means itself without quotes: to the database, and to whoever parses the text."""
    grammar = grammar_of(dialect)
    if not grammar.plain_name.fullmatch(name) or name.lower() in grammar.reserved_words:
        return False
    text = f"SELECT {name}.{name}, {name} AS {name} FROM {name} AS {name} WHERE {name} > 1 GROUP BY {name}"
    try:
        tree = sqlglot.parse_one(text, read=grammar.sqlglot)
    except SqlglotError:
        return False
    found = [column.name for column in tree.find_all(exp.Column)]
    return found == [name] * 4 and tree.sql(dialect=grammar.sqlglot) == text


class _Build:
    """Builds trees; every tree is new, so none is copied."""

    def __init__(self, facts: Facts, label: Label) -> None:
        self._facts = facts
        self._label = label
        self._sqlglot = grammar_of(facts.dialect).sqlglot
        self._forms = grammar_of(facts.dialect).queries

    # The shapes of queries.

    def select(self, selection: Selection, extra: Iterable[exp.Expr] = (), *, is_ordered: bool = True) -> exp.Select:
        names = _Names(selection)
        query = exp.Select()
        query.select(*(self._output(output, selection, names) for output in selection.outputs), copy=False)
        query.select(*extra, copy=False)
        if selection.is_distinct:
            query.distinct(copy=False)
        query.from_(self._table(selection.root), copy=False)
        for source in selection.sources[1:]:
            on = self._on(source, selection)
            query.join(self._table(source), on=on, join_type="left" if source.is_left else "", copy=False)
        conditions = [self.condition(condition, names, selection) for condition in selection.where]
        if selection.is_either:
            conditions = [exp.or_(*conditions, copy=False)]
        for at in selection.known:
            conditions.append(_is_known(self._column(at, names)))
        if conditions:
            query.where(exp.and_(*conditions, copy=False), copy=False)
        if selection.groups:
            query.group_by(*(self._key(key, names) for key in selection.groups), copy=False)
        if selection.having is not None:
            query.having(self._having(selection.having, names), copy=False)
        if selection.order and is_ordered:
            query.order_by(*(self._ordered(order, selection, names) for order in selection.order), copy=False)
        if selection.limit is not None:
            query.set("limit", exp.Limit(expression=exp.Literal.number(selection.limit)))
        return query

    def best(self, plan: Plan) -> exp.Select:
        """WITH ranked AS (SELECT ..., RANK() OVER (...) AS place_in_group ...) SELECT ... WHERE place_in_group <= n."""
        assert plan.best is not None
        selection, names = plan.query, _Names(plan.query)
        rank = exp.Window(
            this=exp.Rank(),
            partition_by=[self._key(key, names) for key in plan.best.partition],
            order=exp.Order(expressions=[self._ordered(plan.best.order, selection, names)]),
        )
        inner = self.select(selection, [exp.alias_(rank, RANK)], is_ordered=False)
        columns = [exp.column(self._name(expression.alias_or_name)) for expression in inner.expressions[:-1]]
        query = exp.Select().select(*columns, copy=False).from_(RANKED, copy=False)
        place = exp.column(RANK)
        count = exp.Literal.number(plan.best.count)
        condition = exp.EQ(this=place, expression=count) if plan.best.count == 1 else exp.LTE(
            this=place, expression=count)  # fmt: skip
        return query.where(condition, copy=False).with_(RANKED, as_=inner, copy=False)

    def beside_average_of_groups(self, selection: Selection, having: Having) -> exp.Select:
        """WITH grouped AS (SELECT key, measure ...) SELECT ... WHERE measure > (SELECT AVG(measure) FROM grouped)."""
        inner = self.select(selection.model_copy(update={"having": None, "order": ()}))
        columns = [self._name(expression.alias_or_name) for expression in inner.expressions]
        measure = exp.column(columns[-1].copy())
        average = exp.Select().select(exp.Avg(this=measure.copy()), copy=False).from_(GROUPED, copy=False)
        compared = _COMPARISONS[having.operator](this=measure, expression=exp.Subquery(this=average))
        query = exp.Select().select(*map(exp.column, columns), copy=False).from_(GROUPED, copy=False)
        return query.where(compared, copy=False).with_(GROUPED, as_=inner, copy=False)

    # Their parts.

    def _table(self, source: Source) -> exp.Table:
        schema = source.table.schema
        table = exp.Table(this=self._name(source.table.name))
        if schema is not None and schema != self._facts.default_schema:
            table.set("db", self._name(schema))
        if source.alias != source.table.name:
            table.set("alias", exp.TableAlias(this=self._name(source.alias)))
        return table

    def _on(self, source: Source, selection: Selection) -> exp.Expr:
        assert source.link is not None
        link = self._facts.by_link[source.link]
        beside = source.beside or selection.root.alias
        child, parent = (beside, source.alias) if source.is_up else (source.alias, beside)
        return self._along(link, child, parent)

    def _along(self, link: Link, child: str, parent: str) -> exp.Expr:
        pairs = zip(link.child_columns, link.parent_columns, strict=True)
        return exp.and_(
            *(
                exp.EQ(this=self._column(At(source=child, column=own)), expression=self._column(
                    At(source=parent, column=other)))
                for own, other in pairs
            ),
            copy=False,
        )  # fmt: skip

    def _output(self, output: Output, selection: Selection, names: _Names) -> exp.Expr:
        expression = self.value(output, names)
        label = self._label(output, selection)
        if label is None and not isinstance(output, At):
            return expression
        if label is None or (isinstance(output, At) and label == output.column):
            return expression
        return exp.Alias(this=expression, alias=self._name(label))

    def value(self, output: Output, names: _Names) -> exp.Expr:
        """Return the expression of an output."""
        match output:
            case At() | Bucket():
                return self._key(output, names)
            case Measure():
                return self._measure(output, names)
            case Share():
                measure = self._measure(output.measure, names)
                whole = exp.Window(this=exp.Sum(this=measure.copy()))
                return exp.Div(
                    this=exp.Mul(this=exp.Literal.number("100.0"), expression=measure),
                    expression=whole,
                    typed=True,
                    safe=self._forms.divides_by_zero,
                )
            case Running():
                by = self._in_time(output.by, names)
                return exp.Window(this=exp.Sum(this=self._measure(output.measure, names)), order=by)
            case Change():
                by = self._in_time(output.by, names)
                measure = self._measure(output.measure, names)
                before = exp.Window(this=exp.Lag(this=measure.copy()), order=by)
                return exp.Sub(this=measure, expression=before)

    def _in_time(self, bucket: Bucket, names: _Names) -> exp.Order:
        by = self._key(bucket, names)
        return exp.Order(expressions=[exp.Ordered(this=by, nulls_first=self._forms.nulls_are_least)])

    def _key(self, key: Key, names: _Names) -> exp.Expr:
        if isinstance(key, At):
            return self._column(key, names)
        column = self._column(key.at, names)
        return self._forms.year(column) if key.unit == "year" else self._forms.month(column)

    def _measure(self, measure: Measure, names: _Names) -> exp.Expr:
        if measure.expression is not None:
            return self._expression(measure, names)
        if measure.at is None:
            is_every_row = measure.of in (None, names.selection.root.alias)
            return exp.Count(this=exp.Star() if is_every_row else self._of_source(str(measure.of), names))
        column = self._column(measure.at, names)
        match measure.function:
            case "count":
                return exp.Count(this=column)
            case "count_distinct":
                return exp.Count(this=exp.Distinct(expressions=[column]))
            case "sum":
                return exp.Sum(this=column)
            case "avg":
                return exp.Avg(this=column)
            case "min":
                return exp.Min(this=column)
            case "max":
                return exp.Max(this=column)

    def _expression(self, measure: Measure, names: _Names) -> exp.Expr:
        """Return a glossary's aggregate with columns spelled and qualified as in this query."""
        assert measure.expression is not None
        source = next((one for one in names.selection.sources if one.alias == measure.of), names.selection.root)
        spelled = {column.name.lower(): column.name for column in self._facts.by_name[source.table].columns}
        tree = sqlglot.parse_one(measure.expression, read=self._sqlglot)
        for column in list(tree.find_all(exp.Column)):
            at = At(source=source.alias, column=spelled.get(column.name.lower(), column.name))
            column.replace(self._column(at, names))
        return tree

    def _of_source(self, alias: str, names: _Names) -> exp.Column:
        """Return a column of a source that is never null in its rows, so that COUNT ignores missing rows."""
        source = next(source for source in names.selection.sources if source.alias == alias)
        table = self._facts.by_name[source.table]
        if table.key:
            return self._column(At(source=alias, column=table.key[0]), names)
        assert source.link is not None
        link = self._facts.by_link[source.link]
        return self._column(
            At(source=alias, column=link.parent_columns[0] if source.is_up else link.child_columns[0]), names
        )

    def _having(self, having: Having, names: _Names) -> exp.Expr:
        assert having.value is not None
        return _COMPARISONS[having.operator](
            this=self._measure(having.measure, names), expression=self._literal(having.value)
        )

    def _ordered(self, order: Order, selection: Selection, names: _Names) -> exp.Ordered:
        """Return an item of ORDER BY that never sorts NULL first."""
        is_shown = order.by in selection.outputs
        label = self._label(order.by, selection) if is_shown and not isinstance(order.by, At) else None
        by = exp.column(self._name(label)) if label else self.value(order.by, names)
        falls = order.is_descending or None  # ASC is the default
        can_be_null = (
            isinstance(order.by, At) and order.by not in selection.known and self._null_count(order.by, selection) > 0
        )
        if not can_be_null:
            # What the database does by itself: nothing is written.
            nulls_first = order.is_descending != self._forms.nulls_are_least
            return exp.Ordered(this=by, desc=falls, nulls_first=nulls_first)
        return exp.Ordered(this=by, desc=falls, nulls_first=False)

    def _null_count(self, at: At, selection: Selection) -> int:
        source = next(source for source in selection.sources if source.alias == at.source)
        return self._facts.by_name[source.table].by_name[at.column].null_count

    def condition(self, condition: Condition, names: _Names, selection: Selection) -> exp.Expr:
        """Return a condition of WHERE."""
        match condition:
            case Compared():
                return _COMPARISONS[condition.operator](
                    this=self._column(condition.at, names), expression=self._literal(condition.value)
                )
            case Between():
                return exp.Between(
                    this=self._column(condition.at, names),
                    low=self._literal(condition.low),
                    high=self._literal(condition.high),
                )
            case OneOf():
                return exp.In(
                    this=self._column(condition.at, names), expressions=[self._literal(one) for one in condition.values]
                )
            case Like():
                pattern = f"{condition.text}%" if condition.place == "start" else f"%{condition.text}%"
                return exp.Like(this=self._column(condition.at, names), expression=exp.Literal.string(pattern))
            case Missing():
                column = self._column(condition.at, names)
                return exp.Is(this=column, expression=exp.Null()) if condition.is_missing else _is_known(column)
            case Flag():
                return exp.EQ(this=self._column(condition.at, names), expression=self._literal(condition.value))
            case During():
                return self._during(condition, names)
            case BesideAverage():
                of = self._of_table(condition.at, exp.Avg, selection)
                kind = exp.GT if condition.is_above else exp.LT
                return kind(this=self._column(condition.at, names), expression=of)
            case AtExtreme():
                of = self._of_table(condition.at, exp.Max if condition.is_greatest else exp.Min, selection)
                return exp.EQ(this=self._column(condition.at, names), expression=of)
            case Related():
                return self._related(condition, selection)

    def _during(self, condition: During, names: _Names) -> exp.Expr:
        column = self._column(condition.at, names)
        if condition.month is None:
            year = Bucket(at=condition.at, unit="year")
            return exp.EQ(this=self._key(year, names), expression=self._forms.year_literal(condition.year))
        first = dt.date(condition.year, condition.month, 1)
        after = (first + dt.timedelta(days=32)).replace(day=1)
        return exp.and_(
            exp.GTE(this=column, expression=exp.Literal.string(first.isoformat())),
            exp.LT(this=column.copy(), expression=exp.Literal.string(after.isoformat())),
            copy=False,
        )

    def _of_table(self, at: At, function: type[exp.Func], selection: Selection) -> exp.Subquery:
        source = next(source for source in selection.sources if source.alias == at.source)
        table = self._table(source.model_copy(update={"alias": source.table.name}))
        column = exp.Column(this=self._name(at.column))
        return exp.Subquery(this=exp.Select().select(function(this=column), copy=False).from_(table, copy=False))

    def _related(self, related: Related, selection: Selection) -> exp.Expr:
        link = self._facts.by_link[related.link]
        root = selection.root
        source = Source(alias=related.source, table=link.child)
        inner = Selection(sources=(source,), outputs=())
        is_in = related.spelling == "in" and len(link.child_columns) == 1
        names = _Names(inner, is_qualified=not is_in)
        conditions = [self.condition(condition, names, inner) for condition in related.where]
        query = exp.Select().from_(self._table(source), copy=False)
        if not is_in:
            query.select(exp.Literal.number(1), copy=False)
            query.where(exp.and_(self._along(link, source.alias, root.alias), *conditions, copy=False), copy=False)
            found: exp.Expr = exp.Exists(this=query)
            return found if related.has else exp.Not(this=found)
        own = link.parent_columns[0]
        column = At(source=source.alias, column=link.child_columns[0])
        if not related.has:  # a NULL among the values would make NOT IN unknown for every row
            conditions.append(_is_known(self._column(column, names)))
        query.select(self._column(column, names), copy=False)
        if conditions:
            query.where(exp.and_(*conditions, copy=False), copy=False)
        outer = _Names(selection)
        found = exp.In(this=self._column(At(source=root.alias, column=own), outer), query=exp.Subquery(this=query))
        return found if related.has else exp.Not(this=found)

    def _column(self, at: At, names: _Names | None = None) -> exp.Column:
        if names is not None and not names.is_qualified:
            return exp.Column(this=self._name(at.column))
        return exp.Column(this=self._name(at.column), table=self._name(at.source))

    def _literal(self, value: Value) -> exp.Expr:
        match value.kind:
            case "number":
                return exp.Neg(this=exp.Literal.number(value.text[1:])) if value.text.startswith("-") else (
                    exp.Literal.number(value.text))  # fmt: skip
            case "boolean":
                return exp.Boolean(this=value.text == "true")
            case _:
                return exp.Literal.string(value.text)

    def _name(self, name: str) -> exp.Identifier:
        return exp.Identifier(this=name, quoted=not is_plain(name, self._facts.dialect))


class _Names:
    """True if columns need the name of their source, because there is another source."""

    def __init__(self, selection: Selection, *, is_qualified: bool | None = None) -> None:
        self.selection = selection
        correlates = any(isinstance(one, Related) and one.spelling == "exists" for one in selection.where)
        self.is_qualified = len(selection.sources) > 1 or correlates if is_qualified is None else is_qualified


def _is_known(column: exp.Column) -> exp.Is:
    """Return IS NOT NULL, instead of NOT ... IS NULL."""
    return exp.Is(this=column, expression=exp.Not(this=exp.Null()))
