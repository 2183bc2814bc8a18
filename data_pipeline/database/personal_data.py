"""Does a column hold data about people? By its name, in English and Chinese, and by what its values look like.

Wrong guesses differ in price: a masked name of a town costs a dull example, an unmasked telephone number is published.
So one sign is enough, and names that only look personal (`company_name`, `phone_model`) are known as such.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Literal

PersonalKind = Literal["name", "email", "phone", "id_number", "card", "address", "birth", "plate", "account", "secret"]

MASK: Final = "***"

VALUE_SHARE: Final = 0.3
"""How many of the values must look so: columns of free text hold a few telephone numbers, too."""

TELLING_KINDS: Final[frozenset[PersonalKind]] = frozenset(
    {"name", "email", "phone", "id_number", "card", "account", "plate"}
)
"""What tells who somebody is wherever it stands; a birthday or a street is that of many."""

NEIGHBOUR_SHARE: Final = 0.1
"""In how many of its rows a column must repeat a personal value beside it."""

TELLING_CHARACTERS: Final = 4
"""How long a value must be to be found inside another: every text holds an `Al`."""

ELSEWHERE_SHARE: Final = 0.3
"""In how many of its rows a column must repeat personal values of any table: there are towns called like people."""

LOOKED_AT_CHARACTERS: Final = 2_000
"""How much of a long text is looked at; far less of it is ever shown."""

NUMBER_DIGITS: Final = 7
"""How long a number must be to tell somebody."""

_PERSON: Final = frozenset(
    {
        "person", "people", "customer", "client", "user", "member", "employee", "staff", "worker", "patient",
        "student", "teacher", "contact", "guest", "owner", "driver", "visitor", "author", "manager", "cashier",
        "passenger", "tenant", "applicant", "candidate", "supplier_contact",
    }
)  # fmt: skip
_THING: Final = frozenset(
    {
        "company", "product", "item", "shop", "store", "brand", "file", "table", "column", "city", "town",
        "country", "state", "region", "province", "category", "type", "department", "school", "bank", "model",
        "branch", "area", "station", "road", "street_type", "currency", "unit", "level", "role", "status",
        "service", "album", "artist", "track", "playlist", "genre", "media", "domain", "host", "event",
        "project", "team",
    }
)  # fmt: skip

_BY_WORDS: Final[tuple[tuple[PersonalKind, frozenset[tuple[str, ...]]], ...]] = (
    ("email", frozenset({("email",), ("e", "mail"), ("mail",), ("mailbox",)})),
    ("phone", frozenset({("phone",), ("telephone",), ("mobile",), ("cellphone",), ("cell",), ("tel",), ("fax",)})),
    (
        "id_number",
        frozenset({("ssn",), ("social", "security"), ("passport",), ("id", "card"), ("identity", "number"), ("idcard",),
                   ("national", "id"), ("id", "number"), ("driving", "licence"), ("driver", "license")}),
    ),
    ("card", frozenset({("credit", "card"), ("card", "number"), ("card", "no"), ("pan",), ("cvv",), ("cvc",)})),
    ("account", frozenset({("iban",), ("bank", "account"), ("account", "number"), ("account", "no")})),
    ("birth", frozenset({("birthday",), ("birthdate",), ("birth", "date"), ("date", "of", "birth"), ("dob",),
                         ("born", "on")})),
    ("address", frozenset({("address",), ("street",), ("addr",), ("home", "address"), ("postal", "code"),
                           ("postcode",), ("zip",), ("zipcode",)})),
    ("plate", frozenset({("plate",), ("license", "plate"), ("plate", "number")})),
    ("secret", frozenset({("password",), ("passwd",), ("pwd",), ("secret",), ("token",), ("api", "key"), ("pin",)})),
    ("name", frozenset({("first", "name"), ("last", "name"), ("family", "name"), ("given", "name"), ("full", "name"),
                        ("surname",), ("maiden", "name"), ("nickname",), ("firstname",), ("lastname",),
                        ("fullname",), ("salesperson",), ("contact", "person"), ("recipient",), ("addressee",)})),
)  # fmt: skip

_BY_SIGNS: Final[tuple[tuple[PersonalKind, str], ...]] = (
    ("email", "邮箱|电子邮件|邮件地址"),
    ("phone", "电话|手机|联系方式|传真"),
    ("id_number", "身份证|证件号|护照"),
    ("card", "银行卡|信用卡|卡号"),
    ("account", "账号|帐号|开户行"),
    ("birth", "生日|出生"),
    ("address", "住址|家庭地址|通讯地址|收货地址"),
    ("plate", "车牌"),
    ("secret", "密码|口令"),
    ("name", "姓名|真实姓名|联系人"),
)

_BY_VALUE: Final[tuple[tuple[PersonalKind, re.Pattern[str]], ...]] = (
    ("email", re.compile(r"[^\s@]{1,64}@[^\s@]+\.[^\s@]{2,24}")),
    ("id_number", re.compile(r"[1-9]\d{5}(?:18|19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])\d{3}[\dXx]")),
    ("id_number", re.compile(r"\d{3}-\d{2}-\d{4}")),
    ("phone", re.compile(r"1[3-9]\d{9}|\+\d{1,3}[ ()./-]*\d(?:[ ()./-]*\d){5,12}")),
    ("phone", re.compile(r"\(\d{2,5}\) ?\d{3,4}[ -]?\d{3,4}|0\d{2,4}-\d{6,8}")),
    ("account", re.compile(r"[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,7}(?: ?[A-Z0-9]{1,3})?")),
)
_INSIDE: Final = re.compile(
    r"[^\s@]@[^\s@]+\.[^\s@]{2}|\+\d{1,3}[ ()./-]*\d(?:[ ()./-]*\d){5,12}|(?<!\d)1[3-9]\d{9}(?!\d)"
    r"|(?<!\d)[1-9]\d{5}(?:18|19|20)\d{9}[\dXx](?!\d)|(?<!\d)\d{3}-\d{2}-\d{4}(?!\d)"
)


@dataclass(frozen=True)
class Personal:
    """Why a column is taken for personal: its kind, and whether its name or its values say so."""

    kind: PersonalKind
    sign: Literal["name", "values"]


def personal_by_name(column: str, table: str = "", comment: str | None = None) -> Personal | None:
    """What a column's name, or its comment, says of people; None for nothing."""
    words = _words(column)
    runs = {tuple(words[i:j]) for i in range(len(words)) for j in range(i + 1, len(words) + 1)}
    for kind, signs in _BY_WORDS:
        if runs & signs and not _is_of_a_thing(words, kind):
            return Personal(kind, "name")
    if words[-1:] == ["name"]:
        before = set(words[:-1])
        is_of_people = before & _PERSON or (not before and {_singular(word) for word in _words(table)} & _PERSON)
        if is_of_people and not before & _THING:
            return Personal("name", "name")
    for kind, pattern in _BY_SIGNS:
        if re.search(pattern, column) or re.search(pattern, comment or ""):
            return Personal(kind, "name")
    if comment is not None and re.search(r"\bpersonal\b", comment, re.IGNORECASE):
        return Personal("name", "name")
    return None


def personal_by_values(values: Iterable[object]) -> Personal | None:
    """What a column's values look like; None where too few of them look so, or where there are none."""
    texts = [value.strip() for value in values if isinstance(value, str) and value.strip()]
    if not texts:
        return None
    for kind, pattern in _BY_VALUE:
        if sum(pattern.fullmatch(text) is not None for text in texts) >= len(texts) * VALUE_SHARE:
            return Personal(kind, "values")
    if sum(_is_card(text) for text in texts) >= len(texts) * VALUE_SHARE:
        return Personal("card", "values")
    return None


def personal_by_neighbours(values: Sequence[object], neighbours: Sequence[tuple[object, ...]]) -> Personal | None:
    """Whether a column repeats, row by row, what personal columns beside it hold: notes, paths, signatures.

    `neighbours` are those columns' values, a tuple a row. A few rows are chance: a company may bear its owner's name.
    """
    told = sum(_repeats(value, beside) for value, beside in zip(values, neighbours, strict=True))
    filled = sum(isinstance(value, str) and bool(value.strip()) for value in values)
    return Personal("name", "values") if told >= 2 and told >= filled * NEIGHBOUR_SHARE else None


def personal_elsewhere(values: Sequence[object], known: TellingValues) -> Personal | None:
    """Whether a column repeats what personal columns of any table hold: a view's labels, guests, remarks."""
    texts = [text for text in map(as_text, values) if text is not None and text.strip()]
    telling = [text for text in texts if known.are_in(text)]
    is_share = len(set(telling)) >= 2 and len(telling) >= len(texts) * ELSEWHERE_SHARE
    return Personal("name", "values") if telling and (is_share or len(telling) == len(texts)) else None


def as_text(value: object) -> str | None:
    """A value in which a name or a number could stand: texts, long whole numbers, what is made of those; else None."""
    if isinstance(value, str):
        return value
    if isinstance(value, (list, dict)):
        return str(value)
    is_number = isinstance(value, (int, Decimal)) and not isinstance(value, bool)
    return str(value) if is_number and len(str(value)) >= NUMBER_DIGITS else None


def holds_a_number_of_somebody(text: str) -> bool:
    """Whether an address of mail or a number that only people have stands in a text, as its form says."""
    return _INSIDE.search(text) is not None


class TellingValues:
    """Values by which people can be known, ready to be looked for in many texts, however many they are.

    Those with letters are found where they are the whole text, those long enough (`TELLING_CHARACTERS`) inside it, too.
    `whole` are found as the whole text only. Looking takes time by the length of the text, not by their number.
    """

    def __init__(self, values: Iterable[str], whole: Iterable[str] = ()) -> None:
        folded = {value.casefold().strip() for value in values}
        plain = {value for value in folded if value.isascii() and len(value) >= TELLING_CHARACTERS}
        self._words = {value for value in plain if value.isalnum()}
        self._whole = {value for value in folded if len(value) >= 2 and any(sign.isalpha() for sign in value)}
        self._whole |= {value.casefold().strip() for value in whole} - {""}
        # By how they begin; Chinese has no spaces, and names of two characters.
        self._pieces: dict[str, dict[int, set[str]]] = {}
        for piece in [*(plain - self._words), *(one for one in folded if not one.isascii() and len(one) >= 2)]:
            start = piece[: TELLING_CHARACTERS if piece.isascii() else 2]
            self._pieces.setdefault(start, {}).setdefault(len(piece), set()).add(piece)

    def are_in(self, text: str) -> bool:
        """Whether a text holds one of them, whatever its case; looks at its first `LOOKED_AT_CHARACTERS`."""
        folded = text[:LOOKED_AT_CHARACTERS].casefold()
        if folded.strip() in self._whole or not self._words.isdisjoint(re.findall(r"[^\W_]+", folded)):
            return True
        return any(
            folded[place : place + length] in pieces
            for place in (range(len(folded)) if self._pieces else ())
            for size in (2, TELLING_CHARACTERS)
            for length, pieces in self._pieces.get(folded[place : place + size], {}).items()
        )


def _repeats(value: object, beside: Iterable[object]) -> bool:
    if not isinstance(value, str):
        return False
    folded = value.casefold()
    words = set(re.findall(r"[^\W_]+", folded))
    for other in beside:
        sought = other.casefold().strip() if isinstance(other, str) else ""
        if not sought.isascii():  # Chinese has no spaces, and names of two characters
            if len(sought) >= 2 and sought in folded:
                return True
        elif len(sought) >= TELLING_CHARACTERS and (sought in words or (not sought.isalnum() and sought in folded)):
            return True
    return False


def _is_of_a_thing(words: Sequence[str], kind: PersonalKind) -> bool:
    """`phone_model` and `address_type` say something about things, `street_count` how many."""
    about = {"model", "type", "kind", "count", "brand", "verified", "enabled", "format", "status", "id"}
    return kind in ("phone", "email", "address", "plate", "card") and words[-1] in about and len(words) > 1


def _words(identifier: str) -> list[str]:
    split = re.sub(r"([a-z0-9])([A-Z])|([A-Z])(?=[A-Z][a-z])", r"\1\3 \2", identifier)
    return [word for word in re.split(r"[\W_\d]+", split.lower()) if word]


def _singular(word: str) -> str:
    return word[:-1] if word.endswith("s") and word not in ("people", "staff") else word


def _is_card(text: str) -> bool:
    """Whether digits have a payment card's length and check digit (ISO/IEC 7812, Luhn)."""
    digits = re.sub(r"[ -]", "", text)
    if not re.fullmatch(r"[2-6]\d{12,18}", digits):
        return False
    doubled = [int(digit) * (2 if position % 2 else 1) for position, digit in enumerate(reversed(digits))]
    return sum(number - 9 if number > 9 else number for number in doubled) % 10 == 0
