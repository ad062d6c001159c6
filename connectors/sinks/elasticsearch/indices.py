"""The template, the index behind the aliases, and that both are what they should be."""

from elasticsearch import BadRequestError, Elasticsearch, NotFoundError

from connectors.sinks.elasticsearch import schema
from connectors.sinks.elasticsearch.errors import OPTIONS, interpreted
from connectors.sinks.elasticsearch.options import ElasticsearchOptions
from connectors.sinks.errors import Fatal

_EXISTS = "resource_already_exists_exception"


class Indices:
    """The indexes of one alias."""

    def __init__(self, client: Elasticsearch, options: ElasticsearchOptions) -> None:
        self._client = client
        self._options = options

    def prepare(self) -> None:
        """Put the template, make the first index when there is none, and check the one that is there.

        Raises:
            Unavailable: no node answers.
            Fatal: the alias is an index, the mapping is another one, an analyzer is missing, or the alias is gone and
                several indexes could be meant; says what helps.
        """
        options = self._options
        korean = self._korean()
        with interpreted():
            self.put_template(korean)
            if self._client.indices.exists(index=options.index) and not self._is_alias():
                raise Fatal(f"`{OPTIONS}.index` names an index; it has to name an alias, which is made when missing")
            index = self.current() or self._first()
            found = self._client.indices.get_mapping(index=index)[index]["mappings"]
        # How Korean is split is decided when an index is made; an older index keeps its way until it is made anew.
        differing = schema.differences(schema.mapping(korean), found)
        if differing:
            raise Fatal(
                f"index {index} has another mapping of {', '.join(differing)}; let `{OPTIONS}.index` name another "
                "alias, or make the index anew with `travelos sinks reindex`"
            )

    def put_template(self, korean: schema.Korean | None = None) -> None:
        """Put the template of indexes that are made from now on."""
        made = schema.template(self._options, korean or self._korean())
        self._client.indices.put_index_template(name=self._options.index, body=made)

    def current(self) -> str | None:
        """Return the index that is written to; None when there is none yet.

        Raises:
            Fatal: there are several.
        """
        try:
            found = list(self._client.indices.get_alias(name=self._options.write_alias).body)
        except NotFoundError:
            return None
        if len(found) > 1:
            raise Fatal(f"alias {self._options.write_alias} names {len(found)} indexes; it has to name one")
        return str(found[0]) if found else None

    def make_next(self) -> str:
        """Make an index that nobody reads or writes yet, with the next free number."""
        number = 1 + max((schema.number_of(self._options, name) for name in self._numbered()), default=0)
        name = f"{self._options.index}-{number}"
        self._client.indices.create(index=name)
        return name

    def _first(self) -> str:
        """Name the index that is there without a write alias, or make the first one."""
        name = self._left() or f"{self._options.index}-1"
        try:
            self._client.indices.create(index=name)
        except BadRequestError as error:
            if error.message != _EXISTS:  # it was there, or another process was faster; both name it the same
                raise
        self._client.indices.update_aliases(actions=schema.alias_actions(self._options, name))
        return name

    def _left(self) -> str | None:
        """Return the index that has lost its write alias: the one that is read, or the only one; None without any.

        Raises:
            Fatal: there are several and none is read. Which one holds what the receipts say, only a person knows: the
                wrong one would show old documents and take old versions again.
        """
        options = self._options
        there = self._numbered()
        read = [name for name in there if options.index in there[name]]
        candidates = read or list(there)
        if len(candidates) > 1:
            raise Fatal(
                f"alias {options.write_alias} is gone and {', '.join(sorted(candidates))} are there; add the alias "
                f"to the one that is to be used, or let `{OPTIONS}.index` name another"
            )
        return candidates[0] if candidates else None

    def _numbered(self) -> dict[str, set[str]]:
        """Return the names of the alias's indexes, in use or not, with their aliases."""
        found = self._client.indices.get_alias(index=f"{self._options.index}-*", allow_no_indices=True).body
        return {name: set(said["aliases"]) for name, said in found.items() if schema.number_of(self._options, name) > 0}

    def _is_alias(self) -> bool:
        return bool(self._client.indices.exists_alias(name=self._options.index))

    def _korean(self) -> schema.Korean:
        wanted = self._options.korean
        if wanted == "none":
            return "none"
        candidates: tuple[schema.Korean, ...] = ("nori", "bigram") if wanted == "auto" else (wanted,)
        for candidate in candidates:
            if self._can(candidate):
                return candidate
        if wanted == "auto":
            return "none"
        missing = "the plugin analysis-nori" if wanted == "nori" else "the module analysis-common"
        raise Fatal(f"`{OPTIONS}.korean` is {wanted!r}, but Elasticsearch has not {missing}; install it, or use 'auto'")

    def _can(self, korean: schema.Korean) -> bool:
        with interpreted():
            try:
                self._client.indices.analyze(body=schema.analysis_probe(korean))
            except BadRequestError:
                return False
            return True
