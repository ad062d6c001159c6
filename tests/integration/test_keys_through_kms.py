# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""Master keys through the HTTP interface of KMS. moto stands in for Amazon: what that does beyond it is not shown."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from boto3.session import Session
from moto.server import ThreadedMotoServer
from typer.testing import CliRunner

from connectors.keys import UserKeys
from connectors.keys.kms import Kms, kms_client
from connectors.sinks.errors import Fatal, Unavailable
from streams.cli import keys as keys_cli
from streams.keys import keys_of
from streams.settings import Options, load

pytestmark = pytest.mark.integration

REGION, ALIAS = "us-east-1", "alias/us"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a KMS."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setattr(logging.getLogger("werkzeug"), "disabled", True)  # a line for each request, to a closed stream
    running = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    address = f"http://{host}:{port}"
    requests.post(f"{address}/moto-api/reset", timeout=10).raise_for_status()
    yield address
    running.stop()


@pytest.fixture
def kms(server: str) -> Any:
    """Amazon's client of it; the alias names a key."""
    client = kms_client(REGION, server)
    key = client.create_key()["KeyMetadata"]["KeyId"]
    client.create_alias(AliasName=ALIAS, TargetKeyId=key)
    return client


@pytest.fixture
def environ(kms: Any, server: str, tmp_path: Path) -> dict[str, str]:
    assert kms
    return {
        "TRAVELOS_DATA_DIR": str(tmp_path),
        "TRAVELOS_KEYS_STORE": "sqlite",
        "TRAVELOS_KEYS_KMS_KEY": ALIAS,
        "TRAVELOS_KEYS_KMS_ENDPOINT": server,
    }


def options_of(environ: dict[str, str]) -> Options:
    return load(environ=environ).options


def made(environ: dict[str, str]) -> UserKeys:
    found = keys_of(options_of(environ))
    assert found is not None
    return found


def seals(keys: UserKeys, user: str = "ann") -> str:
    """Return what a user's key makes of a value: the same key makes the same of it."""
    key = keys.get_or_create([user])[user]
    assert key is not None
    return str(key.seal("email", "ann@example.org", "e-1"))


def command(environ: dict[str, str], *words: str) -> str:
    result = CliRunner().invoke(keys_cli.app, [*words], env=environ)
    assert result.exit_code == 0, result.output
    return result.output


def test_users_keys_are_wrapped_and_opened_by_a_master_key_that_only_kms_opens(
    environ: dict[str, str], tmp_path: Path
) -> None:
    command(environ, "new-master")
    first, again = made(environ), made(environ)
    assert seals(first) == seals(again)
    first.close()
    again.close()
    (ring,) = (tmp_path / "keys").glob("master.keys")
    assert "ann" not in ring.read_text()
    del environ["TRAVELOS_KEYS_KMS_KEY"]  # whoever has the ring and the store, and not KMS, opens nothing
    with pytest.raises(Fatal, match="bytes instead of 32"):
        made(environ).get(["ann"])


def test_master_keys_rotate_through_kms_while_a_worker_goes_on(environ: dict[str, str], kms: Any) -> None:
    command(environ, "new-master")
    worker = made(environ)
    before = seals(worker)
    key = kms.describe_key(KeyId=ALIAS)["KeyMetadata"]["KeyId"]
    kms.rotate_key_on_demand(KeyId=key)  # KMS keeps the id, and opens what the material before it has encrypted
    newest = command(environ, "new-master").split()[0]
    assert f"wrapped by {newest}" in command(environ, "rotate")
    assert seals(worker) == before
    assert seals(worker, "bob") != before
    worker.close()
    after = made(environ)
    assert seals(after) == before
    after.close()


@pytest.mark.parametrize("change", ["another key", "no such key", "another ciphertext"])
def test_what_another_key_encrypted_is_refused_with_the_option(environ: dict[str, str], kms: Any, change: str) -> None:
    mine = Kms(kms, ALIAS)
    material = mine.new_material()
    match change:
        case "another key":
            kms.update_alias(AliasName=ALIAS, TargetKeyId=kms.create_key()["KeyMetadata"]["KeyId"])
        case "no such key":
            mine = Kms(kms, "alias/gone")
        case _:
            material = material[:-3] + bytes(255 - byte for byte in material[-3:])
    if change == "another key":
        # The stand-in opens it all the same where an alias has moved; by the key's id it refuses, as Amazon does.
        mine = Kms(kms, kms.describe_key(KeyId=ALIAS)["KeyMetadata"]["KeyId"])
    with pytest.raises(Fatal, match=r"KMS refuses .*keys\.kms_key") as refused:
        mine.decrypt(material)
    assert environ["TRAVELOS_KEYS_KMS_ENDPOINT"] not in str(refused.value)


def test_what_was_encrypted_for_another_purpose_is_no_master_key(kms: Any) -> None:
    asked = {"KeyId": ALIAS, "KeySpec": "AES_256", "EncryptionContext": {"purpose": "something else"}}
    other = kms.generate_data_key_without_plaintext(**asked)["CiphertextBlob"]
    with pytest.raises(Fatal, match="InvalidCiphertext"):
        Kms(kms, ALIAS).decrypt(other)


def test_whoever_may_not_use_the_key_is_told_so(server: str, kms: Any) -> None:
    material = Kms(kms, ALIAS).new_material()
    people = Session().client("iam", region_name=REGION, endpoint_url=server)
    people.create_user(UserName="nobody")
    access = people.create_access_key(UserName="nobody")["AccessKey"]
    login = {"aws_access_key_id": access["AccessKeyId"], "aws_secret_access_key": access["SecretAccessKey"]}
    denied = Kms(Session(**login).client("kms", region_name=REGION, endpoint_url=server), ALIAS)
    _ask_for_rights(server, "0")
    try:
        with pytest.raises(Fatal, match=r"KMS refuses .*whether the process may use that key") as refused:
            denied.decrypt(material)
        assert login["aws_secret_access_key"] not in str(refused.value)
    finally:
        _ask_for_rights(server, "inf")


def test_while_kms_is_away_keys_are_waited_for_and_a_worker_that_has_them_goes_on(
    environ: dict[str, str], server: str
) -> None:
    command(environ, "new-master")
    worker = made(environ)
    known = seals(worker)
    away = {**environ, "TRAVELOS_KEYS_KMS_ENDPOINT": server.rpartition(":")[0] + ":1"}
    with pytest.raises(Unavailable, match="KMS does not answer"):
        made(away).get(["ann"])
    assert seals(worker) == known
    worker.close()


def _ask_for_rights(server: str, after: str) -> None:
    """Have the stand-in look at the rights of callers after so many requests."""
    requests.post(f"{server}/moto-api/reset-auth", data=after, timeout=10).raise_for_status()
