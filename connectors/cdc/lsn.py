"""Log sequence numbers: positions in the WAL, 64-bit integers, written as two hexadecimal halves."""


def parse_lsn(text: str) -> int:
    """Return the position that Postgres writes as "16/B374D848".

    Raises:
        ValueError: it is not written like that.
    """
    high, slash, low = text.partition("/")
    if not slash or not 0 < len(high) <= 8 or not 0 < len(low) <= 8:
        raise ValueError(f"not an LSN: {text!r}")
    return int(high, 16) << 32 | int(low, 16)


def format_lsn(lsn: int) -> str:
    """Return a position as Postgres writes it."""
    return f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"
