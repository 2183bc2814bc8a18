"""The undo plan: every row of the recovery table of docs/journal-format.md, chains, and laws for any moves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from journal.playback import Seen, Undo, Verdict, judge, plan_undo
from journal.values import DIRECTORY, Create, Folder, Identity, Move, Operation, Type

BACKUP = Folder("directory", "file_bak_1")
ELSEWHERE = Folder("directory", "sub")
STAGING = Folder("state", "work-1")
TRASH = Folder("state", "trash-1")

PATIENT = settings(deadline=None, database=None)
"""No failure on a slow machine, none in a tree that may not be written."""

Place = tuple[Folder, str]
Disk = dict[Place, Identity]

ANNOUNCED = Identity(11, "file", 5, 700)
EDITED = Identity(11, "file", 6, 701)
OTHER = Identity(12, "file", 5, 700)
ANOTHER = Identity(13, "file", 5, 700)
SAME_INODE_OTHER_TYPE = Identity(11, "symlink", 5, 700)


def move_of(source: Place, destination: Place, identity: Identity, *, is_published: bool = False) -> Move:
    """Return the announcement of one move; only a published file is announced with size and mtime."""
    inode, kind, size, mtime_ns = identity
    return Move(*source, *destination, inode, kind, *((size, mtime_ns) if is_published else (None, None)))


# ---- the table ------------------------------------------------------------------------------------------------


class Row(NamedTuple):
    """One row of the table: the files under both names, and the verdict in each of the four surroundings."""

    label: str
    source: Identity | None
    destination: Identity | None
    ordinary: Verdict
    ordinary_into_new: Verdict
    staged: Verdict
    staged_into_new: Verdict


def always(label: str, source: Identity | None, destination: Identity | None, verdict: Verdict) -> Row:
    """Return a row whose verdict depends on the two names alone."""
    return Row(label, source, destination, verdict, verdict, verdict, verdict)


TABLE = [
    always("A and nothing", ANNOUNCED, None, Verdict.NOTHING),
    always("nothing and A", None, ANNOUNCED, Verdict.MOVE_BACK),
    always("A and A", ANNOUNCED, ANNOUNCED, Verdict.DROP),
    always("O and A", OTHER, ANNOUNCED, Verdict.NAME_TAKEN),
    always("A and O", ANNOUNCED, OTHER, Verdict.NOTHING),
    always("O and nothing", OTHER, None, Verdict.REPLACED),
    Row(
        "nothing and O",
        None,
        OTHER,
        ordinary=Verdict.STRANGER,
        ordinary_into_new=Verdict.MOVE_BACK,
        staged=Verdict.NOTHING,
        staged_into_new=Verdict.NOTHING,
    ),
    Row(
        "O and the same O",
        OTHER,
        OTHER,
        ordinary=Verdict.NOTHING,
        ordinary_into_new=Verdict.DROP,
        staged=Verdict.NOTHING,
        staged_into_new=Verdict.DROP,
    ),
    Row(
        "O and another O",
        OTHER,
        ANOTHER,
        ordinary=Verdict.NOTHING,
        ordinary_into_new=Verdict.STRANGER,
        staged=Verdict.NOTHING,
        staged_into_new=Verdict.STRANGER,
    ),
    always("nothing and nothing", None, None, Verdict.GONE),
    # An inode number is used again as soon as it is free: another type is another file.
    always("another type and nothing", SAME_INODE_OTHER_TYPE, None, Verdict.REPLACED),
    always("another type and A", SAME_INODE_OTHER_TYPE, ANNOUNCED, Verdict.NAME_TAKEN),
    always("A and another type", ANNOUNCED, SAME_INODE_OTHER_TYPE, Verdict.NOTHING),
    Row(
        "nothing and another type",
        None,
        SAME_INODE_OTHER_TYPE,
        ordinary=Verdict.STRANGER,
        ordinary_into_new=Verdict.MOVE_BACK,
        staged=Verdict.NOTHING,
        staged_into_new=Verdict.NOTHING,
    ),
]


def plan(
    numbered: Sequence[tuple[int, Move]],
    made: frozenset[Folder],
    places: Mapping[tuple[Folder, str], Identity | None],
    gone: frozenset[Folder] = frozenset(),
) -> list[Undo]:
    """Plan for moves of these numbers, among other operations, with these identities at their places."""
    operations: list[Operation] = [Create(BACKUP, "other")] * (max((number for number, _ in numbered), default=-1) + 1)
    for number, move in numbered:
        operations[number] = move
    seen: Seen = {}
    for (folder, name), identity in places.items():
        if identity is not None:
            seen.setdefault(folder, {})[name] = identity
    return list(plan_undo(operations, made, seen, gone))


SURROUNDINGS = {
    "ordinary": (DIRECTORY, ELSEWHERE, frozenset({BACKUP})),
    "ordinary_into_new": (DIRECTORY, BACKUP, frozenset({BACKUP})),
    "staged": (STAGING, DIRECTORY, frozenset({BACKUP})),
    "staged_into_new": (STAGING, BACKUP, frozenset({BACKUP})),
}


@pytest.mark.parametrize("surrounding", SURROUNDINGS)
@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.label.replace(" ", "-"))
def test_each_row_of_the_recovery_table_gives_its_verdict(row: Row, surrounding: str) -> None:
    """The verdict depends on the files under its two names, and on the two folders."""
    source_folder, destination_folder, made = SURROUNDINGS[surrounding]
    is_published = source_folder.root == "state"
    move = move_of((source_folder, "a"), (destination_folder, "b"), ANNOUNCED, is_published=is_published)
    seen = {(source_folder, "a"): row.source, (destination_folder, "b"): row.destination}

    expected = Undo(7, move, getattr(row, surrounding), row.destination)

    assert plan([(7, move)], made, seen) == [expected]


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.label.replace(" ", "-"))
def test_size_and_time_do_not_count_for_a_file_that_is_announced_without_them(row: Row) -> None:
    """A log that grows while it is moved is still the announced file."""
    move = move_of((DIRECTORY, "a"), (BACKUP, "b"), ANNOUNCED)

    def grown(seen: Identity | None) -> Identity | None:
        return seen and seen._replace(size=4711, mtime_ns=4712)

    assert judge(move, grown(row.source), grown(row.destination), is_new=True) is row.ordinary_into_new


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.label.replace(" ", "-"))
def test_identity_of_a_scan_without_size_and_time_is_judged_alike(row: Row) -> None:
    """A scan gives inode and type only; for an ordinary move that is enough."""
    move = move_of((DIRECTORY, "a"), (ELSEWHERE, "b"), ANNOUNCED)

    def scanned(seen: Identity | None) -> Identity | None:
        return seen and Identity(seen.inode, seen.type)

    assert judge(move, scanned(row.source), scanned(row.destination), is_new=False) is row.ordinary


@pytest.mark.parametrize("is_new", [True, False], ids=["new", "existing"])
@pytest.mark.parametrize("source", [None, EDITED, ANNOUNCED, OTHER], ids=["nothing", "edited", "A", "O"])
@pytest.mark.parametrize(
    "published",
    [Identity(11, "file", 6, 700), Identity(11, "file", 5, 701), EDITED],
    ids=["other-size", "other-time", "other-size-and-time"],
)
def test_published_file_that_was_changed_since_is_a_conflict(
    published: Identity, source: Identity | None, is_new: bool
) -> None:
    """I5: a published file that another process changed is neither moved back into staging nor dropped."""
    move = move_of((STAGING, "a"), (DIRECTORY, "a"), ANNOUNCED, is_published=True)

    verdict = judge(move, source, published, is_new=is_new)

    assert verdict is Verdict.CHANGED
    assert verdict.is_conflict


def test_staged_file_that_was_changed_before_it_was_published_is_left_where_it_is() -> None:
    """Only a published name is compared by size and time: a file with its staged name is not moved yet."""
    move = move_of((STAGING, "a"), (DIRECTORY, "a"), ANNOUNCED, is_published=True)

    assert judge(move, EDITED, None, is_new=False) is Verdict.NOTHING


HOME_IS_GONE = {Verdict.MOVE_BACK: Verdict.HOMELESS}
"""What changes where the folder that the file came from is no longer there."""


@pytest.mark.parametrize("surrounding", SURROUNDINGS)
@pytest.mark.parametrize(
    "row", [row for row in TABLE if row.source is None], ids=lambda row: row.label.replace(" ", "-")
)
def test_file_whose_old_folder_is_missing_is_a_conflict(row: Row, surrounding: str) -> None:
    """I9: it cannot be moved back, so it keeps its new name."""
    source_folder, destination_folder, made = SURROUNDINGS[surrounding]
    is_published = source_folder.root == "state"
    move = move_of((source_folder, "a"), (destination_folder, "b"), ANNOUNCED, is_published=is_published)
    verdict = getattr(row, surrounding)

    (undo,) = plan([(0, move)], made, {(destination_folder, "b"): row.destination}, frozenset({source_folder}))

    assert undo.verdict is HOME_IS_GONE.get(verdict, verdict)


def test_missing_folder_of_another_move_changes_nothing() -> None:
    """Only the folder of a file's old name has to exist."""
    move = move_of((DIRECTORY, "a"), (ELSEWHERE, "a"), ANNOUNCED)

    (undo,) = plan([(0, move)], frozenset(), {(ELSEWHERE, "a"): ANNOUNCED}, frozenset({STAGING, BACKUP}))

    assert undo.verdict is Verdict.MOVE_BACK


def test_exactly_the_verdicts_that_an_operator_has_to_decide_are_conflicts() -> None:
    """Recovery decides all other cases itself."""
    conflicts = {verdict for verdict in Verdict if verdict.is_conflict}

    assert conflicts == {Verdict.NAME_TAKEN, Verdict.STRANGER, Verdict.CHANGED, Verdict.HOMELESS}


def test_each_verdict_has_its_own_text() -> None:
    """The texts are in reports; two enum members with one text would be one verdict."""
    assert len(Verdict) == len(Verdict.__members__)


def test_names_that_were_not_observed_count_as_free() -> None:
    """The folder of a name may be missing: then nothing was seen there."""
    move = move_of((DIRECTORY, "a"), (BACKUP, "a"), ANNOUNCED)

    assert plan([(0, move)], frozenset({BACKUP}), {}) == [Undo(0, move, Verdict.GONE, None)]


def test_no_moves_give_an_empty_plan() -> None:
    """A transaction that only made a directory has nothing to move back."""
    assert plan([], frozenset({BACKUP}), {(DIRECTORY, "a"): OTHER}) == []


def test_planning_updates_the_sightings_for_older_moves() -> None:
    """The view is not copied, because a second copy of a million names would need too much memory."""
    older = move_of((ELSEWHERE, "a"), (DIRECTORY, "a"), ANNOUNCED)
    move = move_of((DIRECTORY, "a"), (BACKUP, "a"), ANNOUNCED)
    alone: Seen = {BACKUP: {"a": ANNOUNCED}}

    list(plan_undo([move], frozenset({BACKUP}), alone))
    undos = list(plan_undo([older, move], frozenset({BACKUP}), {BACKUP: {"a": ANNOUNCED}}))

    assert alone == {DIRECTORY: {}, BACKUP: {}}
    assert [undo.verdict for undo in undos] == [Verdict.MOVE_BACK, Verdict.MOVE_BACK]


def test_undo_has_the_file_of_the_new_name_not_the_announced_one() -> None:
    """An editor's new file is moved back with its own inode, which is checked before its name is removed (I5)."""
    move = move_of((DIRECTORY, "a"), (BACKUP, "a"), ANNOUNCED)

    (undo,) = plan([(0, move)], frozenset({BACKUP}), {(BACKUP, "a"): OTHER})

    assert (undo.verdict, undo.occupant) == (Verdict.MOVE_BACK, OTHER)


def test_each_undo_carries_the_number_of_its_operation() -> None:
    """Numbers count all operations of the journal, so they have gaps where other operations are between the moves."""
    moves = [(number, move_of((DIRECTORY, f"{number}"), (BACKUP, f"{number}"), ANNOUNCED)) for number in (0, 3, 4)]

    assert [undo.operation for undo in plan(moves, frozenset(), {})] == [4, 3, 0]


# ---- moves as they are made: a disk of names, and every state that a crash can leave ----------------------------


def states_while_moving(disk: Disk, moves: Sequence[Move]) -> Iterator[Disk]:
    """Yield every state between the first change and the last, start and end included.

    Moves into one folder go together: all are linked, then all old names are removed. Directories are renamed.
    """
    now = dict(disk)
    yield dict(now)
    for _, group in groupby(moves, key=lambda move: move.destination):
        together = list(group)
        for move in together:
            source, destination = place_before(move), place_after(move)
            assert destination not in now, "I2: the destination is free"
            now[destination] = now[source]
            if move.type == "directory":
                del now[source]
            yield dict(now)
        for move in together:
            if move.type != "directory":
                del now[place_before(move)]
                yield dict(now)


def place_before(move: Move) -> Place:
    return move.source, move.source_name


def place_after(move: Move) -> Place:
    return move.destination, move.destination_name


def seen_of(disk: Disk, moves: Sequence[Move]) -> dict[tuple[Folder, str], Identity | None]:
    places = {place for move in moves for place in (place_before(move), place_after(move))}
    return {place: disk.get(place) for place in places}


def planned(disk: Disk, moves: Sequence[Move], made: frozenset[Folder]) -> list[Undo]:
    return plan(list(enumerate(moves)), made, seen_of(disk, moves))


def states_while_undoing(disk: Disk, plan: Sequence[Undo]) -> Iterator[Disk]:
    """Yield every state of an undo, in the plan's order."""
    now = dict(disk)
    yield dict(now)
    for undo in plan:
        source, destination = place_before(undo.move), place_after(undo.move)
        match undo.verdict:
            case Verdict.MOVE_BACK:
                assert source not in now, "I5: nothing is overwritten backward either"
                now[source] = now[destination]
                if undo.move.type != "directory":
                    yield dict(now)
                del now[destination]
                yield dict(now)
            case Verdict.DROP:
                assert now[source].is_same(now[destination]), "only a second name is dropped"
                del now[destination]
                yield dict(now)


def undone(disk: Disk, moves: Sequence[Move], made: frozenset[Folder]) -> Disk:
    *_, end = states_while_undoing(disk, planned(disk, moves, made))
    return end


OLD = Identity(1, "file", 10, 100)
NEW = Identity(2, "file", 20, 200)
OLDER = Identity(3, "file", 30, 300)

CHAINS: dict[str, tuple[Disk, list[Move]]] = {
    "publish-one": (
        {(DIRECTORY, "a"): OLD, (STAGING, "a"): NEW},
        [
            move_of((DIRECTORY, "a"), (TRASH, "a"), OLD),
            move_of((STAGING, "a"), (DIRECTORY, "a"), NEW, is_published=True),
        ],
    ),
    "publish-two": (
        {(DIRECTORY, "a"): OLD, (DIRECTORY, "b"): OLDER, (STAGING, "a"): NEW, (STAGING, "b"): Identity(4, "file")},
        [
            move_of((DIRECTORY, "a"), (TRASH, "a"), OLD),
            move_of((DIRECTORY, "b"), (TRASH, "b"), OLDER),
            move_of((STAGING, "a"), (DIRECTORY, "a"), NEW, is_published=True),
            move_of((STAGING, "b"), (DIRECTORY, "b"), Identity(4, "file")),
        ],
    ),
    "rename-over-a-deleted-name": (
        {(DIRECTORY, "a"): OLD, (DIRECTORY, "b"): NEW},
        [
            move_of((DIRECTORY, "a"), (TRASH, "a"), OLD),
            move_of((DIRECTORY, "b"), (DIRECTORY, "a"), NEW),
        ],
    ),
    "three-names-in-turn": (
        {(DIRECTORY, "a"): NEW, (ELSEWHERE, "a"): OLD, (BACKUP, "a"): OLDER},
        [
            move_of((BACKUP, "a"), (TRASH, "a"), OLDER),
            move_of((ELSEWHERE, "a"), (BACKUP, "a"), OLD),
            move_of((DIRECTORY, "a"), (ELSEWHERE, "a"), NEW),
        ],
    ),
    "directory-gives-way-to-a-file": (
        {(DIRECTORY, "a"): Identity(5, "directory"), (STAGING, "a"): NEW},
        [
            move_of((DIRECTORY, "a"), (TRASH, "a"), Identity(5, "directory")),
            move_of((STAGING, "a"), (DIRECTORY, "a"), NEW, is_published=True),
        ],
    ),
}

CUTS = [
    pytest.param(name, cut, id=f"{name}-cut-after-{cut}-changes")
    for name, (disk, moves) in CHAINS.items()
    for cut in range(len(list(states_while_moving(disk, moves))))
]


@pytest.mark.parametrize(("name", "cut"), CUTS)
def test_chain_of_moves_interrupted_anywhere_is_undone_to_its_start(name: str, cut: int) -> None:
    """I3: a later move that took an earlier one's name is judged first, and as undone when the earlier one is."""
    start, moves = CHAINS[name]
    made = frozenset({TRASH})
    at_the_cut = list(states_while_moving(start, moves))[cut]

    plan = planned(at_the_cut, moves, made)

    assert [undo.operation for undo in plan] == list(reversed(range(len(moves))))
    assert not [undo for undo in plan if undo.verdict.is_conflict]
    assert undone(at_the_cut, moves, made) == start


@pytest.mark.parametrize(("name", "cut"), CUTS)
def test_undo_of_a_chain_interrupted_anywhere_and_planned_again_ends_at_the_start(name: str, cut: int) -> None:
    """I3: a recovery that dies after any of its own changes is finished by the next one."""
    start, moves = CHAINS[name]
    made = frozenset({TRASH})
    at_the_cut = list(states_while_moving(start, moves))[cut]

    for state in states_while_undoing(at_the_cut, planned(at_the_cut, moves, made)):
        assert undone(state, moves, made) == start


def test_finished_publish_is_undone_newest_first() -> None:
    """The new file loses its name before the old file gets it back."""
    start, moves = CHAINS["publish-one"]
    *_, finished = states_while_moving(start, moves)

    plan = planned(finished, moves, frozenset({TRASH}))

    assert plan == [Undo(1, moves[1], Verdict.MOVE_BACK, NEW), Undo(0, moves[0], Verdict.MOVE_BACK, OLD)]


def test_publish_interrupted_between_link_and_unlink_frees_the_name_for_the_old_file() -> None:
    """A dropped name counts as free when the older move is judged, though it is still taken on disk."""
    _, moves = CHAINS["publish-one"]
    disk = {(DIRECTORY, "a"): NEW, (STAGING, "a"): NEW, (TRASH, "a"): OLD}

    plan = planned(disk, moves, frozenset({TRASH}))

    assert [undo.verdict for undo in plan] == [Verdict.DROP, Verdict.MOVE_BACK]


def test_editors_new_file_that_was_moved_back_is_seen_by_the_older_move() -> None:
    """The view has the file that is moved back: here a stranger's file, under the name that the older move needs."""
    moves = [
        move_of((DIRECTORY, "a"), (TRASH, "a"), OLD),
        move_of((DIRECTORY, "a"), (BACKUP, "a"), NEW),
    ]
    disk = {(TRASH, "a"): OLD, (BACKUP, "a"): OTHER}

    plan = planned(disk, moves, frozenset({TRASH, BACKUP}))

    assert [undo.verdict for undo in plan] == [Verdict.MOVE_BACK, Verdict.NAME_TAKEN]


def test_file_that_is_moved_back_is_judged_by_its_own_identity() -> None:
    """I5: a stranger's file that gets a name back is not mistaken for the announced one that had it before."""
    moves = [
        move_of((ELSEWHERE, "a"), (DIRECTORY, "a"), NEW),
        move_of((DIRECTORY, "a"), (BACKUP, "a"), NEW),
    ]
    disk = {(BACKUP, "a"): OTHER}

    plan = planned(disk, moves, frozenset({BACKUP}))

    assert [undo.verdict for undo in plan] == [Verdict.MOVE_BACK, Verdict.STRANGER]


def test_published_file_changed_since_keeps_the_old_one_in_the_trash() -> None:
    """I9: a conflict of the newer move leaves the file of the older one where it is, too."""
    _, moves = CHAINS["publish-one"]
    disk = {(DIRECTORY, "a"): NEW._replace(mtime_ns=201), (TRASH, "a"): OLD}

    plan = planned(disk, moves, frozenset({TRASH}))

    assert [undo.verdict for undo in plan] == [Verdict.CHANGED, Verdict.NAME_TAKEN]
    assert undone(disk, moves, frozenset({TRASH})) == disk


def test_published_file_whose_staging_folder_is_missing_keeps_the_old_one_in_the_trash() -> None:
    """I9: the new file stays under its name, so the older move must not be seen as if that name were free."""
    _, moves = CHAINS["publish-one"]
    disk = {(DIRECTORY, "a"): NEW, (TRASH, "a"): OLD}

    undos = plan(list(enumerate(moves)), frozenset({TRASH}), disk, frozenset({STAGING}))

    assert [undo.verdict for undo in undos] == [Verdict.HOMELESS, Verdict.NAME_TAKEN]


def test_old_file_never_vacated_is_kept_when_the_staged_name_was_lost() -> None:
    """A power failure may lose the staged name, which is not synced, and leave the old file under both of its names."""
    _, moves = CHAINS["publish-one"]
    disk = {(DIRECTORY, "a"): OLD, (TRASH, "a"): OLD}

    plan = planned(disk, moves, frozenset({TRASH}))

    assert [undo.verdict for undo in plan] == [Verdict.NOTHING, Verdict.DROP]


# ---- any moves, cut anywhere ------------------------------------------------------------------------------------

FOLDERS = [DIRECTORY, ELSEWHERE, BACKUP, STAGING, TRASH]
NAMES = ["a", "b", "c"]
KINDS: list[Type] = ["file", "file", "symlink", "directory"]


class Interrupted(NamedTuple):
    """The files before, the announced moves, and the state after the crash."""

    start: Disk
    moves: list[Move]
    made: frozenset[Folder]
    after_crash: Disk


@st.composite
def interrupted_transactions(draw: st.DrawFn) -> Interrupted:
    """Draw a transaction as the planner makes it: no name left or reached twice, each free when it is needed."""
    folders = draw(st.permutations(FOLDERS))
    taken = draw(st.lists(st.tuples(st.sampled_from(FOLDERS), st.sampled_from(NAMES)), min_size=1, unique=True))
    start: Disk = {}
    for inode, place in enumerate(taken, start=1):
        kind = draw(st.sampled_from(KINDS))
        start[place] = Identity(inode, kind, inode * 10, inode * 100)
    moves: list[Move] = []
    now = dict(start)
    left: set[Place] = set()
    for folder in folders:  # a move that vacates a name goes before the move that takes it: one folder after the other
        free = [(folder, name) for name in NAMES if (folder, name) not in now]
        sources = [place for place in now if place in start and place not in left]
        count = draw(st.integers(0, min(len(free), len(sources))))
        chosen = draw(st.permutations(sources))[:count]
        for source, destination in zip(chosen, free, strict=False):
            is_published = source[0] == STAGING and now[source].type == "file"
            moves.append(move_of(source, destination, now[source], is_published=is_published))
            left.add(source)
        for move in moves[len(moves) - count :]:
            now[place_after(move)] = now.pop(place_before(move))
    made = frozenset(draw(st.sets(st.sampled_from([BACKUP, TRASH]))))
    after_crash = draw(st.sampled_from(list(states_while_moving(start, moves))))
    return Interrupted(start, moves, made, after_crash)


@PATIENT
@given(interrupted_transactions())
def test_any_moves_interrupted_anywhere_are_undone_to_their_start(interrupted: Interrupted) -> None:
    """I3: whatever was announced and however far it came, the planned undos restore the files before."""
    start, moves, made, after_crash = interrupted

    result = undone(after_crash, moves, made)

    assert result == start


@PATIENT
@given(interrupted_transactions())
def test_planning_again_after_a_recovery_finds_nothing_to_do(interrupted: Interrupted) -> None:
    """I3: a recovery that died before it removed its journal is repeated without a change."""
    start, moves, made, after_crash = interrupted

    again = planned(undone(after_crash, moves, made), moves, made)

    assert {undo.verdict for undo in again} <= {Verdict.NOTHING}
    assert undone(start, moves, made) == start


@settings(PATIENT, max_examples=50)
@given(interrupted_transactions())
def test_any_recovery_interrupted_anywhere_is_finished_by_the_next(interrupted: Interrupted) -> None:
    """I3: interrupted after any of its own changes, planned again and carried out, it ends in the same state."""
    start, moves, made, after_crash = interrupted

    for state in states_while_undoing(after_crash, planned(after_crash, moves, made)):
        assert undone(state, moves, made) == start


@PATIENT
@given(interrupted_transactions())
def test_plan_has_one_entry_for_each_move_newest_first(interrupted: Interrupted) -> None:
    """Every move is judged, also a move that never ran."""
    _, moves, made, after_crash = interrupted

    plan = planned(after_crash, moves, made)

    assert [(undo.operation, undo.move) for undo in plan] == list(enumerate(moves))[::-1]


@PATIENT
@given(interrupted_transactions(), st.data())
def test_strangers_files_are_never_dropped(interrupted: Interrupted, data: st.DataObject) -> None:
    """I5: whatever files a stranger put under the announced names, each file keeps at least one name."""
    _, moves, made, after_crash = interrupted
    places = sorted({place for move in moves for place in (place_before(move), place_after(move))})
    disk = dict(after_crash)
    for inode, place in enumerate(data.draw(st.sets(st.sampled_from(places)) if places else st.just(set())), start=90):
        disk[place] = Identity(inode, "file", 1, 1)

    result = undone(disk, moves, made)

    assert {identity.inode for identity in result.values()} == {identity.inode for identity in disk.values()}
