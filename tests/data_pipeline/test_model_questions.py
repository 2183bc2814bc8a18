"""Questions in a model's words: what may stand in a file, and what says the same as before."""

from __future__ import annotations

from typing import Any

import pytest
import sqlglot

from data_pipeline.steps.qa.model.questions import why_no_question, why_no_rewording


@pytest.mark.parametrize(
    ("question", "language", "reason"),
    [
        ("Which books are longest?", "en", None),
        ("Which books are in 诗歌?", "en", None),
        ("诗歌有多少本？", "zh", None),
        ("ISBN 最大的书是哪本？", "zh", None),
        ("诗歌有多少本？", "en", "language"),
        ("Which books are longest?", "zh", "language"),
        ("12?", "en", "language"),
        ("", "en", "unreadable"),
        ("Which\nbooks?", "en", "unreadable"),
        ("Which \u202ebooks?", "en", "unreadable"),
        ("Which\u200b books?", "en", "unreadable"),
        ("Which books? " * 50, "en", "unreadable"),
    ],
)
def test_question_is_one_line_in_the_language_of_the_task(question: str, language: Any, reason: str | None) -> None:
    """With values of another one, as they are."""
    assert why_no_question(question, language) == reason


OLD = "What are the three cheapest novels by 'Eva Lind' since March 2020 with at least 1,500 copies?"
SQL = (
    "SELECT title FROM book WHERE kind = 'novel' AND author = 'Eva Lind' AND day >= '2020-03-01' AND copies >= 1500 "
    "ORDER BY price LIMIT 3"
)


@pytest.mark.parametrize(
    ("new", "reason"),
    [
        ("Since March 2020, which 3 novels by Eva Lind with 1,500 copies or more cost least?", None),
        ("Name the three novels of Eva Lind, at least 1,500 copies, from March 2020 on, that cost least.", None),
        ("Which three books by Eva Lind since March 2020 with at least 1,500 copies cost least?", "value_lost"),
        ("Since March 2020, which 3 novels by Eva with 1,500 copies or more cost least?", "value_lost"),
        ("Since March 2020, which novels by Eva Lind with 1,500 copies or more cost least?", "number_lost"),
        ("Since 2020, which 3 novels by Eva Lind with 1,500 copies or more cost least?", "number_lost"),
        ("Since March 2020, which 3 novels by Eva Lind with 1500 copies or more cost least?", "number_lost"),
        ("Since March 2020, which 3 novels by Eva Lind with 1,500 copies or 10 more cost least?", "number_added"),
        ("Since March 2020, which 3 novels by Eva Lind 小说 with 1,500 copies or more cost least?", "language"),
    ],
)
def test_wording_keeps_every_value_and_number_and_adds_none(new: str, reason: str | None) -> None:
    """As they are written; small numbers may change between words and digits, a month is a number."""
    assert why_no_rewording(OLD, new, sqlglot.parse_one(SQL), "en") == reason


def test_wording_in_chinese_keeps_them_too() -> None:
    """Whatever stands beside them."""
    tree = sqlglot.parse_one("SELECT COUNT(*) FROM book WHERE kind = '诗歌' AND pages > 300")

    assert why_no_rewording("诗歌类超过300页的书有多少本？", "有几本诗歌书的页数大于300？", tree, "zh") is None
    assert why_no_rewording("诗歌类超过300页的书有多少本？", "有几本诗集的页数大于300？", tree, "zh") == "value_lost"
    assert why_no_rewording("诗歌类超过300页的书有多少本？", "有几本很厚的诗歌书？", tree, "zh") == "number_lost"
