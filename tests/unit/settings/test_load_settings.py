from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from streams.settings import Loaded, Options, SettingsError, all_options, load


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def loaded(toml: str = "", environ: Mapping[str, str] | None = None, **overrides: Any) -> Loaded:
    file = Path("options.toml")
    file.write_text(toml)
    return load(file=file, environ=environ or {}, overrides={k.replace("__", "."): v for k, v in overrides.items()})


def problems(toml: str = "", environ: Mapping[str, str] | None = None, **overrides: Any) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        loaded(toml, environ, **overrides)
    assert str(caught.value) == "\n".join(caught.value.problems)
    return caught.value.problems


def test_without_anything_the_defaults_are_in_force() -> None:
    found = load(environ={})
    assert found.options == Options()
    assert set(found.origins.values()) == {"default"}
    assert set(found.origins) == {option.name for option in all_options()}


def test_later_layers_win_and_each_value_names_its_origin() -> None:
    toml = "[kafka]\npartitions = 2\nreplication = 2\ntopic_prefix = 'file.'"
    environ = {"TRAVELOS_KAFKA_PARTITIONS": "3", "TRAVELOS_KAFKA_REPLICATION": "3"}
    options, origins = loaded(toml, environ, kafka__partitions=5)
    assert (options.kafka.partitions, origins["kafka.partitions"]) == (5, "command line")
    assert (options.kafka.replication, origins["kafka.replication"]) == (3, "TRAVELOS_KAFKA_REPLICATION")
    assert (options.kafka.topic_prefix, origins["kafka.topic_prefix"]) == ("file.", "options.toml")
    assert (options.kafka.create_topics, origins["kafka.create_topics"]) == (True, "default")


def test_a_name_that_postgres_would_cut_is_refused() -> None:
    whole, cut = "é" * 31, "é" * 32
    assert loaded(source__publication=whole).options.source.publication == whole
    [problem] = problems(source__publication=cut)
    assert "`source.publication`" in problem
    assert "it has 64 bytes, and Postgres cuts names after 63" in problem


def test_none_from_the_command_line_leaves_an_option_alone() -> None:
    options, origins = loaded("[kafka]\npartitions = 2", kafka__partitions=None)
    assert (options.kafka.partitions, origins["kafka.partitions"]) == (2, "options.toml")


def test_a_file_in_the_working_directory_is_read(empty_folder: Path) -> None:
    (empty_folder / "travelos.toml").write_text("[log]\nlevel = 'debug'")
    options, origins = load(environ={})
    assert (options.log.level, origins["log.level"]) == ("debug", "travelos.toml")


def test_a_variable_may_name_the_file(empty_folder: Path) -> None:
    other = empty_folder / "other.toml"
    other.write_text("[log]\nlevel = 'debug'")
    options, origins = load(environ={"TRAVELOS_CONFIG": str(other)})
    assert (options.log.level, origins["log.level"]) == ("debug", str(other))


def test_the_process_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAVELOS_KAFKA_PARTITIONS", "6")
    assert load().options.kafka.partitions == 6


def test_a_list_in_a_variable_is_separated_by_commas() -> None:
    options = loaded(environ={"TRAVELOS_SOURCE_TABLES": "public.a, public.b,"}).options
    assert options.source.tables == ["public.a", "public.b"]
    assert [topic.name for topic in options.catalogue().changes.values()] == [
        "cdc.travel.public.a",
        "cdc.travel.public.b",
    ]


def test_an_empty_variable_unsets_an_option_that_may_be_unset() -> None:
    toml = "[kafka]\nca_file = 'ca.pem'"
    assert loaded(toml).options.kafka.ca_file == Path("ca.pem")
    assert loaded(toml, {"TRAVELOS_KAFKA_CA_FILE": ""}).options.kafka.ca_file is None


def test_variables_of_other_programs_and_of_ours_that_are_no_options_are_ignored() -> None:
    environ = {"TRAVELOS_CACHE": "/tmp", "TRAVELOS_ROLE": "ingest", "TRAVELOS_FAULT_POINT": "revoked", "PATH": "/bin"}
    assert loaded(environ=environ).options == Options()


@pytest.mark.parametrize(
    ("toml", "environ", "problem"),
    [
        ("[kafka]\npartitions = 0", {}, "option `kafka.partitions` (from options.toml) cannot be 0: Input should be"),
        (
            "",
            {"TRAVELOS_KAFKA_PARTITIONS": "four"},
            "option `kafka.partitions` (from TRAVELOS_KAFKA_PARTITIONS) cannot be 'four'",
        ),
        (
            "[log]\nlevel = 'loud'",
            {},
            "option `log.level` (from options.toml) cannot be 'loud': Input should be 'debug'",
        ),
        ("[source]\ntables = ['places']", {}, "option `source.tables` (from options.toml) cannot be 'places'"),
        ("[source]\nslot = 'My-Slot'", {}, "option `source.slot` (from options.toml) cannot be 'My-Slot'"),
        ("", {"TRAVELOS_INTAKE_MAX_FUTURE_HOURS": "inf"}, "option `intake.max_future_hours`"),
        ("", {"TRAVELOS_ENRICH_JUMP_KMH": "nan"}, "option `enrich.jump_kmh`"),
        ("[intake]\nmax_value_bytes = 100_000_000", {}, "option `intake.max_value_bytes`"),
        (
            "[registry]\nurl = 'localhost:8081'",
            {},
            "option `registry.url` (from options.toml) cannot be 'localhost:8081'",
        ),
    ],
)
def test_a_wrong_value_names_the_option_its_origin_and_what_is_allowed(
    toml: str, environ: dict[str, str], problem: str
) -> None:
    [found] = problems(toml, environ)
    assert found.startswith(problem)


def test_a_wrong_value_on_the_command_line_says_so() -> None:
    [found] = problems(kafka__partitions=0)
    assert "`kafka.partitions` (from command line) cannot be 0" in found


def test_all_problems_are_told_at_once() -> None:
    assert len(problems("[kafka]\npartitions = 0\nreplication = 0\n[log]\nlevel = 'x'")) == 3


@pytest.mark.parametrize(
    ("toml", "problem"),
    [
        ("[kafka]\nbootstrp = 'x'", "unknown option `kafka.bootstrp` in options.toml; did you mean `kafka.bootstrap`?"),
        (
            "[kafak]\nbootstrap = 'x'",
            "unknown option `kafak.bootstrap` in options.toml; did you mean `kafka.bootstrap`?",
        ),
        ("nothing_like_it_at_all = 1", "unknown option `nothing_like_it_at_all` in options.toml"),
        ("[nothing]", "unknown option `nothing` in options.toml"),
        ("kafka = 3", "`kafka` in options.toml is a section, not an option: write [kafka] and its options below it"),
        ("[[kafka]]", "`kafka` in options.toml is a section, not an option: write [kafka] and its options below it"),
    ],
)
def test_an_unknown_option_is_an_error_with_a_suggestion(toml: str, problem: str) -> None:
    assert problems(toml) == [problem]


def test_an_unknown_variable_is_an_error_with_a_suggestion() -> None:
    assert problems(environ={"TRAVELOS_KAFKA_BOOTSTRP": "x"}) == [
        "unknown option `TRAVELOS_KAFKA_BOOTSTRP` in the environment; did you mean `TRAVELOS_KAFKA_BOOTSTRAP`?"
    ]


def test_a_section_without_options_is_fine() -> None:
    assert loaded("[kafka]\n[stores]\n[stores.graph]").options == Options()


@pytest.mark.parametrize("content", [b"kafka = ", b"\xff\xfe", b"[kafka]\na = 1\na = 2"])
def test_a_file_that_is_no_toml_is_named(content: bytes, empty_folder: Path) -> None:
    (empty_folder / "bad.toml").write_bytes(content)
    with pytest.raises(SettingsError, match=r"bad\.toml is not TOML"):
        load(file=empty_folder / "bad.toml", environ={})


def test_a_file_that_is_missing_is_named() -> None:
    with pytest.raises(SettingsError, match=r"missing\.toml cannot be read: No such file"):
        load(file=Path("missing.toml"), environ={})


def test_a_secret_is_in_no_message() -> None:
    [found] = problems("[kafka]\npassword = 12345")
    assert "12345" not in found
    [found] = problems("[registry]\nurl = 'ftp://app:hidden@registry'")
    assert "hidden" not in found
    options = loaded(
        environ={"TRAVELOS_KAFKA_PASSWORD": "hidden", "TRAVELOS_SOURCE_DSN": "postgresql://u:hidden@h/d"}
    ).options
    assert "hidden" not in repr(options)
    assert "hidden" not in repr(options.kafka.connection())
    assert options.kafka.connection().password == "hidden"


def test_options_cannot_be_changed_afterwards() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load(environ={}).options.kafka.partitions = 9  # pyright: ignore[reportAttributeAccessIssue]


def test_a_store_that_there_is_no_sink_for_is_refused_and_not_passed_over() -> None:
    with pytest.raises(SettingsError) as caught:
        loaded('[stores.graph]\nkind = "neo5j"')
    assert "stores.graph.kind" in str(caught.value)
    assert "'neo5j'" in str(caught.value)
    assert "'embedded'" in str(caught.value)
