"""What one listed difference from Debezium is."""

import re
from collections.abc import Callable
from typing import Any

from msgspec import Struct

from bench.cdc.comparison import Different

ROW = "(?:after|before)"


class Difference(Struct, frozen=True, kw_only=True):
    """One difference and its reason.

    Attributes:
        what: it is about.
        debezium: what Debezium writes.
        here: what we write.
        reason: why.
        where: a regular expression on "<table> <op> <field>".
        explains: whether two values differ for this reason.
        configurations: in which it is seen; all when empty.
        feature: of the server, without which it is not seen; see `workload.values.OF_FEATURES`.
    """

    what: str
    debezium: str
    here: str
    reason: str
    where: str
    explains: Callable[[Any, Any], bool] = lambda _ours, _theirs: True
    configurations: tuple[str, ...] = ()
    feature: str = ""

    def covers(self, found: Different, configuration: str) -> bool:
        """Whether it explains something that was found in a configuration."""
        if self.configurations and configuration not in self.configurations:
            return False
        place = f"{found.table} {found.op} {found.field}"
        return re.fullmatch(self.where, place) is not None and self.explains(found.ours, found.theirs)
