"""The vectors of pgvector to Debezium's arrays of numbers.

Format: pgvector, README: "[1,2,3]", and "{index:value,...}/dimensions" for sparse ones, whose indexes begin at 1.
"""

from connectors.cdc.scalars import float_json
from connectors.cdc.schema_blocks import Schema, array_of, placed, simple, struct_of

VECTOR: Schema = {
    **array_of(simple("double"), optional=False),
    "name": "io.debezium.data.DoubleVector",
    "version": 1,
}
HALF_VECTOR: Schema = {
    **array_of(simple("float"), optional=False),
    "name": "io.debezium.data.FloatVector",
    "version": 1,
}
SPARSE_VECTOR: Schema = struct_of(
    [
        placed(simple("int16"), optional=False, field="dimensions"),
        placed(
            {
                "type": "map",
                "keys": placed(simple("int16"), optional=False),
                "values": placed(simple("double"), optional=False),
            },
            optional=False,
            field="vector",
        ),
    ],
    name="io.debezium.data.SparseDoubleVector",
    version=1,
    doc="Sparse double vector",
)


def vector(value: bytes) -> bytes:
    """Return a vector as a JSON array of floats.

    Raises:
        ValueError: it is no vector.
    """
    if not (value.startswith(b"[") and value.endswith(b"]")):
        raise ValueError("no vector")
    return b"[%b]" % b",".join([float_json(number) for number in value[1:-1].split(b",")])


def sparse_vector(value: bytes) -> bytes:
    """Return a sparse vector as JSON: its dimensions, and pairs of index and float.

    That is how Kafka Connect writes a map whose keys are no texts.

    Raises:
        ValueError: it is no sparse vector.
    """
    elements, slash, dimensions = value.partition(b"/")
    if not (slash and elements.startswith(b"{") and elements.endswith(b"}")):
        raise ValueError("no sparse vector")
    pairs = [pair.split(b":") for pair in elements[1:-1].split(b",") if pair]
    members = b",".join([b"[%d,%b]" % (int(index), float_json(number)) for index, number in pairs])
    return b'{"dimensions":%d,"vector":[%b]}' % (int(dimensions), members)
