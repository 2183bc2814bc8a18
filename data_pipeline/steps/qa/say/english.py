"""Fill the places of English questions: nouns, conditions, measures. The sentences are in `families/`. Pure."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from data_pipeline.semantics.facts import ColumnFacts
from data_pipeline.semantics.names import plural, spelled, split_words, words_named
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
    Simple,
)
from data_pipeline.steps.qa.say.nouns import source_of
from data_pipeline.steps.qa.say.phrasing import (
    Phrasings,
    Voice,
    alone,
    compared_value,
    first_at,
    moment_of,
    one_of_same,
    unit_of,
)
from data_pipeline.tasks.table_list import TableName

SHOW: Final = (
    "List", "Show", "Give me", "Find", "Display", "Show me", "Return", "I need", "Please list", "Get",
    "Could you list", "Tell me", "I want to see", "Look up", "Provide", "Can you show", "Retrieve", "Let me see",
    "Report", "Fetch", "Extract", "Please provide", "Help me find", "I'd like to see", "We need", "Please give",
    "Can I get", "Would you show", "Bring up", "Please find", "Send me", "Could I have",
    "Select", "For a report, list", "For my analysis, get", "I am looking for", "Can you pull", "We would like",
    "Please send", "Could someone list", "Identify", "May I see", "Obtain",
    "Pull up", "View", "Tell us", "Pull", "Give",
)  # fmt: skip
_PLACES: Final = frozenset({"city", "country", "state", "region", "province", "continent", "district", "county"})
_PEOPLE: Final = frozenset(
    {"customer", "employee", "member", "user", "client", "student", "teacher", "patient", "doctor", "driver", "player",
     "author", "manager", "person", "guest", "visitor", "supplier", "vendor", "owner", "staff", "worker", "singer",
     "actor", "director", "professor", "instructor", "candidate", "passenger", "artist", "coach", "people", "seller"}
)  # fmt: skip
_WHEN: Final = frozenset({"date", "time", "at", "on", "day", "timestamp", "datetime", "since", "dt", "moment"})
_DONE: Final = {
    "hire": "hired", "create": "created", "creation": "created", "update": "updated", "modify": "modified",
    "modified": "modified", "release": "released", "publish": "published", "publication": "published",
    "ship": "shipped", "shipping": "shipped", "deliver": "delivered", "delivery": "delivered", "pay": "paid",
    "payment": "paid", "purchase": "purchased", "sale": "sold", "sell": "sold", "open": "opened",
    "opening": "opened", "found": "founded", "founding": "founded", "register": "registered",
    "registration": "registered", "close": "closed", "issue": "issued", "build": "built", "cancel": "cancelled",
    "approve": "approved", "submit": "submitted", "return": "returned", "record": "recorded", "visit": "visited",
    "require": "required", "order": "ordered", "book": "booked", "booking": "booked", "last update": "last updated",
    "rental": "rented", "check in": "checked in",
}  # fmt: skip
_ACTS: Final = {
    "join": "joined", "joined": "joined", "left": "left", "leave": "left", "start": "started", "started": "started",
    "end": "ended", "ended": "ended", "expire": "expired", "expiry": "expired", "expiration": "expired",
    "expired": "expired", "retired": "retired", "arrival": "arrived", "departure": "departed", "begin": "began",
    "enrollment": "enrolled", "graduation": "graduated", "finish": "finished",
}  # fmt: skip
_BASE: Final = {
    "joined": "join", "left": "leave", "started": "start", "ended": "end", "expired": "expire", "retired": "retire",
    "arrived": "arrive", "departed": "depart", "began": "begin", "enrolled": "enroll", "graduated": "graduate",
    "finished": "finish",
}  # fmt: skip
_HAPPENINGS_OF: Final = {
    "sold": "sale", "ordered": "order", "paid": "payment", "rented": "rental", "booked": "booking",
    "shipped": "shipment", "delivered": "delivery", "lent": "loan", "purchased": "purchase", "returned": "return",
    "visited": "visit", "created": "creation", "counted": "count",
}  # fmt: skip
_PARTICIPLES: Final = frozenset(
    {"sold", "paid", "built", "sent", "bought", "made", "given", "taken", "held", "found", "seen", "written"}
)
_LONG: Final = frozenset({"length", "duration", "runtime", "milliseconds", "seconds", "minutes", "hours", "distance"})
_BIG: Final = frozenset(
    {"size", "bytes", "population", "area", "quantity", "number", "count", "amount", "stock", "floor", "capacity",
     "volume", "weight", "spaces"}
)  # fmt: skip
_ADJECTIVE: Final = re.compile(r".*(ed|able|ible|ive|al|ent|ant|ous|ful|en|ing|ic)|open|closed|new|paid|free")
_HAPPENED: Final = re.compile(
    r"(?!dated|called|named|based|from)\w+( \w+)? (in|on|before|after|between|prior to|(no )?(earlier|later) than) "
)
_SUMS: Final = frozenset({"total", "sum", "subtotal"})
_LEADS: Final = (
    "Altogether", "Over the", "Among the", "Per {", "For ", "Looking", "Within", "Taking", "Considering", "By {",
    "Counting", "Quick", "Do you", "Any idea", "Of all", "In which",
)  # fmt: skip
_MARKS: Final = (" in ", " of ", " at ", " per ", " on ", " for ", " by ")
_MONTHS: Final = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
                  "November", "December")  # fmt: skip


class English(Voice):
    """Says plans in English."""

    _avoids_whose = False
    _prefers_whose = False

    def places(self, plan: Plan) -> Mapping[str, Callable[[], str]]:
        query = plan.query
        return {
            "show": lambda: self.chance.choice(SHOW),
            "things": lambda: self.things(query),
            "all": lambda: self.plural(query.root.table),
            "thing": lambda: self.singular(query.root.table),
            "with": lambda: self.clauses(query),
            "do": lambda: self.predicates(query),
            "outputs": lambda: self.outputs(query),
            "measure": lambda: self.measure(self.first_measure(plan), query),
            "number": lambda: self.measure(self.first_measure(plan), query).removeprefix("the "),
            "running": lambda: self.running(self.first_measure(plan), query),
            "measures": lambda: self.measures(query),
            "are": lambda: "is" if sum(isinstance(one, Measure) for one in query.outputs) == 1 else "are",
            "counted": lambda: self.counted(self.first_measure(plan), query),
            "key": lambda: self.key(self.first_key(plan), query),
            "keys": lambda: _plural_phrase(self.key(self.first_key(plan), query)),
            "each": lambda: self.each(query),
            "columns": lambda: _plural_phrase(self.column(first_at(query), query)),
            "column": lambda: self.column(first_at(query), query),
            "n": lambda: self.number(query.limit or (plan.best.count if plan.best else 1)),
            "best": lambda: self.superlative(plan),
            "order": lambda: self.output(self.first_order(plan).by, query),
            "moment": lambda: self.column(moment_of(plan), query),
            "having": lambda: self.having(query.having, query) if query.having else "",
            "partition": lambda: self.key(plan.best.partition[-1], query) if plan.best else "",
            "other": lambda: self.clauses(plan.other) if plan.other else "",
            "other_things": lambda: self.things(plan.other) if plan.other else "",
            "other_column": lambda: self.column(first_at(plan.other), plan.other) if plan.other else "",
            "other_all": lambda: self.plural(plan.other.root.table) if plan.other else "",
            "joined": lambda: self.joined(query),
            "joined_all": lambda: self.joined_all(query),
            "other_columns": lambda: (
                _plural_phrase(self.column(first_at(plan.other), plan.other)) if plan.other else ""
            ),
            "other_thing": lambda: self.singular(plan.other.root.table) if plan.other else "",
            "most_happened": lambda: self.most_happened(plan),
            "newest": lambda: "most recent" if self.first_order(plan).is_descending else "earliest",
            "happened_each": lambda: self.happened(plan, self.plural(query.root.table)),
            "things_happened_each": lambda: self.happened(plan, self.things(query)),
            "had_happened": lambda: self.had_happened(plan),
            "end": lambda: self.singular(query.sources[-1].table),
            "ends": lambda: self.plural(query.sources[-1].table),
            "value": lambda: self.value(compared_value(query)),
            "unit": lambda: unit_of(plan),
            "tail": lambda: f" {self.clauses(query)}" if query.where else "",
        }

    def finished(self, sentence: str, title: str | None) -> str:
        text = re.sub(r"\s+", " ", sentence).strip()
        text = re.sub(r"\s+([?.,;])", r"\1", text)
        if text.startswith(("Could ", "Can ", "Would ", "May ")):
            text = text.rstrip(".") + "?"
        if title is not None:
            begins = text if text.startswith(("I ", "I'")) else text[0].lower() + text[1:]
            return f"{'In' if text.endswith('?') else self.chance.choice(('In', 'From'))} {title}, {begins}"
        return text[0].upper() + text[1:]

    def sentences(self, plan: Plan, phrasings: Phrasings) -> Sequence[str]:
        """After `In "Orders Qry",` none that says first what it is about."""
        known = super().sentences(plan, phrasings)
        if self.nouns.title(plan.query.root.table) is None:
            return known
        return [sentence for sentence in known if not sentence.startswith(_LEADS)] or known

    # Nouns.

    def singular(self, table: TableName) -> str:
        """One row of a table."""
        return " ".join(self.words(table)) + self._within(table)

    def plural(self, table: TableName) -> str:
        """Rows of a table."""
        return " ".join(plural(self.words(table))) + self._within(table)

    def _within(self, table: TableName) -> str:
        """Where the rows are that have no name of their own, but at the subject: its sentence begins with that."""
        ends = self.nouns.connected(table) if table not in self.known_as else None
        if ends is not None:
            return f" between {' and '.join(' '.join(plural(self.nouns.thing(end, self.chance))) for end in ends)}"
        title = self.nouns.title(table)
        return "" if title is None or table == self.subject else f" in {title}"

    def that(self, table: TableName) -> str:
        """The word that begins a clause about rows of a table."""
        return "who" if self.words(table)[-1] in _PEOPLE else "that"

    def things(self, selection: Selection) -> str:
        """The rows that a selection is about, with its conditions."""
        return f"{self.plural(selection.root.table)} {self.clauses(selection)}".strip()

    def joined(self, selection: Selection) -> str:
        """What the second source is to the first."""
        source = selection.sources[1]
        link = self.facts.by_link[str(source.link)]
        return " ".join(self.nouns.role(link, self.chance)) if source.is_up else self.singular(source.table)

    def joined_all(self, selection: Selection) -> str:
        """What the second source is to the first, in the plural."""
        source = selection.sources[1]
        return self.plural(source.table) if not source.is_up else _plural_phrase(self.joined(selection))

    def role_of(self, at: At, selection: Selection) -> str:
        """What the source of a column is called in the question; nothing for the first."""
        source = source_of(at, selection)
        if source.link is None:
            return ""
        link = self.facts.by_link[source.link]
        return " ".join(self.nouns.role(link, self.chance)) if source.is_up else self.singular(source.table)

    def column(self, at: At, selection: Selection) -> str:
        """A column as a noun: `unit price`, `artist` for the name of a joined artist, `artist country`."""
        facts = self.column_at(at, selection)
        role = self.role_of(at, selection)
        own = self.reference(facts) or self.nouns.column(facts, self.chance)
        if not role:
            return own
        if self.is_label(at, selection):
            return role if facts.role in ("label", "text", "code") or facts.role == "key" else f"{role} {own}"
        return own if own.startswith(role) else f"{role} {own}"

    def reference(self, facts: ColumnFacts) -> str | None:
        """A column that refers to another table, shown as it is: `customer ID`."""
        if facts.role != "reference":
            return None
        words = split_words(facts.name)
        if words[-1] in ("id", "code", "key", "no", "number"):
            return None
        link = next((one for one in self.facts.up(facts.table) if facts.name in one.child_columns), None)
        if link is None:
            return None
        key = self.facts.by_name[link.parent].by_name.get(link.parent_columns[0])
        role = " ".join(self.nouns.role(link, self.chance))
        return f"{role} {split_words(key.name)[-1].replace('id', 'ID')}" if key is not None else role

    def output(self, output: Output, selection: Selection) -> str:
        """One column of the result."""
        match output:
            case At():
                facts = self.column_at(output, selection)
                role = self.role_of(output, selection)
                own = self.reference(facts) or self.nouns.column(facts, self.chance)
                words = split_words(facts.name)
                if facts.role == "flag" and len(words) > 1 and words[0] in ("is", "has"):
                    own = f"whether it {' '.join(words)}"
                elif facts.role == "flag" and len(words) == 1 and _ADJECTIVE.fullmatch(words[0]):
                    own = f"whether it is {own}"
                if not role:
                    # Beside that of the other row of the same table it must be clear whose it is.
                    is_beside = any(source.table == selection.root.table for source in selection.sources[1:])
                    return f"{self.singular(selection.root.table)} {own}" if is_beside else own
                if own.startswith(role):
                    return own
                return f"{role} {own}" if own in ("name", "title", "ID") else f"{_possessive(role)} {own}"
            case Bucket():
                return output.unit
            case Measure():
                return self.measure(output, selection)
            case Share():
                return f"the share of {self.measure(output.measure, selection)} in percent"
            case Running():
                return self.running(output.measure, selection)
            case Change():
                return f"the change of {self.measure(output.measure, selection)}"

    def outputs(self, selection: Selection) -> str:
        """The columns of the result that are shown as they are."""
        return _listed([self.output(one, selection) for one in selection.outputs if isinstance(one, At)])

    def key(self, key: Key, selection: Selection) -> str:
        """What is grouped by."""
        if isinstance(key, Bucket):
            return key.unit
        facts = self.column_at(key, selection)
        link = next((one for one in self.facts.up(facts.table) if facts.name in one.child_columns), None)
        if facts.role == "reference" and link is not None and source_of(key, selection).link is None:
            return " ".join(self.nouns.role(link, self.chance))
        if source_of(key, selection).link is None and self.nouns.names_thing(facts):
            return spelled(words_named(facts.name))
        return self.column(key, selection)

    def each(self, selection: Selection) -> str:
        """All that is grouped by."""
        return " and ".join(self.key(key, selection) for key in selection.outputs if isinstance(key, (At, Bucket)))

    # Measures.

    def measure(self, measure: Measure, selection: Selection) -> str:
        if measure.term is not None:
            return f"the {measure.term}"
        if measure.at is None:
            return f"the number of {self.counted(measure, selection)}"
        facts = self.column_at(measure.at, selection)
        noun = self.nouns.column(facts, self.chance)
        role = self.role_of(measure.at, selection)
        if role and not noun.startswith(role):
            noun = f"{role} {noun}"
        words = set(noun.split())
        match measure.function:
            case "count_distinct":
                return f"the number of different {_plural_phrase(self.column(measure.at, selection))}"
            case "count":
                return f"the number of {_plural_phrase(noun)}"
            case "sum":
                return f"the {'combined' if words & _SUMS else 'total'} {noun}"
            case "avg":
                return f"the mean {noun}" if "average" in words else f"the average {noun}"
            case "min" | "max":
                word = self.extreme(facts, is_greatest=measure.function == "max")
                same = {"highest": "maximum", "lowest": "minimum"}.get(word, word)
                return f"the {self.chance.choice((word, same))} {noun}"

    def running(self, measure: Measure, selection: Selection) -> str:
        """What is added up from the first bucket to each."""
        if measure.at is None:
            return f"the running total of {self.counted(measure, selection)}"
        noun = self.column(measure.at, selection)
        return f"the cumulative {noun if set(noun.split()) & _SUMS else f'total {noun}'}"

    def measures(self, selection: Selection) -> str:
        """Several aggregates of one column: `the lowest, average and highest price`."""
        told = [self.measure(one, selection) for one in selection.outputs if isinstance(one, Measure)]
        return f"the {_listed([one.split()[1] for one in told])} {' '.join(told[0].split()[2:])}"

    def counted(self, measure: Measure, selection: Selection) -> str:
        """The things that a count counts."""
        if measure.at is not None:
            facts = self.column_at(measure.at, selection)
            link = next((one for one in self.facts.up(facts.table) if facts.name in one.child_columns), None)
            if facts.role == "reference" and link is not None:
                return " ".join(plural(self.nouns.role(link, self.chance)))
            return _plural_phrase(self.column(measure.at, selection))
        source = next((one for one in selection.sources if one.alias == measure.of), selection.root)
        return self.plural(source.table)

    def extreme(self, facts: ColumnFacts, *, is_greatest: bool) -> str:
        """The superlative that goes with a column."""
        words = set(self.nouns.column(facts, self.chance).split())
        if facts.role in ("moment", "year"):
            return "latest" if is_greatest else "earliest"
        if words & _LONG:
            return "longest" if is_greatest else "shortest"
        if words & _BIG:
            return self.chance.choice(("largest", "biggest", "greatest") if is_greatest else ("smallest",))
        return "highest" if is_greatest else "lowest"

    def superlative(self, plan: Plan) -> str:
        """The superlative of what a plan sorts by."""
        order = self.first_order(plan)
        by = order.by
        if isinstance(by, At):
            return self.extreme(self.column_at(by, plan.query), is_greatest=order.is_descending)
        if isinstance(by, Measure) and by.function.startswith("count"):
            return "most" if order.is_descending else "fewest"
        return "highest" if order.is_descending else "lowest"

    def number(self, number: int) -> str:
        """A small number as a word, at times."""
        words = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
        return words[number] if number < len(words) and self.chance.random() < 0.5 else str(number)

    def having(self, having: Having, selection: Selection) -> str:
        """A condition on groups: `more than 20 tracks`, `an average price above 5`."""
        measure = having.measure
        if having.value is None:
            return ""
        value = having.value.text
        if measure.function.startswith("count"):
            word = {">": "more than", ">=": "at least", "<": "fewer than", "<=": "at most", "=": "exactly"}
            if value == "1" and having.operator == ">":
                return f"more than one {self.singular(selection.root.table)}"
            return f"{word[having.operator]} {value} {self.counted(measure, selection)}"
        word = {">": "above", ">=": "of at least", "<": "below", "<=": "of at most", "=": "of exactly"}
        noun = self.measure(measure, selection).removeprefix("the ")
        return f"{_a(noun)} {word[having.operator]} {value}"

    # Conditions.

    def clauses(self, selection: Selection) -> str:
        """All conditions, after the noun that they narrow; several of them in one manner."""
        same = one_of_same(selection)
        if same is not None:
            return self.condition(same, selection)
        prefers = self._prefers_whose
        self._prefers_whose = prefers or len(selection.where) > 1
        told = [self.condition(condition, selection) for condition in self._in_order(selection)]
        self._prefers_whose = prefers
        return (" or " if selection.is_either else " and ").join(told)

    def _in_order(self, selection: Selection) -> list[Condition]:
        """Those about other tables last: after `with a customer in Berlin`, `whose freight` would be the customer's."""
        return sorted(
            selection.where, key=lambda one: not isinstance(one, Related) and bool(self.role_of(one.at, selection))
        )

    def predicates(self, selection: Selection) -> str:
        """All conditions, as what the noun before them does: `have a price above 5 and were sold in 2020`."""
        told = []
        same = one_of_same(selection)
        for condition in self._in_order(selection) if same is None else [same]:
            self._avoids_whose = True
            told.append(_as_predicate(self.condition(condition, selection)))
            self._avoids_whose = False
        if selection.is_either:
            return " or ".join(told)
        first, *others = told
        return " and ".join([first, *(one.removeprefix("have ") if _is_had(first, one) else one for one in others)])

    def _any_of(self, *options: str) -> str:
        """One way to say a condition; as a predicate none that begins with `whose`."""
        if self._avoids_whose:
            options = tuple(one for one in options if not one.startswith("whose ")) or options
        elif self._prefers_whose:
            options = tuple(one for one in options if one.startswith("whose ")) or options
        return self.chance.choice(options)

    def condition(self, condition: Condition, selection: Selection) -> str:
        if isinstance(condition, Related):
            return self._related(condition, selection)
        role = self.role_of(condition.at, selection)
        is_named = isinstance(condition, (Compared, OneOf)) and self._stands_for_row(condition.at, selection)
        if role and not is_named:
            return self._of_other(role, condition, selection)
        return self._of_own(condition, selection)

    def _stands_for_row(self, at: At, selection: Selection) -> bool:
        return self.is_label(at, selection) and self.column_at(at, selection).role == "label"

    def _of_other(self, role: str, condition: Simple, selection: Selection) -> str:
        """A condition on what the rows refer to: `whose customer's city is Bern`, `with a product that is sold out`."""
        source = source_of(condition.at, selection)
        manner = self._avoids_whose, self._prefers_whose
        self._avoids_whose, self._prefers_whose = False, True
        said = _in_singular(self._of_own(condition, alone(source.model_copy(update={"link": None}))))
        self._avoids_whose, self._prefers_whose = manner
        first, _, rest = said.partition(" ")
        options = [f"with {_a(role)} {said}"]
        if first == "whose":
            options.append(f"whose {_possessive(role)} {rest}")
        elif first in ("that", "who"):
            options.append(f"whose {role} {rest}")
        elif _HAPPENED.match(said):
            options.append(f"whose {role} was {said}")
        return self._any_of(*options)

    def _of_own(self, condition: Simple, selection: Selection) -> str:
        """A condition on the rows themselves."""
        return _agreeing(self._said_of_own(condition, selection), self._possessed(condition.at, selection))

    def _said_of_own(self, condition: Simple, selection: Selection) -> str:
        match condition:
            case During():
                when = (
                    str(condition.year)
                    if condition.month is None
                    else f"{_MONTHS[condition.month - 1]} {condition.year}"
                )
                return self._moment(condition.at, selection, f"in {when}")
            case Missing():
                return self._missing(condition, selection)
            case Flag():
                return self._flag(condition, selection)
        noun = self._possessed(condition.at, selection)
        a_noun = _a(noun)
        facts = self.column_at(condition.at, selection)
        match condition:
            case Compared():
                return self._compared(condition, facts, noun, selection)
            case Between():
                low, high = self.value(condition.low), self.value(condition.high)
                if facts.role == "moment":
                    return self._moment(condition.at, selection, f"between {low} and {high}")
                return self._any_of(
                    f"whose {noun} is between {low} and {high}", f"with {a_noun} between {low} and {high}",
                    f"with {a_noun} from {low} to {high}",
                    f"with {a_noun} ranging from {low} to {high}", f"whose {noun} lies between {low} and {high}",
                )  # fmt: skip
            case OneOf():
                values = _listed([self.value(value) for value in condition.values], "or")
                return self._any_of(
                    f"whose {noun} is {values}",
                    f"whose {noun} is either {values}",
                    f"with the {noun} {values}",
                    f"with either {values} as {noun}",
                )
            case Like():
                if condition.place == "start":
                    return self._any_of(
                        f'whose {noun} starts with "{condition.text}"',
                        f'whose {noun} begins with "{condition.text}"',
                        f'with {a_noun} starting with "{condition.text}"',
                        f'with {a_noun} that starts with "{condition.text}"',
                    )
                return self._any_of(
                    f'whose {noun} contains "{condition.text}"',
                    f'with "{condition.text}" in the {noun}',
                    f'whose {noun} mentions "{condition.text}"',
                    f'whose {noun} includes the text "{condition.text}"',
                    f'with {a_noun} containing "{condition.text}"',
                )
            case BesideAverage():
                side = "above" if condition.is_above else "below"
                return self._any_of(
                    f"with {a_noun} {side} the average", f"whose {noun} is {side} average",
                    f"whose {noun} is {'higher' if condition.is_above else 'lower'} than the average {noun}",
                    f"whose {noun} {'exceeds' if condition.is_above else 'falls short of'} the mean",
                )  # fmt: skip
            case AtExtreme():
                extreme = self.extreme(facts, is_greatest=condition.is_greatest)
                return self._any_of(f"with the {extreme} {noun}", f"that have the {extreme} {noun}")

    def _compared(self, condition: Compared, facts: ColumnFacts, noun: str, selection: Selection) -> str:
        value, a_noun = self.value(condition.value), _a(noun)
        is_root = source_of(condition.at, selection).link is None
        if facts.role == "moment":
            when = {
                ">=": ("on or after", "no earlier than"), "<": ("before", "prior to"), ">": ("after", "later than"),
                "<=": ("on or before", "no later than"), "=": ("on",), "<>": ("not on",),
            }  # fmt: skip
            return self._moment(condition.at, selection, f"{self.chance.choice(when[condition.operator])} {value}")
        if condition.operator == "=":
            if is_root and noun in _PLACES and not self._prefers_whose:
                person = self.that(source_of(condition.at, selection).table) == "who"
                return self.chance.choice((f"in {value}", f"from {value}", f"based in {value}")) if person else (
                    f"in {value}")  # fmt: skip
            if is_root and facts.role == "label" and noun in ("name", "title"):
                return self._any_of(f"called {value}", f"named {value}", f"with the {noun} {value}")
            if noun == "ID":
                return self._any_of(f"with ID {value}", f"whose ID is {value}", f"with the ID {value}")
            options = (f"whose {noun} is {value}", f"with the {noun} {value}")
            return self._any_of(*options, *([f"whose {noun} equals {value}"] if facts.is_number else []))
        if condition.operator == "<>":
            return self._any_of(
                f"whose {noun} is not {value}", f"with {a_noun} other than {value}",
                f"whose {noun} differs from {value}",
            )  # fmt: skip
        words: Mapping[str, tuple[str, ...]] = {
            ">": (
                "above",
                "over",
                "greater than",
                "higher than",
                "exceeding",
                "beyond",
                "upwards of",
                "in excess of",
                "surpassing",
            ),
            "<": ("below", "under", "less than", "lower than", "smaller than", "beneath"),
            ">=": ("at least", "no less than", "not under", "a minimum of"),
            "<=": ("at most", "no more than", "up to", "not over", "a maximum of"),
        }
        compared = self.chance.choice(words[condition.operator])
        if condition.operator in (">=", "<="):
            if compared.startswith("not "):
                return f"whose {noun} is {compared} {value}"
            return self._any_of(f"whose {noun} is {compared} {value}", f"with {a_noun} of {compared} {value}")
        if compared in ("exceeding", "surpassing"):
            verb = compared.removesuffix("ing") + ("s" if compared == "exceeding" else "es")
            return self._any_of(f"whose {noun} {verb} {value}", f"with {a_noun} {compared} {value}")
        return self._any_of(f"whose {noun} is {compared} {value}", f"with {a_noun} {compared} {value}")

    def _possessed(self, at: At, selection: Selection) -> str:
        """A column after `whose`; what names the row of another table is said by what that row is."""
        facts = self.column_at(at, selection)
        return self.role_of(at, selection) or self.reference(facts) or self.nouns.column(facts, self.chance)

    def _moment(self, at: At, selection: Selection, when: str) -> str:
        """A moment as what happened then: `hired in 2003`, `that joined before ...`, `whose due date is in ...`."""
        facts = self.column_at(at, selection)
        words = list(split_words(facts.name))
        while words and words[-1] in _WHEN:
            words.pop()
        stem = " ".join(words)
        thing = " ".join(self.nouns.thing(source_of(at, selection).table, self.chance))
        if self.nouns.is_named_by_people(facts.table, facts.name):
            noun = self.nouns.column(facts, self.chance)
            return self._any_of(f"whose {noun} is {when}", f"with {_a(noun)} {when}")
        if not stem or stem in (thing, thing.split()[-1]):
            return f"from {when[3:]}" if when.startswith("in ") and not self._avoids_whose else f"dated {when}"
        if stem in _ACTS:
            return f"{self.that(source_of(at, selection).table)} {_ACTS[stem]} {when}"
        participle = _DONE.get(stem) or (stem if words[-1:] and (words[-1].endswith("ed") or words[-1] in _PARTICIPLES)
                                         else None)  # fmt: skip
        if participle is not None and _HAPPENINGS_OF.get(participle) == thing.split()[-1]:
            participle = "placed" if participle == "ordered" else "made"  # no sales that were sold
        if participle is not None:
            return self._any_of(f"{participle} {when}", f"that were {participle} {when}")
        noun = self._possessed(at, selection)
        return self._any_of(f"whose {noun} is {when}", f"with {_a(noun)} {when}")

    def most_happened(self, plan: Plan) -> str:
        """That most rows have their moment then: `were the most employees hired`, `did the fewest members join`."""
        most = f"the {self.superlative(plan)} {self.plural(plan.query.root.table)}"
        act, participle = self._act(plan)
        if act in _BASE:
            return f"did {most} {_BASE[act]}"
        if participle is not None:
            return f"were {most} {participle}"
        return f"are there {most}, by {self.column(moment_of(plan), plan.query)}"

    def happened(self, plan: Plan, rows: str) -> str:
        """What happens to rows at their moment, by year or month: `employees were hired each year`."""
        act, participle = self._act(plan)
        unit = unit_of(plan)
        if act is not None:
            return f"{rows} {act} each {unit}"
        if participle is not None:
            return f"{rows} were {participle} each {unit}"
        return f"{rows} are there for each {unit}, by {self.column(moment_of(plan), plan.query)}"

    def had_happened(self, plan: Plan) -> str:
        """The same, of all until then: `employees had been hired by the end of each year`."""
        act, participle = self._act(plan)
        rows, end = self.plural(plan.query.root.table), f"by the end of each {unit_of(plan)}"
        if act is not None:
            return f"{rows} had {act.replace('began', 'begun')} {end}"
        if participle is not None:
            return f"{rows} had been {participle} {end}"
        return f"{rows} were there in total {end}, by {self.column(moment_of(plan), plan.query)}"

    def _act(self, plan: Plan) -> tuple[str | None, str | None]:
        """What rows do at the moment of a plan, or what is done to them: `joined`, or `hired`."""
        at = moment_of(plan)
        facts = self.column_at(at, plan.query)
        if source_of(at, plan.query).link is not None or self.nouns.is_named_by_people(facts.table, facts.name):
            return None, None
        words = list(split_words(facts.name))
        while words and words[-1] in _WHEN:
            words.pop()
        stem = " ".join(words)
        if stem in _ACTS:
            return _ACTS[stem], None
        participle = _DONE.get(stem) or (stem if stem.endswith("ed") or stem in _PARTICIPLES else None)
        thing = self.words(plan.query.root.table)[-1]
        if participle in (None, "required") or stem == thing:  # what is required by a day does not happen then
            return None, None
        if _HAPPENINGS_OF.get(participle) == thing:
            participle = "placed" if participle == "ordered" else "made"
        return None, participle

    def _missing(self, condition: Missing, selection: Selection) -> str:
        facts = self.column_at(condition.at, selection)
        that = self.that(source_of(condition.at, selection).table)
        words = list(split_words(facts.name))
        if facts.role == "moment":
            while words and words[-1] in _WHEN:
                words.pop()
            stem = " ".join(words)
            if stem in _ACTS:
                return f"{that} have not {_ACTS[stem].replace('began', 'begun')}" if condition.is_missing else (
                    f"{that} have {_ACTS[stem].replace('began', 'begun')}")  # fmt: skip
            participle = _DONE.get(stem) or (stem if stem.endswith("ed") or stem in _PARTICIPLES else None)
            if participle is not None:
                return f"{that} have {'not yet ' if condition.is_missing else ''}been {participle}"
        noun = self._possessed(condition.at, selection)
        link = self.link_of(facts)
        if link is not None:
            noun = " ".join(self.nouns.role(link, self.chance))
        a_noun = _a(noun)
        if condition.is_missing:
            return self._any_of(
                f"without {a_noun}", f"{that} have no {noun}", f"with no {noun} recorded", f"lacking {a_noun}",
                f"whose {noun} is missing", f"whose {noun} is unknown", f"with the {noun} left blank",
                f"whose {noun} is unspecified",
            )  # fmt: skip
        return self._any_of(
            f"{that} have {a_noun}", f"with {_a(f'known {noun}')}", f"whose {noun} is recorded",
            f"whose {noun} is filled in", f"whose {noun} is given",
        )  # fmt: skip

    def _flag(self, condition: Flag, selection: Selection) -> str:
        facts = self.column_at(condition.at, selection)
        words = list(split_words(facts.name))
        that = self.that(source_of(condition.at, selection).table)
        if words[0] == "has" and len(words) > 1:
            return f"{that} have {'' if condition.is_set else 'no '}{' '.join(words[1:])}"
        if words[0] == "is" and len(words) > 1:
            words = words[1:]
        elif words[-1] in ("flag", "ind", "indicator"):
            words = words[:-1]
        elif not _ADJECTIVE.fullmatch(words[-1]):
            noun, state = self.nouns.column(facts, self.chance), "true" if condition.is_set else "false"
            return self._any_of(f"whose {noun} is {state}", f"with the {noun} {state}")
        return f"{that} are {'' if condition.is_set else 'not '}{' '.join(words)}"

    def _related(self, related: Related, selection: Selection) -> str:
        link = self.facts.by_link[related.link]
        inner = alone(selection.root.model_copy(update={"alias": related.source, "table": link.child}), related.where)
        prefers, self._prefers_whose = self._prefers_whose, True
        clauses = self.clauses(inner)
        self._prefers_whose = prefers
        of_one = _in_singular(clauses)
        that = self.that(selection.root.table)
        role = self.nouns.role(link, self.chance)
        many = self.plural(link.child)
        one = self.singular(link.child)
        if role != self.nouns.thing(link.parent, self.chance):
            known = " ".join(role)
            if related.has:
                some = self.chance.choice((f"at least one {one}", _a(one)))
                return f"{that} are the {known} of {some} {of_one}".strip()
            return f"{that} are not the {known} of any {one} {of_one}".strip()
        if related.has:
            some = self.chance.choice((f"at least one {one}", _a(one), f"any {many}"))
            with_what = clauses if some.startswith("any ") else of_one
            return self._any_of(f"{that} have {some} {with_what}", f"with {some} {with_what}").strip()
        return self._any_of(
            f"{that} have no {many} {clauses}", f"without any {many} {clauses}",
            f"{that} do not have any {one} {of_one}",
        ).strip()  # fmt: skip

    # Values and labels.

    def value(self, value: Value) -> str:
        """A literal, as people write it."""
        if value.kind in ("date", "timestamp"):
            day = dt.date.fromisoformat(value.text[:10])
            return f"{day.day} {_MONTHS[day.month - 1]} {day.year}"
        if value.kind != "text":
            return value.text
        is_plain = re.fullmatch(r"[A-Z0-9][\w'&/-]*( [A-Z0-9&][\w'/-]*){0,2}", value.text) is not None
        return value.text if is_plain else f'"{value.text}"'

    def label(self, output: Output, selection: Selection) -> str | None:
        return self.plain_label(output, selection)


def _as_predicate(clause: str) -> str:
    """A clause after a noun as a predicate of it."""
    for begin, instead in (
        ("that ", ""), ("who ", ""), ("without a ", "have no "), ("without any ", "have no "), ("with no ", "have no "),
        ("with ", "have "), ("lacking ", "lack "), ("whose ", "have their "),
    ):  # fmt: skip
        if clause.startswith(begin):
            return instead + clause[len(begin) :]
    return f"{'were' if _HAPPENED.match(clause) else 'are'} {clause}"


def _agreeing(clause: str, noun: str) -> str:
    """A clause whose verb agrees with its noun: `whose sales are`."""
    if _a(noun) != noun:
        return clause
    for one, many in (("is", "are"), ("exceeds", "exceed"), ("falls", "fall"), ("lies", "lie"), ("differs", "differ")):
        clause = clause.replace(f"whose {noun} {one} ", f"whose {noun} {many} ")
    return clause


def _possessive(noun: str) -> str:
    return f"{noun}'" if noun.endswith("s") else f"{noun}'s"


def _is_had(first: str, other: str) -> bool:
    """Whether two predicates say what things have: once is enough."""
    return first.startswith("have ") and re.match("have (an?|the|no|either|units?) ", other) is not None


def _listed(words: Sequence[str], last: str = "and") -> str:
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} {last} {words[-1]}"


def _a(noun: str) -> str:
    """A noun with its article; none where it is a plural: `units in stock`."""
    head = noun
    for mark in _MARKS:
        head = head.partition(mark)[0]
    last = head.split()[-1]
    if last.endswith("s") and not last.endswith(("ss", "us", "is")):
        return noun
    return f"{'an' if re.match(r'[aeiouAEIOU](?!ni[tqv]|se[rd]|ne)|hour|ID|ISBN|IP', noun) else 'a'} {noun}"


def _in_singular(clauses: str) -> str:
    """Clauses about several things, of one."""
    for many, one in (("that were ", "that was "), ("that have ", "that has "), ("who have ", "who has "),
                      ("that are ", "that is "), ("who are ", "who is "), ("that do ", "that does "),
                      ("who do ", "who does ")):  # fmt: skip
        clauses = clauses.replace(many, one)
    return clauses


def _plural_phrase(noun: str) -> str:
    """A noun in the plural: its last word, or the one before `in` or `of`."""
    for mark in _MARKS:
        head, found, rest = noun.partition(mark)
        if found:
            return f"{_plural_phrase(head)}{found}{rest}"
    *first, last = noun.split()
    return " ".join((*first, "IDs" if last == "ID" else plural([last])[0]))
