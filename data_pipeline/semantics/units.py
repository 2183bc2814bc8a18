"""The unit of a number, from its name or its comment: `weight_kg` -> kg, 金额（元） -> 元. Pure."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from importlib.resources import files

_BRACKETS = re.compile(r"[（(\[【]\s*(?:单位)?[:：]?\s*([^）)\]】]{1,12}?)\s*[）)\]】]")
_SAID = re.compile(r"单位[:：为]?\s*([^\s,，;；。)）]{1,8})|\bin ([a-z%]{1,12})\b", re.IGNORECASE)


def unit_of(column: str, comment: str | None) -> str | None:
    """Return how people write the unit of a column's numbers; None where neither name nor comment says it."""
    units = _units()
    for text in (*_BRACKETS.findall(comment or ""), *(part for pair in _SAID.findall(comment or "") for part in pair)):
        if text.lower() in units:
            return units[text.lower()]
    whole = (comment or "").strip().lower()
    if whole in units and len(whole) > 1:
        return units[whole]
    words = [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[a-z]+\d*", column)]
    last = words[-1] if len(words) > 1 else ""
    return units.get(last) if len(last) > 1 or (last == "g" and len(words) > 1) else None


@cache
def _units() -> dict[str, str]:
    text = files(__package__).joinpath("words", "tables.toml").read_text(encoding="utf-8")
    return dict(tomllib.loads(text)["units"])
