"""Questions in Chinese: conditions stand before the noun. Opens nothing."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from data_pipeline.semantics.facts import ColumnFacts
from data_pipeline.semantics.names import split_words
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
    Output,
    Plan,
    Related,
    Running,
    Selection,
    Share,
)
from data_pipeline.steps.qa.say.nouns import source_of
from data_pipeline.steps.qa.say.phrasing import Voice, compared_value, first_at, moment_of, snake, unit_of
from data_pipeline.tasks.table_list import TableName

SHOW: Final = (
    "列出", "查询", "显示", "请列出", "给出", "找出", "查找", "请查询", "帮我列出", "我想看", "请提供", "帮我查一下",
    "麻烦列出", "我需要", "调出", "获取", "请展示", "告诉我",
)  # fmt: skip
_CJK: Final = r"[\u3400-\u9fff]"


class Chinese(Voice):
    """Says plans in Chinese."""

    def places(self, plan: Plan) -> Mapping[str, Callable[[], str]]:
        query = plan.query
        other = plan.other
        return {
            "show": lambda: self.chance.choice(SHOW),
            "things": lambda: self.things(query),
            "all": lambda: self.thing(query.root.table),
            "thing": lambda: self.thing(query.root.table),
            "with": lambda: self.conditions(query),
            "do": lambda: self.predicates(query),
            "outputs": lambda: self.outputs(query),
            "measure": lambda: self.measure(self.first_measure(plan), query),
            "measures": lambda: _listed(
                [self.measure(one, query) for one in query.outputs if isinstance(one, Measure)]
            ),
            "counted": lambda: self.counted(self.first_measure(plan), query),
            "key": lambda: self.key(self.first_key(plan), query),
            "each": lambda: _listed([self.key(key, query) for key in query.outputs if isinstance(key, (At, Bucket))]),
            "column": lambda: self.column(first_at(query), query),
            "n": lambda: str(query.limit or (plan.best.count if plan.best else 1)),
            "best": lambda: self.superlative(plan),
            "order": lambda: self.output(self.first_order(plan).by, query),
            "running": lambda: self.running(self.first_measure(plan), query),
            "moment": lambda: self.column(moment_of(plan), query),
            "having": lambda: self.having(query.having, query) if query.having else "",
            "partition": lambda: self.key(plan.best.partition[-1], query) if plan.best else "",
            "other_things": lambda: self.things(other) if other else "",
            "other_column": lambda: self.column(first_at(other), other) if other else "",
            "other_all": lambda: self.thing(other.root.table) if other else "",
            "joined": lambda: self.joined(query),
            "asks": lambda: self.asks(query),
            "owners": lambda: self.owners(self.first_measure(plan), query),
            "end": lambda: self.thing(query.sources[-1].table),
            "value": lambda: self.value(compared_value(query)),
            "unit": lambda: "每月" if unit_of(plan) == "month" else "每年",
            "period": lambda: "月份" if unit_of(plan) == "month" else "年份",
            "period_end": lambda: "每月月末" if unit_of(plan) == "month" else "每年年末",
            "period_before": lambda: "上一个有记录的月份" if unit_of(plan) == "month" else "上一个有记录的年份",
        }

    def finished(self, sentence: str, title: str | None) -> str:
        text = re.sub(r"\s+", " ", sentence).strip()
        if title is not None:
            text = f"在“{title[1:-1]}”中，{re.sub('记录的(?!数量)', '', text)}"
        text = re.sub(rf"({_CJK})([A-Za-z0-9])", r"\1 \2", text)
        return re.sub(rf"([A-Za-z0-9])({_CJK})", r"\1 \2", text)

    # Nouns.

    def thing(self, table: TableName) -> str:
        """Rows of a table, one or many."""
        title = self.nouns.title(table)
        thing = " ".join(self.words(table))
        return thing if title is None or table == self.subject else f"“{title[1:-1]}”中的{thing}"

    def things(self, selection: Selection) -> str:
        """The rows that a selection is about, with its conditions before them."""
        conditions = self.conditions(selection)
        thing = self.thing(selection.root.table)
        return f"{conditions}的{thing}" if conditions else thing

    def joined(self, selection: Selection) -> str:
        """What the second source is to the first."""
        source = selection.sources[1]
        link = self.facts.by_link[str(source.link)]
        return " ".join(self.nouns.role(link, self.chance)) if source.is_up else self.thing(source.table)

    def role_of(self, at: At, selection: Selection) -> str:
        """What the source of a column is called; nothing for the first."""
        source = source_of(at, selection)
        if source.link is None:
            return ""
        link = self.facts.by_link[source.link]
        return " ".join(self.nouns.role(link, self.chance)) if source.is_up else self.thing(source.table)

    def column(self, at: At, selection: Selection) -> str:
        """A column as a noun; the label of a joined table as that table's noun."""
        role = self.role_of(at, selection)
        facts = self.column_at(at, selection)
        if role and self.is_label(at, selection) and facts.role in ("label", "key"):
            return role
        return self._of(role, self.nouns.column(facts, self.chance))

    def _of(self, role: str, own: str) -> str:
        if not role or own.startswith(role):
            return own
        return f"{role}的{own}"

    def output(self, output: Output, selection: Selection) -> str:
        """One column of the result."""
        match output:
            case At():
                own = self.nouns.column(self.column_at(output, selection), self.chance)
                return self._of(self.role_of(output, selection), own)
            case Bucket():
                return "月份" if output.unit == "month" else "年份"
            case Measure():
                return self.measure(output, selection)
            case Share():
                return f"{self.measure(output.measure, selection)}占比"
            case Running():
                return f"{self.measure(output.measure, selection)}累计值"
            case Change():
                return f"{self.measure(output.measure, selection)}变化"

    def asks(self, selection: Selection) -> str:
        """How one asks for what is shown: numbers are how much."""
        shown = [self.column_at(one, selection).role for one in selection.outputs if isinstance(one, At)]
        return "是多少" if shown and all(role == "measure" for role in shown) else "是什么"

    def owners(self, measure: Measure, selection: Selection) -> str:
        """What a counted reference refers to."""
        assert measure.at is not None, "it is a reference that is counted"
        return self.key(measure.at, selection)

    def outputs(self, selection: Selection) -> str:
        """The columns of the result that are shown as they are."""
        return _listed([self.output(one, selection) for one in selection.outputs if isinstance(one, At)])

    def key(self, key: Key, selection: Selection) -> str:
        """What is grouped by."""
        if isinstance(key, Bucket):
            return self.output(key, selection)
        facts = self.column_at(key, selection)
        link = next((one for one in self.facts.up(facts.table) if facts.name in one.child_columns), None)
        if facts.role == "reference" and link is not None and source_of(key, selection).link is None:
            return " ".join(self.nouns.role(link, self.chance))
        return self.column(key, selection)

    # Measures.

    def measure(self, measure: Measure, selection: Selection) -> str:
        if measure.term is not None:
            return measure.term
        if measure.at is None:
            return f"{self.counted(measure, selection)}"
        facts = self.column_at(measure.at, selection)
        noun = self._of(self.role_of(measure.at, selection), self.nouns.column(facts, self.chance))
        is_moment = facts.role == "moment"
        most, least = _extremes(noun)
        match measure.function:
            case "count_distinct":
                return f"不同{noun}的数量"
            case "count":
                return f"{noun}的数量"
            case "sum":
                return f"{noun}总和"
            case "avg":
                return f"平均{noun}"
            case "min":
                return f"最早的{noun}" if is_moment else f"最{least}{noun}"
            case "max":
                return f"最晚的{noun}" if is_moment else f"最{most}{noun}"

    def counted(self, measure: Measure, selection: Selection) -> str:
        """What a count counts, as a number."""
        if measure.at is not None:
            return self.measure(measure, selection)
        source = next((one for one in selection.sources if one.alias == measure.of), selection.root)
        return f"{self.thing(source.table)}数量"

    def running(self, measure: Measure, selection: Selection) -> str:
        """What is added up from the first bucket to each."""
        if measure.at is None:
            return f"累计{self.counted(measure, selection)}"
        return f"{self.column(measure.at, selection)}的累计总和"

    def superlative(self, plan: Plan) -> str:
        """The superlative of what a plan sorts by."""
        order = self.first_order(plan)
        by = order.by
        if isinstance(by, Measure) and by.function.startswith("count"):
            return "最多" if order.is_descending else "最少"
        if isinstance(by, At) and self.column_at(by, plan.query).role == "moment":
            return "最晚" if order.is_descending else "最早"
        most, least = _extremes(self.output(by, plan.query))
        return f"最{most}" if order.is_descending else f"最{least}"

    def having(self, having: Having, selection: Selection) -> str:
        """A condition on groups."""
        if having.value is None:
            return ""
        if having.measure.function.startswith("count"):
            word = {">": "超过", ">=": "不少于", "<": "少于", "<=": "不超过", "=": "恰好"}[having.operator]
            source = next((one for one in selection.sources if one.alias == having.measure.of), selection.root)
            return f"有{word}{having.value.text}个{self.thing(source.table)}"
        word = {">": "高于", ">=": "不低于", "<": "低于", "<=": "不高于", "=": "等于"}[having.operator]
        return f"{self.measure(having.measure, selection)}{word}{having.value.text}"

    # Conditions.

    def conditions(self, selection: Selection) -> str:
        """All conditions, before the noun that they narrow."""
        told = [self.condition(condition, selection) for condition in selection.where]
        return ("或" if selection.is_either else "且").join(told)

    def predicates(self, selection: Selection) -> str:
        """All conditions, after the noun."""
        conditions = self.conditions(selection)
        return conditions if conditions.startswith(("有", "没有", "至少", "是", "不是")) else f"的{conditions}"

    def condition(self, condition: Condition, selection: Selection) -> str:
        if isinstance(condition, Related):
            return self._related(condition, selection)
        noun = self._possessed(condition.at, selection)
        facts = self.column_at(condition.at, selection)
        match condition:
            case Compared():
                return self._compared(condition, facts, noun)
            case Between():
                low, high = self.value(condition.low), self.value(condition.high)
                return self.chance.choice((f"{noun}在{low}到{high}之间", f"{noun}介于{low}和{high}之间"))
            case OneOf():
                return f"{noun}为{self._either(condition.values)}"
            case Like():
                text = f"“{condition.text}”"
                return f"{noun}以{text}开头" if condition.place == "start" else f"{noun}包含{text}"
            case Missing():
                link = self.link_of(facts)
                if link is not None:
                    noun = " ".join(self.nouns.role(link, self.chance))
                if self.role_of(condition.at, selection):
                    return f"{noun}{'为空' if condition.is_missing else '不为空'}"
                is_told = facts.role not in ("reference", "moment")
                return f"没有{noun}" if condition.is_missing else f"{'填写了' if is_told else '有'}{noun}"
            case Flag():
                return self._flag(condition, facts, selection)
            case During():
                month = f"{condition.month}月" if condition.month is not None else ""
                return f"{noun}在{condition.year}年{month}"
            case BesideAverage():
                return f"{noun}{'高于' if condition.is_above else '低于'}平均值"
            case AtExtreme():
                is_moment = facts.role in ("moment", "year")
                most, least = _extremes(noun)
                last, first = ("最晚", "最早") if is_moment else (f"最{most}", f"最{least}")
                return f"{noun}{last if condition.is_greatest else first}"

    def _either(self, values: Sequence[Value]) -> str:
        """One of several values; quotes stand around all of them, or none."""
        told = [self.value(value) for value in values]
        if any(one.startswith("“") for one in told):
            told = [f"“{one.strip('“”')}”" for one in told]
        return _listed(told, "或")

    def _flag(self, condition: Flag, facts: ColumnFacts, selection: Selection) -> str:
        words = split_words(facts.name)
        if len(words) > 1 and words[0] == "has" and not self.nouns.is_named_by_people(facts.table, facts.name):
            has = "有" if condition.is_set else "没有"
            return f"{self.role_of(condition.at, selection)}{has}{' '.join(words[1:])}"
        return f"{self._possessed(condition.at, selection)}为{'是' if condition.is_set else '否'}"

    def _compared(self, condition: Compared, facts: ColumnFacts, noun: str) -> str:
        value = self.value(condition.value)
        if facts.role == "moment":
            word = {">=": "在{}当天或之后", "<": "早于{}", ">": "晚于{}", "<=": "不晚于{}", "=": "为{}", "<>": "不是{}"}
            return noun + word[condition.operator].format(value)
        word = {"=": "为", "<>": "不是", ">": "大于", ">=": "不小于", "<": "小于", "<=": "不大于"}
        return f"{noun}{word[condition.operator]}{value}"

    def _possessed(self, at: At, selection: Selection) -> str:
        role = self.role_of(at, selection)
        facts = self.column_at(at, selection)
        if role and self.is_label(at, selection) and facts.role == "label":
            return role
        return self._of(role, self.nouns.column(facts, self.chance))

    def _related(self, related: Related, selection: Selection) -> str:
        link = self.facts.by_link[related.link]
        root = selection.root.model_copy(update={"alias": related.source, "table": link.child})
        inner = Selection(sources=(root,), outputs=(), where=related.where)
        conditions = self.conditions(inner)
        thing = f"{conditions}的{self.thing(link.child)}" if conditions else self.thing(link.child)
        role = self.nouns.role(link, self.chance)
        if role != self.nouns.thing(link.parent, self.chance):
            known = " ".join(role)
            some = thing if conditions else f"至少一个{thing}"
            return f"是{some}的{known}" if related.has else f"不是任何{thing}的{known}"
        # `有没有` would ask whether, and not for those without.
        has = "有" if conditions and not conditions.startswith(("有", "没有")) else "至少有一个"
        return f"{has}{thing}" if related.has else f"没有任何{thing}"

    # Values and labels.

    def value(self, value: Value) -> str:
        """A literal, as people write it."""
        if value.kind in ("date", "timestamp"):
            day = dt.date.fromisoformat(value.text[:10])
            return f"{day.year}年{day.month}月{day.day}日"
        if value.kind != "text":
            return value.text
        return value.text if re.fullmatch(r"[\w\u3400-\u9fff&/-]+", value.text) else f"“{value.text}”"

    def label(self, output: Output, selection: Selection) -> str | None:
        if isinstance(output, At):
            facts = self.column_at(output, selection)
            if not self.nouns.is_named_by_people(facts.table, facts.name):
                return self.told_apart(output, selection, self.role_of(output, selection))
            own = self.nouns.column(facts, self.chance)
            return snake(self._of(self.role_of(output, selection), own).replace("的", ""))
        if isinstance(output, Bucket):
            return "月份" if output.unit == "month" else "年份"
        said = self.output(output, selection).replace("的", "")
        # Half a label in each language is worse than one in English.
        return snake(said) if not re.search(r"[A-Za-z]", said) else self.plain_label(output, selection)


def _extremes(noun: str) -> tuple[str, str]:
    """What goes with the greatest and the least of something: sizes are large, prices are high."""
    is_size = (
        re.search(r"面积|数量|大小|规模|体积|容量|人口|number of|size|quantity|count|area|bytes", noun) is not None
    )
    is_length = re.search(r"时长|长度|距离|length|duration|distance", noun) is not None
    return ("长", "短") if is_length else ("大", "小") if is_size else ("高", "低")


def _listed(words: Sequence[str], last: str = "和") -> str:
    if len(words) < 2:
        return "".join(words)
    return f"{'、'.join(words[:-1])}{last}{words[-1]}"
