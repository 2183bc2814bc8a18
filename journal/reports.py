"""The reports of recovery: values for callers, opens no file."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel


class JournalReport(BaseModel, frozen=True):
    """The end of one journal, or the end that recovery would give it. Names are printable, counts are moves.

    `action` is one of:
      - `discarded`: nothing had moved;
      - `finished`: the transaction was committed, only its trash was left to purge;
      - `rolled_back`: every name is where it was;
      - `conflict`: every name is, except for `conflicts`; the journal is kept as `set_aside`.

    `transaction`, `label` and `since` (UTC) come from the journal. `moved_back` files got their old name back,
    `dropped` files had both names and lost the new one. `notes` are sentences about files that need no action.
    """

    transaction: str
    label: str
    since: str
    action: Literal["discarded", "finished", "rolled_back", "conflict"]
    moved_back: int = 0
    dropped: int = 0
    conflicts: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    set_aside: str | None = None


class RecoveryReport(BaseModel, frozen=True):
    """The result of the recovery of one state directory.

    `journals` has one report for each journal that was hot or unfinished, `swept` the removed entries that belonged to
    no journal. `leftovers` are entries that could not be removed, with the reason; the next recovery tries again.
    """

    journals: tuple[JournalReport, ...] = ()
    swept: tuple[str, ...] = ()
    leftovers: tuple[str, ...] = ()

    @property
    def is_clean(self) -> bool:
        """True if there was nothing to do."""
        return not (self.journals or self.swept or self.leftovers)
