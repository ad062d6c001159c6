from hypothesis import given
from hypothesis import strategies as st

from connectors.sinks.redis.pipeline import Job, command

WORDS = st.text(st.characters(exclude_categories=("Cs",)))


def read(said: bytes) -> list[bytes]:
    """Return the words of a command as a server reads them: an array of bulk strings, each after its length."""
    head, rest = said.split(b"\r\n", 1)
    words: list[bytes] = []
    while rest:
        length, rest = rest.split(b"\r\n", 1)
        assert length[:1] == b"$"
        size = int(length[1:])
        words.append(rest[:size])
        assert rest[size : size + 2] == b"\r\n"
        rest = rest[size + 2 :]
    assert head == b"*%d" % len(words)
    return words


@given(keys=st.lists(WORDS), arguments=st.lists(WORDS | st.binary()))
def test_a_server_reads_every_key_and_argument_as_it_was_given(keys: list[str], arguments: list[str | bytes]) -> None:
    name, script, count, *words = read(command(Job("write", keys, arguments)))
    assert (name, len(script), count) == (b"EVALSHA", 40, b"%d" % len(keys))
    assert words == [one if isinstance(one, bytes) else one.encode() for one in [*keys, *arguments]]


def test_each_script_is_called_by_a_name_of_its_own() -> None:
    names = {read(command(Job(script, [], [])))[1] for script in ("write", "held", "before", "positions")}
    assert len(names) == 4
