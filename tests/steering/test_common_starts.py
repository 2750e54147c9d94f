"""Rows that begin alike: disjoint groups that spare the most tokens."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from selfsteer.steering.common_starts import Start, common_starts

rows = st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=6), max_size=7)


def best(rows: list[list[int]]) -> int:
    """Tokens spared at most, over every partition of the sorted rows into runs of neighbours."""
    ordered = sorted(rows)

    def shared(run: list[list[int]]) -> int:
        most = min(map(len, run)) - 1
        first = run[0]
        return next((k for k in range(most) if any(r[k] != first[k] for r in run)), most)

    found = [0]
    for end in range(1, len(ordered) + 1):
        found.append(
            max(
                found[start] + (end - start - 1) * shared(ordered[start:end])
                for start in range(end)
            )
        )
    return found[-1]


@given(rows)
def test_groups_are_disjoint_begin_alike_and_leave_every_row_a_token(rows: list[list[int]]) -> None:
    starts = common_starts(rows)
    members = [number for start in starts for number in start.rows]
    assert len(set(members)) == len(members)
    for start in starts:
        assert len(start.rows) > 1
        heads = [tuple(rows[number][: start.length]) for number in start.rows]
        assert all(one == other for one, other in pairwise(heads))
        assert all(len(rows[number]) > start.length for number in start.rows)


@given(rows)
def test_no_other_runs_of_neighbours_spare_more(rows: list[list[int]]) -> None:
    assert sum(start.spared for start in common_starts(rows)) >= best(rows)


def test_pairs_within_a_shared_introduction() -> None:
    """Each pair spares more than the introduction that all have in common."""
    rows = [[9, 9, n, 5, 6, 7, side] for n in (1, 2) for side in (3, 4)]
    assert sorted(common_starts(rows)) == [Start((0, 1), 6), Start((2, 3), 6)]


def test_many_rows_under_one_introduction() -> None:
    rows = [[9] * 20 + [n] for n in range(5)]
    assert common_starts(rows) == [Start((0, 1, 2, 3, 4), 20)]


def test_nothing_to_share() -> None:
    assert common_starts([]) == []
    assert common_starts([[1, 2, 3]]) == []
    assert common_starts([[1, 2], [3, 4]]) == []
