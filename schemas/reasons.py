"""Reasons that fit into a header and a log line, whatever the input was."""

LIMIT = 1_000


def shortened(reason: str, limit: int = LIMIT) -> str:
    """Return the reason, without its middle when it is longer than `limit` characters.

    A decoder quotes what it did not expect, which may be megabytes, and names the field at the end.
    """
    if len(reason) <= limit:
        return reason
    half = (limit - 5) // 2
    return f"{reason[:half]} ... {reason[-half:]}"
