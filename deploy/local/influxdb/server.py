# pyright: reportUnknownMemberType=false
"""InfluxDB 2 (write API and Flux queries), built from source. Needs `go`, `cargo`, a C compiler and `pkg-config`."""

from pathlib import Path
from urllib.parse import urlencode

from deploy.local.influxdb.build import VERSION, build
from deploy.local.install import installed
from deploy.local.server import Server

USER = ORGANISATION = BUCKET = "travelos"
_PATIENCE_MS = 5_000


class InfluxServer(Server):
    """A server with one organisation, one bucket that keeps everything, and one token; all lies in `folder`.

    The token may do everything. It is made once and kept in `<folder>/token`; the password of the user `travelos`,
    which is for the command line program, in `<folder>/password`. A second start finds the data of the first.
    """

    name = "influxdb"
    default_port = 18086
    driver = "influxdb_client"
    secret_names = ("password", "token")
    arguments: tuple[str, ...] = ()  # further ones of influxd
    organisation = ORGANISATION
    bucket = BUCKET

    @property
    def token(self) -> str:
        """The token of all permissions."""
        return self.secret("token")

    @property
    def address(self) -> str:
        """The HTTP address."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """The address with organisation, bucket and token as query parameters: the Java client's connection string."""
        return f"{self.address}?" + urlencode({"org": ORGANISATION, "bucket": BUCKET, "token": self.token})

    @classmethod
    def install(cls) -> Path:
        """Return the folder of the program; the first time it is built (some 6 minutes on two cores, 93 MB).

        Raises:
            ServerFailed: a program that the build needs is missing, or a step failed.
        """
        return installed(f"influxdb-{VERSION}", build)

    def launch(self) -> None:
        """Start the server."""
        arguments = ["--bolt-path", self.folder / "influxd.bolt", "--sqlite-path", self.folder / "influxd.sqlite"]
        arguments += ["--engine-path", self.folder / "engine", "--http-bind-address", f"127.0.0.1:{self.port}"]
        quiet = ["--log-level", "warn", "--reporting-disabled"]
        self.process.spawn([self.install() / "influxd", *arguments, *quiet, *self.arguments])

    def answers(self) -> bool:
        """Whether the server knows our token and finds our bucket with it; the first time both are made."""
        from influxdb_client.client.influxdb_client import InfluxDBClient  # noqa: PLC0415 - the client is an extra
        from influxdb_client.domain.onboarding_request import OnboardingRequest  # noqa: PLC0415
        from influxdb_client.rest import ApiException  # noqa: PLC0415
        from influxdb_client.service.setup_service import SetupService  # noqa: PLC0415
        from urllib3.exceptions import HTTPError  # noqa: PLC0415

        with InfluxDBClient(self.address, self.token, org=ORGANISATION, timeout=_PATIENCE_MS) as client:
            try:
                setup = SetupService(client.api_client)
                if setup.get_setup().allowed:
                    # The token is ours and lies in a file already: a crash right here loses nothing.
                    account = {"username": USER, "password": self.secret(), "token": self.token}
                    setup.post_setup(OnboardingRequest(org=ORGANISATION, bucket=BUCKET, **account))
                return client.buckets_api().find_bucket_by_name(BUCKET) is not None
            except (ApiException, HTTPError):
                return False
