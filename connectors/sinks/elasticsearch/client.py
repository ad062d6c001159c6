"""Make the client. It retries nothing by itself: retries are the framework's."""

from typing import Any

from elasticsearch import Elasticsearch

from connectors.sinks.elasticsearch.errors import OPTIONS
from connectors.sinks.elasticsearch.options import ElasticsearchOptions
from connectors.sinks.errors import Fatal


def connected(options: ElasticsearchOptions) -> Elasticsearch:
    """Return a client; nothing is sent yet.

    Raises:
        Fatal: the address or the certificate file cannot be used.
    """
    login: dict[str, Any] = {}
    if options.api_key:
        login["api_key"] = options.api_key
    elif options.username:
        login["basic_auth"] = (options.username, options.password)
    if options.ca_file:
        login["ca_certs"] = options.ca_file
    try:
        return Elasticsearch(
            options.urls,
            request_timeout=options.request_seconds,
            max_retries=0,
            retry_on_timeout=False,
            **login,
        )
    except (ValueError, OSError) as error:
        raise Fatal(f"`{OPTIONS}.url` or `{OPTIONS}.ca_file` cannot be used: {error}") from None
