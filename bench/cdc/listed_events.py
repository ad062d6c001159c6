"""Where our events differ from Debezium's, their values and schemas left out."""

from bench.cdc.comparison import MISSING
from bench.cdc.difference import ROW, Difference
from bench.cdc.explanations import (
    UNAVAILABLE,
    half_a_character,
    later_in_sequence,
    other_default,
    same_counts,
)

WITH_MESSAGES = ("debezium_defaults",)
CONCEALED = ("concealed",)

OF_EVENTS = (
    Difference(
        what="`source.version`",
        debezium="its version",
        here="ours",
        reason="whoever debugs should know who wrote an event",
        where=r".* source\.version",
    ),
    Difference(
        what="`source.lsn`, `sequence`, `txId`, `ts_*` of the rows of a snapshot",
        debezium="of the slot's consistent point",
        here="of the slot's first `restart_lsn`",
        reason="a change of a transaction that was open at the consistent point lies before it and would seem older "
        "than the row. (The two snapshots are also taken at two moments.)",
        where=r".* r source\.(lsn|sequence|txId|ts_ms|ts_us|ts_ns)",
    ),
    Difference(
        what="`source.snapshot`",
        debezium="`first` on the first row of its first table, `last` on the last row of its last",
        here="the same, in the order of `source.tables`",
        reason="another order of the tables",
        where=r".* r source\.snapshot",
        explains=lambda ours, theirs: bool({"first", "last"} & {ours, theirs}),
    ),
    Difference(
        what="key with `REPLICA IDENTITY USING INDEX`",
        debezium="the primary key; 0 in deletes",
        here="the columns of the index",
        reason="a delete carries nothing else, so only that key can be the same in all events of a row",
        where=r"by_index . (key|headers|schema key\.(pk|code))",
    ),
    Difference(
        what="`source.sequence` of the first events",
        debezium="null where nothing was committed since it started",
        here="the same",
        reason="the two start at two moments",
        where=r".* [cudtm] source\.sequence",
        explains=lambda ours, theirs: ours.startswith("[null,") or theirs.startswith("[null,"),
    ),
    Difference(
        what="`source.sequence` after a logical message outside of transactions",
        debezium="begins with the LSN of that message, as if it were a commit",
        here="begins with the end of the last transaction",
        reason="so it is the same when an event is sent again and the message is not",
        where=r".* [cudtm] source\.sequence",
        explains=later_in_sequence,
        configurations=WITH_MESSAGES,
    ),
    Difference(
        what="`source.ts_*` of a logical message outside of transactions",
        debezium="when the last transaction was committed",
        here="when the message was read",
        reason="the message has no time, and one of something else misleads",
        where=r"message m source\.(ts_ms|ts_us|ts_ns)",
        explains=lambda ours, theirs: ours > theirs,
    ),
    Difference(
        what="logical messages in the counts of a transaction",
        debezium="the address of a Java object, another one for each; so each is the first of its kind",
        here="`LOGICAL_DECODING_MESSAGE`, counted together",
        reason="an address says nothing. The order of the counts is none in Debezium, here that of the first events",
        where=r"(transaction - data_collections|message m transaction\.data_collection_order)",
        explains=lambda ours, theirs: theirs == 1 or same_counts(ours, theirs),
    ),
    Difference(
        what="`before` of a delete with the default replica identity, columns outside of the key",
        debezium="their default; without one made-up values (0, empty, 1970) where they are NOT NULL",
        here="null",
        reason="the WAL does not have them",
        where=r"(changing|by_index|every_type|toasted|defaulted|Odd .*) d before\..*",
        explains=lambda ours, _: ours is None,
    ),
    Difference(
        what="a large value (TOAST) that an update left alone, not `REPLICA IDENTITY FULL`",
        debezium="`__debezium_unavailable_value`; null in arrays of types for which it has no placeholder",
        here="the value that the row had last, where it is known; else the same",
        reason='the placeholder is no data; with `unavailable = "placeholder"` it is written always',
        where=r".* [cu] after\..*",  # c: the second half of a change of the key
        explains=lambda ours, theirs: (
            theirs in (UNAVAILABLE, [UNAVAILABLE]) or (theirs is None and isinstance(ours, list))
        ),
        configurations=("defaults", "outbox", "outbox_expanded", "incremental"),
    ),
    Difference(
        what="null in a column that has a `DEFAULT`",
        debezium="the default",
        here='null; with `nulls = "default"` the default too, where it is a constant',
        reason="the row holds null",
        where=rf"(changing|defaulted) . {ROW}\.\w+",
        explains=lambda ours, _: ours is None,
        configurations=("defaults", "outbox", "outbox_expanded", "incremental"),
    ),
    Difference(
        what='null with `nulls = "default"` in columns whose default differs in the schema',
        debezium="the default of its schema",
        here="that of ours; null where it is an expression",
        reason="as there",
        where=rf"(defaulted . {ROW}\.(k_char|k_text|k_lines|k_endless|k_colour|e_\w+)|changing . {ROW}\.extra_\d+)",
        explains=other_default,
        configurations=("debezium_defaults", "texts", "connect", "concealed"),
    ),
    Difference(
        what="generated columns (`STORED`)",
        debezium="in the snapshot, not in the stream",
        here="in neither",
        reason="the same row has the same columns; Postgres does not replicate them",
        where=r"nothing r (after|schema value\.(after|before))\.twice",
        explains=lambda ours, _: ours == MISSING,
    ),
    Difference(
        what="tombstone for a table without key",
        debezium="a record with neither key nor value",
        here="none",
        reason="it says nothing, and a compacted topic refuses it",
        where=r"no_key d tombstones",
    ),
    Difference(
        what="truncated columns of a key",
        debezium="whole in the key",
        here="truncated there too",
        reason="what is concealed is so everywhere",
        where=r"toasted_full . (key|headers|schema key\.note)",
        configurations=CONCEALED,
    ),
    Difference(
        what="characters beyond 16 bits, and the placeholder, in truncated columns",
        debezium="half of the character, which is no JSON; a part of the placeholder",
        here="without that character; the whole placeholder",
        reason="readers of JSON stop at the half, and do not know the part",
        where=rf".* . {ROW}\.(note|large|c_char_8)",
        explains=half_a_character,
        configurations=CONCEALED,
    ),
)
