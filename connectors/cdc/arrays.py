"""The text of an array to its elements.

Format: PostgreSQL documentation, "Array Input and Output Syntax".
"""

Element = bytes | None | list["Element"]

_QUOTE, _ESCAPE, _OPEN, _CLOSE = b'"\\{}'


def parse_array(text: bytes, delimiter: bytes = b",") -> list[Element]:
    """Return the elements as text, None for NULL; an array of several dimensions is a list of lists.

    Bounds other than 1 ("[0:1]={1,2}") are left out. `delimiter` stands between the elements: for type `box` it is ";".

    Raises:
        ValueError: it is no array.
    """
    if text.startswith(b"["):
        _, _, text = text.partition(b"=")
    if not text.startswith(b"{") or not text.endswith(b"}"):
        raise ValueError("no array")
    if b'"' not in text and b"{" not in text[1:]:
        inner = text[1:-1]
        return [_unquoted(element) for element in inner.split(delimiter)] if inner else []
    elements, end = _parse(text, 1, delimiter)
    if end != len(text):
        raise ValueError("text after the end of an array")
    return elements


def _parse(text: bytes, at: int, delimiter: bytes) -> tuple[list[Element], int]:
    """Read the elements from behind an opening brace; return them and the place behind the closing one."""
    separator = delimiter[0]
    found: list[list[Element]] = [[]]  # the open arrays, the innermost last
    while True:
        byte = text[at]
        if byte == _OPEN:
            found.append([])
            at += 1
        elif byte == _CLOSE:
            at += 1
            done = found.pop()
            if not found:
                return done, at
            found[-1].append(done)
        elif byte == separator:
            at += 1
        elif byte == _QUOTE:
            element, at = _quoted(text, at + 1)
            found[-1].append(element)
        else:
            end = min(index for index in (text.find(delimiter, at), text.find(b"}", at)) if index >= 0)
            found[-1].append(_unquoted(text[at:end]))
            at = end
        if at >= len(text):
            raise ValueError("an array without an end")


def _quoted(text: bytes, at: int) -> tuple[bytes, int]:
    """Read an element from behind its opening quote; return it and the place behind the closing one."""
    parts: list[bytes] = []
    while True:
        quote = text.find(b'"', at)
        if quote < 0:
            raise ValueError("a quote without an end")
        escape = text.find(b"\\", at, quote)
        if escape < 0:
            parts.append(text[at:quote])
            return b"".join(parts), quote + 1
        parts += (text[at:escape], text[escape + 1 : escape + 2])
        at = escape + 2


def _unquoted(element: bytes) -> bytes | None:
    return None if element == b"NULL" else element
