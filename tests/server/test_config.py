from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from strongroom.config import Config, ConfigError, load, split_address, url_of


@pytest.fixture
def file(tmp_path):
    def write(text: str) -> Path:
        path = tmp_path / "strongroom.toml"
        path.write_text(text)
        return path

    return write


def test_defaults_need_nothing():
    config = load({}, {}).config
    assert config == Config()
    assert (config.data_dir, config.listen, config.domains) == (Path("strongroom-data"), "127.0.0.1:9000", ("localhost",))
    assert (config.regions, config.new_bucket_sse_c, config.plain_http_secrets) == ((), "blocked", "loopback")


def test_flag_before_environment_before_file_before_default(file):
    path = file('listen = "127.0.0.1:1"\nworkers = 2\nlog_level = "error"\nregions = ["eu-central-1", "eu-west-1"]\n')
    environ = {"STRONGROOM_LISTEN": "127.0.0.1:2", "STRONGROOM_WORKERS": "3", "PATH": "/bin"}
    found = load({"listen": "127.0.0.1:3", "workers": None}, environ, path)
    config = found.config
    assert (config.listen, config.workers, config.log_level) == ("127.0.0.1:3", 3, "error")
    assert config.regions == ("eu-central-1", "eu-west-1")
    assert config.stop_seconds == 30
    assert found.sources == {"listen": "flag", "workers": "environment", "log_level": str(path), "regions": str(path)}


def test_the_environment_may_name_the_file(file):
    path = file("workers = 7")
    assert load({}, {"STRONGROOM_CONFIG": str(path)}).config.workers == 7


def test_lists_and_switches_of_the_environment():
    environ = {
        "STRONGROOM_REGIONS": "eu-central-1, eu-west-1",
        "STRONGROOM_DOMAINS": "S3.Example.Com.",
        "STRONGROOM_ACCESS_LOG": "true",
    }
    config = load({}, environ).config
    assert (config.regions, config.domains, config.access_log) == (("eu-central-1", "eu-west-1"), ("s3.example.com",), "stderr")


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("true", "stderr"),
        ("false", "off"),
        ('"off"', "off"),
        ('"stderr"', "stderr"),
        ('"/var/log/access.log"', "/var/log/access.log"),
    ],
)
def test_the_access_log_is_a_switch_or_a_place(file, text, meant):
    assert load({}, {}, file(f"access_log = {text}")).config.access_log == meant


def test_unknown_names_are_errors_that_name_them(file):
    with pytest.raises(ConfigError, match="unknown setting STRONGROOM_WORKRES in the environment"):
        load({}, {"STRONGROOM_WORKRES": "2"})
    path = file("workres = 2")
    with pytest.raises(ConfigError, match=rf"{path}: unknown setting workres"):
        load({}, {}, path)
    with pytest.raises(ConfigError, match="unknown setting listen_on"):
        load({}, {}, file("listen_on = 2"))


@pytest.mark.parametrize("name", ["root_access_key_id", "root_secret_access_key", "account_id"])
def test_credentials_come_from_the_environment_only(file, name):
    with pytest.raises(ConfigError, match=f"{name} may only come from the environment"):
        load({}, {}, file(f'{name} = "x"'))


def test_half_a_credential_is_an_error():
    with pytest.raises(ConfigError, match="must be given together"):
        load({}, {"STRONGROOM_ROOT_ACCESS_KEY_ID": "AKIAROOTROOTROOTROOT"})


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("workers = 0", "workers must be a whole number from 1 to 64"),
        ("workers = true", "workers must be a whole number"),
        ('listen = "9000"', "listen must be HOST:PORT"),
        ('new_bucket_sse_c = "yes"', "new_bucket_sse_c must be one of: blocked, allowed"),
        ('plain_http_secrets = ""', "plain_http_secrets must be one of: loopback, refuse, allow"),
        ('access_log = "perhaps"', "access_log must be off, stderr, or the absolute path of a file"),
        ("access_log = 1", "access_log must be a text"),
        ("regions = 1", "regions must be a list of texts"),
        ("domains = [1]", "domains must be a list of texts"),
        ("body_idle_seconds = nan", "body_idle_seconds must be a number of seconds from 1 to 86400"),
        ("data_dir = 1", "data_dir must be a text"),
        ("workers = ", "Invalid value"),
    ],
)
def test_wrong_values_are_errors_that_name_the_setting(file, text, complaint):
    with pytest.raises(ConfigError, match=complaint):
        load({}, {}, file(text))


def test_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(ConfigError, match="No such file"):
        load({}, {}, tmp_path / "none.toml")


def test_secrets_are_never_shown():
    environ = {
        "STRONGROOM_ROOT_ACCESS_KEY_ID": "AKIAROOTROOTROOTROOT",
        "STRONGROOM_ROOT_SECRET_ACCESS_KEY": "the-secret",
        "STRONGROOM_ACCOUNT_ID": "111122223333",
    }
    found = load({}, environ)
    for shown in (repr(found), str(found.shown())):
        assert not any(value in shown for value in environ.values())
    assert {row.name: row.value for row in found.shown()}["root_secret_access_key"] == "(set, not shown)"
    assert b"the-secret" not in pickle.dumps(found.config.without_secrets())


@pytest.mark.parametrize(
    ("text", "parts"),
    [("127.0.0.1:9000", ("127.0.0.1", 9000)), ("[::1]:0", ("::1", 0)), ("s3.example.com:443", ("s3.example.com", 443))],
)
def test_addresses(text, parts):
    assert split_address(text) == parts
    assert url_of(*parts) == f"http://{text}"


@pytest.mark.parametrize(
    "text", ["", ":1", "host", "host:", "host:x", "host:65536", "::1:9000", "[host]:1", "[::1]", "host:\u0661"]
)
def test_what_is_no_address(text):
    with pytest.raises(ValueError, match="must be HOST:PORT"):
        split_address(text)
