# pyright: reportMissingTypeStubs=false
"""What BigQuery's errors mean."""

from collections.abc import Generator
from contextlib import contextmanager

from google.api_core import exceptions
from google.auth import exceptions as auth

from connectors.sinks.errors import Fatal, Unavailable


@contextmanager
def interpreted() -> Generator[None]:
    """Turn errors of a request into the closed set of the sinks.

    Raises:
        Unavailable: no answer, too many requests, an error of the server.
        Fatal: login, project or dataset; names the option.
    """
    try:
        yield
    except (exceptions.TooManyRequests, exceptions.ServerError, exceptions.RetryError) as error:
        raise Unavailable(f"BigQuery: {error}") from error
    except (exceptions.Forbidden, exceptions.Unauthorized, auth.GoogleAuthError) as error:
        raise Fatal(f"BigQuery: {error}; see `bigquery.credentials_file` and `bigquery.project`") from error
    except exceptions.GoogleAPICallError as error:
        raise Fatal(f"BigQuery: {error}; see `bigquery.project`, `bigquery.dataset`, `bigquery.location`") from error
    except OSError as error:
        raise Unavailable(f"BigQuery does not answer: {error}") from error
