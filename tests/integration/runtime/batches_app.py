"""An app with an agent that takes batches: totals by customer, and records that it cannot take or that kill it.

`python batches_app.py worker` runs it; where the brokers are and where state lies comes from the environment.
"""

import os
import signal
from pathlib import Path

from msgspec import Struct

from connectors.kafka.connection import Connection
from streams.runtime.app import StreamApp
from streams.runtime.batches import Batch
from streams.runtime.retry import RetryPolicy
from streams.runtime.state_folder import StateFolder

PREFIX = os.environ["APP_PREFIX"]

app = StreamApp(
    f"{PREFIX}shop",
    Connection(bootstrap=os.environ["APP_BOOTSTRAP"]),
    state_folder=StateFolder(Path(os.environ["APP_FOLDER"])),
    partitions=int(os.environ["APP_PARTITIONS"]),
)


class Order(Struct):
    """An order; `does` is what happens to whoever works on it."""

    customer: str
    amount: int
    does: str = "nothing"


totals = app.state("totals", int, changelog=f"{PREFIX}totals-log")


@app.batches(
    f"{PREFIX}orders", value_type=Order, dead_letters=f"{PREFIX}dead", retry=RetryPolicy(attempts=2, first_pause=0.01)
)
async def add_up(batch: Batch[Order]) -> None:
    """Add up what each customer ordered, and tell each total."""
    view = batch.table(totals)
    for record, order in batch:
        if order.does == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if order.does == "raise":
            raise ArithmeticError("this order cannot be added up")
        if order.does == "reject":
            batch.reject(record, "this customer is not welcome")
            continue
        amount = order.amount
        total = view.update(order.customer, record, lambda old, amount=amount: (old or 0) + amount)
        batch.send(f"{PREFIX}totals", key=order.customer, value=total)


if __name__ == "__main__":
    app.main()
