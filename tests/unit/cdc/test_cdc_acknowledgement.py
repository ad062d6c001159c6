from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from connectors.cdc.acknowledgement import Acknowledgements, Transaction


def test_nothing_is_confirmed_before_its_records_are_acknowledged() -> None:
    acknowledgements = Acknowledgements(10)
    transaction = acknowledgements.begin()
    transaction.awaits(2)
    acknowledgements.commit(transaction, 20)
    transaction.acknowledged()
    assert acknowledgements.confirmed == 10
    transaction.acknowledged()
    assert acknowledgements.confirmed == 20
    assert acknowledgements.last_commit == 20


def test_a_transaction_that_is_done_waits_for_those_before_it() -> None:
    acknowledgements = Acknowledgements(0)
    first, second = acknowledgements.begin(), None
    first.awaits()
    acknowledgements.commit(first, 1)
    second = acknowledgements.begin()
    acknowledgements.commit(second, 2)
    assert acknowledgements.confirmed == 0
    first.acknowledged()
    assert acknowledgements.confirmed == 2


def test_acknowledged_records_of_an_open_transaction_confirm_nothing() -> None:
    acknowledgements = Acknowledgements(0)
    transaction = acknowledgements.begin()
    transaction.awaits()
    transaction.acknowledged()
    assert acknowledgements.confirmed == 0
    assert acknowledgements.pending


def test_wal_without_anything_of_ours_is_confirmed_when_nothing_is_on_its_way() -> None:
    acknowledgements = Acknowledgements(0, last_commit=None)
    acknowledgements.reached(100)
    assert acknowledgements.confirmed == 100
    assert acknowledgements.last_commit is None
    assert not acknowledgements.pending


def test_a_keepalive_within_a_transaction_says_nothing() -> None:
    acknowledgements = Acknowledgements(0)
    transaction = acknowledgements.begin()
    acknowledgements.reached(100)
    acknowledgements.commit(transaction, 50)
    assert acknowledgements.confirmed == 50


def test_a_keepalive_waits_for_what_was_sent_before_it() -> None:
    acknowledgements = Acknowledgements(0)
    transaction = acknowledgements.begin()
    transaction.awaits()
    acknowledgements.commit(transaction, 50)
    acknowledgements.reached(100)
    assert acknowledgements.confirmed == 0
    transaction.acknowledged()
    assert acknowledgements.confirmed == 100
    assert acknowledgements.last_commit == 50


@given(st.lists(st.integers(0, 100)))
def test_what_is_confirmed_never_moves_backwards(positions: list[int]) -> None:
    acknowledgements = Acknowledgements(30)
    seen = 30
    for position in positions:
        acknowledgements.reached(position)
        assert acknowledgements.confirmed >= seen
        seen = acknowledgements.confirmed


class AgainstAModel(RuleBasedStateMachine):
    """The model keeps, for each transaction and marker in stream order, its end and its records on their way."""

    def __init__(self) -> None:
        super().__init__()
        self.acknowledgements = Acknowledgements(0)
        self.lsn = 0
        self.open: Transaction | None = None
        self.open_records = 0
        self.model: list[tuple[int, Transaction | None]] = []
        self.waiting: dict[Transaction, int] = {}

    @precondition(lambda self: self.open is None)
    @rule()
    def begin(self) -> None:
        self.open = self.acknowledgements.begin()
        self.waiting[self.open] = 0

    @precondition(lambda self: self.open is not None)
    @rule(records=st.integers(1, 3))
    def send(self, records: int) -> None:
        assert self.open is not None
        self.open.awaits(records)
        self.waiting[self.open] += records

    @precondition(lambda self: self.open is not None)
    @rule(step=st.integers(1, 5))
    def commit(self, step: int) -> None:
        assert self.open is not None
        self.lsn += step
        self.acknowledgements.commit(self.open, self.lsn)
        self.model.append((self.lsn, self.open))
        self.open = None

    @rule(step=st.integers(0, 5))
    def reach(self, step: int) -> None:
        self.acknowledgements.reached(self.lsn + step)
        if self.open is None:
            self.lsn += step
            self.model.append((self.lsn, None))

    @precondition(lambda self: any(self.waiting.values()))
    @rule(data=st.data())
    def acknowledge(self, data: st.DataObject) -> None:
        transaction = data.draw(st.sampled_from([one for one, records in self.waiting.items() if records]))
        transaction.acknowledged()
        self.waiting[transaction] -= 1

    @invariant()
    def confirmed_is_the_end_of_the_unbroken_row_of_finished_ones(self) -> None:
        expected, last_commit = 0, None
        for end, transaction in self.model:
            if transaction is not None and self.waiting[transaction]:
                break
            expected = end
            last_commit = end if transaction is not None else last_commit
        assert self.acknowledgements.confirmed == expected
        assert self.acknowledgements.last_commit == last_commit

    @invariant()
    def pending_means_that_something_is_open_or_on_its_way(self) -> None:
        on_its_way = any(transaction is not None and self.waiting[transaction] for _, transaction in self.model)
        assert self.acknowledgements.pending == (self.open is not None or on_its_way)


TestAgainstAModel = AgainstAModel.TestCase
