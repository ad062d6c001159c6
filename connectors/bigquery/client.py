# pyright: reportUnknownMemberType=false, reportMissingTypeStubs=false
"""Connect to BigQuery."""

from pathlib import Path

from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery

from connectors.bigquery.errors import interpreted
from connectors.sinks.errors import Fatal


def connect(project: str, credentials_file: Path | None, endpoint: str) -> bigquery.Client:
    """Return a client; nothing is asked of BigQuery yet.

    Args:
        project: that pays for the jobs.
        credentials_file: key of a service account; None: what Google's libraries find.
        endpoint: address of a server that is not Google's and asks for no login; empty: Google's.

    Raises:
        Fatal: there are no credentials, or the file has none; names the option.
    """
    if endpoint:
        options = {"api_endpoint": endpoint}
        return bigquery.Client(project=project, credentials=AnonymousCredentials(), client_options=options)
    with interpreted():
        if credentials_file is None:
            return bigquery.Client(project=project)
        try:
            return bigquery.Client.from_service_account_json(str(credentials_file), project=project)
        except (OSError, ValueError) as error:
            raise Fatal(f"bigquery.credentials_file {credentials_file} is no key of a service account") from error
