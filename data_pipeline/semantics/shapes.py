"""The shapes of personal data and secrets in values, with their check digits. Pure.

Check digits: Luhn (ISO/IEC 7812-1) for cards, modulo 97 (ISO 13616) for IBANs, modulo 11-2 (GB 11643) for Chinese
identity numbers. Shapes of hashes and tokens are those of their makers' documentation.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

ShapeKind = Literal[
    "email", "phone", "ip", "national_id", "plate", "card", "bank_account", "secret", "address", "account", "location"
]


_INSIDE: Final = re.compile(
    r"[^\s@]@[^\s@]+\.[^\s@]{2}|\+\d{1,3}[ ()./-]*\d(?:[ ()./-]*\d){5,12}|(?<!\d)1[3-9]\d{9}(?!\d)"
    r"|(?<!\d)[1-9]\d{5}(?:18|19|20)\d{9}[\dXx](?!\d)|(?<!\d)\d{3}-\d{2}-\d{4}(?!\d)"
)
"""An e-mail address, or a number with the form of a personal one, inside a text."""

SURE_WEIGHT: Final = 0.7
"""The minimum weight of a form that makes a single text personal."""


@dataclass(frozen=True)
class Shape:
    """A form of values: `weight` is the evidence by itself, `weight_named` beside a name of the same kind."""

    kind: ShapeKind
    label: str
    fits: Callable[[str], bool]
    weight: float
    weight_named: float


def looks_personal(text: str) -> bool:
    """True if one text has a form that few texts but personal data and secrets have."""
    return any(shape.weight >= SURE_WEIGHT and shape.fits(text) for shape in SHAPES)


def holds_personal_number(text: str) -> bool:
    """True if a text contains an e-mail address, or a number with the form of a personal one."""
    return _INSIDE.search(text) is not None


def luhn_is_right(text: str) -> bool:
    """True for 13 to 19 digits that begin as payment cards do and end in the right check digit."""
    digits = re.sub(r"[ -]", "", text)
    if not re.fullmatch(r"[2-6]\d{12,18}", digits):
        return False
    doubled = [int(digit) * (2 if place % 2 else 1) for place, digit in enumerate(reversed(digits))]
    return sum(number - 9 if number > 9 else number for number in doubled) % 10 == 0


def iban_is_right(text: str) -> bool:
    """True for an IBAN with the right check digits."""
    plain = text.replace(" ", "").upper()
    if not re.fullmatch(r"[A-Z]{2}\d{2}[A-Z0-9]{11,30}", plain):
        return False
    turned = plain[4:] + plain[:4]
    return int("".join(str(int(sign, 36)) for sign in turned)) % 97 == 1


def chinese_identity_is_right(text: str) -> bool:
    """True for an 18-place identity number with a possible date and the right check digit."""
    if not re.fullmatch(r"[1-9]\d{5}(19|20)\d{2}(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])\d{3}[\dXx]", text):
        return False
    weights = [2 ** (17 - place) % 11 for place in range(17)]
    total = sum(int(digit) * weight for digit, weight in zip(text[:17], weights, strict=True))
    return "10X98765432"[total % 11] == text[17].upper()


def is_ip(text: str) -> bool:
    """True for an address of IPv4 or IPv6, also with a port or a prefix length."""
    if text.count(".") != 3 and text.count(":") < 2:
        return False
    plain = text.partition("/")[0].strip("[]")
    if plain.count(".") == 3 and plain.count(":") == 1:
        plain = plain.partition(":")[0]
    try:
        ipaddress.ip_address(plain)
    except ValueError:
        return False
    return True


def latin_name_share(texts: Sequence[str], first_names: frozenset[str]) -> float:
    """Share of the texts that are one to four words with a common first name among them, or initials and a name."""
    if not texts:
        return 0.0
    return sum(1 for text in texts if _has_first_name(text, first_names)) / len(texts)


def surname_share(texts: Sequence[str], surnames: str) -> float:
    """Share of the texts that are two to four Chinese characters, the first of them a common surname."""
    if not texts:
        return 0.0
    return sum(1 for text in texts if _has_surname(text, surnames)) / len(texts)


def _has_surname(text: str, surnames: str) -> bool:
    pieces = re.split(r"[、,，/ ]+", text)
    return any(re.fullmatch(r"[一-鿿·*]{2,4}", piece) and piece[0] in surnames for piece in pieces)


def _has_first_name(text: str, first_names: frozenset[str]) -> bool:
    if (
        re.fullmatch(r"([A-Z]\.? ?){1,2}[A-Z][\w'\u2019-]+|[A-Z][\w'\u2019-]+,? ([A-Z]\.? ?){1,2}", text)
        and "." in text
    ):
        return True  # M. Murphy
    words = re.findall(r"[^\W\d_]+", text.lower())
    return 1 <= len(words) <= 4 and not re.search(r"\d", text) and bool(first_names.intersection(words))


def _matches(pattern: str, flags: int = 0) -> Callable[[str], bool]:
    compiled = re.compile(pattern, flags)
    return lambda text: compiled.fullmatch(text) is not None


_PROVINCES: Final = "京津冀晋蒙辽吉黑沪苏浙皖闽赣鲁豫鄂湘粤桂琼川贵云渝藏陕甘青宁新港澳台"

SHAPES: Final[tuple[Shape, ...]] = (
    Shape("email", "e-mail addresses", _matches(r"[^\s@<>]{1,64}@[^\s@<>]+\.[^\s@<>]{2,24}"), 0.95, 0.95),
    Shape("national_id", "identity numbers with the right check digit", chinese_identity_is_right, 0.95, 0.95),
    Shape("national_id", "social security numbers", _matches(r"\d{3}-\d{2}-\d{4}"), 0.8, 0.9),
    Shape("card", "card numbers with the right check digit", luhn_is_right, 0.9, 0.95),
    Shape("bank_account", "IBANs with the right check digits", iban_is_right, 0.95, 0.95),
    Shape("phone", "mobile numbers", _matches(r"(\+?86[- ]?)?1[3-9]\d{9}|1[3-9]\d[- ]\d{4}[- ]\d{4}"), 0.7, 0.9),
    Shape("phone", "international telephone numbers", _matches(r"\+\d{1,3}[ ()./-]*\d(?:[ ()./-]*\d){5,12}"), 0.8, 0.9),
    Shape(
        "phone",
        "telephone numbers",
        _matches(r"\(\d{2,5}\) ?\d{3,4}[ -]?\d{3,4}|0\d{2,3}-\d{7,8}|\d{3}[-.]\d{3}[-.]\d{4}"),
        0.7,
        0.9,
    ),
    Shape("phone", "telephone numbers", _matches(r"[\d ()+./x-]{7,20}"), 0.0, 0.4),
    Shape("ip", "IP addresses", is_ip, 0.8, 0.9),
    Shape(
        "secret",
        "password hashes",
        _matches(
            r"\$(2[abxy]?|5|6|1|y|P|H|argon2(i|d|id)|scrypt|pbkdf2[\w-]*)\$.{16,}|\{(S?SHA\d*|bcrypt|CRYPT)\}.+"
            r"|pbkdf2(_|:)sha\d+[$:].+|\$pbkdf2.+"
        ),
        0.95,
        0.95,
    ),
    Shape("secret", "JSON web tokens", _matches(r"eyJ[\w-]{5,}(\.[\w-]*){2}(\.\.\.|…)?"), 0.95, 0.95),
    Shape(
        "secret",
        "keys of an API",
        _matches(
            r"(sk|pk|rk)[_-](live|test|prod|ant)?[_-]?[\w-]{10,}|AKIA[0-9A-Z]{16}|gh[pousr]_\w{20,}|xox[abps]-[\w-]{10,}"
            r"|AIza[\w-]{30,}|glpat-[\w-]{15,}|SG\.[\w-]{16,}\.[\w-]{16,}"
        ),
        0.95,
        0.95,
    ),
    Shape(
        "secret",
        "hexadecimal digests",
        _matches(r"([0-9a-fA-F]{32}|[0-9a-fA-F]{40}|[0-9a-fA-F]{64}|[0-9a-fA-F]{128})"),
        0.1,
        0.6,
    ),
    Shape(
        "secret",
        "random letters and digits",
        _matches(r"(?=.*[a-z])(?=.*[A-Z])(?=.*\d)[A-Za-z\d+/_=-]{10,}"),
        0.05,
        0.6,
    ),
    Shape("location", "places on the earth", _matches(r"-?\d{1,3}\.\d{3,}[,; ] ?-?\d{1,3}\.\d{3,}"), 0.1, 0.6),
    Shape("account", "hardware addresses", _matches(r"([0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}"), 0.6, 0.8),
    Shape("secret", "PEM keys", _matches(r"-----BEGIN [A-Z ]+-----[\s\S]+"), 0.95, 0.95),
    Shape(
        "plate",
        "number plates",
        _matches(rf"[{_PROVINCES}][A-Z][·. -]?[A-Z0-9]{{4,5}}[A-Z0-9挂学警]"),
        0.95,
        0.95,
    ),
    Shape(
        "address",
        "street addresses",
        _matches(
            r"\d{1,5}[a-zA-Z]? ([\w'.-]+ ){1,5}(st|street|ave|avenue|rd|road|blvd|boulevard|ln|lane|dr|drive|way|ct|"
            r"court|pl|place|terrace|sq|square|parkway|pkwy|hwy)\b.*|.*(路|街|巷|大道|弄)[\d一二三四五六七八九十甲乙]+号.*",
            re.IGNORECASE,
        ),
        0.4,
        0.6,
    ),
)
