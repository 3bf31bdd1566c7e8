"""The model of the cluster: batches that the real reader reads, epochs, transactions, and a commit that comes late."""

from random import Random

import pytest
from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder

from simulation.event_loop import MACHINE, Machine, SimulatedLoop
from simulation.kafka import codes
from simulation.kafka.partition import Partition
from simulation.kafka.record_batch import marker, placed
from simulation.kafka.transactions import Transactions


def _batch(producer: int, epoch: int, sequence: int, *values: bytes) -> bytes:
    builder = DefaultRecordBatchBuilder(2, 0, 1, producer, epoch, sequence, 16_384)
    for number, value in enumerate(values):
        builder.append(number, 0, b"key", value, [])
    return bytes(builder.build())


def test_a_batch_is_read_at_its_place() -> None:
    batch = DefaultRecordBatch(placed(_batch(7, 3, 0, b"a", b"b"), 40).data)

    assert batch.validate_crc()
    assert [(record.offset, record.value) for record in batch] == [(40, b"a"), (41, b"b")]
    assert (batch.producer_id, batch.producer_epoch, batch.is_transactional) == (7, 3, True)


@pytest.mark.parametrize(("commit", "told"), [(True, 1), (False, 0)])
def test_a_marker_is_read_as_one(commit: bool, told: int) -> None:
    batch = DefaultRecordBatch(marker(9, 7, 3, 12.5, commit=commit).data)

    assert batch.validate_crc()
    assert batch.is_control_batch
    (record,) = batch
    assert (record.offset, record.key) == (9, bytes([0, 0, 0, told]))


@pytest.fixture
def partition() -> Partition:
    return Partition("order-events", 0)


def test_a_batch_that_comes_again_is_known(partition: Partition) -> None:
    assert partition.append(_batch(7, 0, 0, b"a", b"b"), is_in_transaction=True) == (codes.OK, 0)
    assert partition.append(_batch(7, 0, 0, b"a", b"b"), is_in_transaction=True) == (codes.OK, 0)
    assert partition.append(_batch(7, 0, 3, b"c"), is_in_transaction=True) == (codes.OUT_OF_ORDER_SEQUENCE_NUMBER, -1)
    assert partition.append(_batch(7, 0, 2, b"c"), is_in_transaction=True) == (codes.OK, 2)
    assert partition.end == 3


def test_a_batch_outside_of_a_transaction_is_refused(partition: Partition) -> None:
    assert partition.append(_batch(7, 0, 0, b"a"), is_in_transaction=False) == (codes.INVALID_TXN_STATE, -1)
    assert partition.end == 0


def test_a_committed_reader_stops_below_an_open_transaction(partition: Partition) -> None:
    partition.append(_batch(7, 0, 0, b"a"), is_in_transaction=True)

    assert partition.last_stable_offset == 0
    assert partition.read(0, committed=True, at_most=1000) == (b"", [])
    assert partition.read(0, committed=False, at_most=1000)[0] != b""

    partition.end_transaction(7, 0, 0.0, commit=False)

    data, aborted = partition.read(0, committed=True, at_most=1000)
    assert partition.last_stable_offset == 2
    assert data
    assert aborted == [(7, 0)]


def test_the_next_epoch_ends_the_one_before(partition: Partition) -> None:
    partition.append(_batch(7, 4, 0, b"a"), is_in_transaction=True)
    partition.end_transaction(7, 5, 0.0, commit=False)

    assert partition.append(_batch(7, 4, 1, b"b"), is_in_transaction=True) == (codes.INVALID_PRODUCER_EPOCH, -1)


@pytest.fixture
def transactions() -> Transactions:
    MACHINE.set(Machine("coordinator"))
    loop = SimulatedLoop(Random(1))

    def at_once(_seconds: float, call: object, *arguments: object) -> None:
        call(*arguments)  # type: ignore[operator]

    return Transactions(lambda: iter([0.0] * 9), at_once, loop.time)


def test_a_late_commit_ends_the_next_transaction_of_its_epoch(transactions: Transactions, partition: Partition) -> None:
    _, producer, epoch = transactions.init("shard-0", 60)
    transactions.add("shard-0", producer, epoch, [partition])
    assert transactions.end("shard-0", producer, epoch, commit=True) == codes.OK
    transactions.add("shard-0", producer, epoch, [partition])
    partition.append(_batch(producer, epoch, 0, b"half"), is_in_transaction=True)

    assert transactions.end("shard-0", producer, epoch, commit=True) == codes.OK

    assert partition.last_stable_offset == partition.end, "half of the transaction is visible, as on a real broker"


def test_a_late_commit_of_an_earlier_epoch_is_refused(transactions: Transactions, partition: Partition) -> None:
    _, producer, epoch = transactions.init("shard-0", 60)
    transactions.add("shard-0", producer, epoch, [partition])
    _, _, newer = transactions.init("shard-0", 60)

    assert newer > epoch
    assert transactions.end("shard-0", producer, epoch, commit=True) == codes.INVALID_PRODUCER_EPOCH
