"""What names a broker, a server on it, and a device of Home Assistant's."""

import re

import pytest

from host.errors import ArgumentError
from host.serving.broker import Broker, parse_name
from host.serving.discovery import describe_device


def test_home_assistant_takes_topics_of_any_name():
    """Its pattern of a device's topic."""
    ((topic, content),) = describe_device("a/b c", "pi.lan-8080", "own")
    assert re.fullmatch(r"homeassistant/device/[a-zA-Z0-9_-]+/config", topic)
    assert content["device"]["name"] == "Federation pi.lan-8080"


@pytest.mark.parametrize("name", ["", "a/b", "#", "a+", "a\n", "\0", "x" * 101])
def test_names_that_no_server_can_have(name):
    with pytest.raises(ArgumentError, match="^--mqtt-id .*: give 1 to 100 characters, "):
        parse_name(name)
    assert parse_name("pi.lan-8080") == "pi.lan-8080"


def test_files_that_verify_no_broker(tmp_path):
    (tmp_path / "none.pem").write_text("no certificate\n")
    for name, reason in (("missing.pem", "there is no such file"), ("none.pem", "no certificate")):
        with pytest.raises(ArgumentError, match=f"^--mqtt-ca .*{name}: {reason}"):
            Broker.parse("mqtts://broker", str(tmp_path / name))
    with pytest.raises(ArgumentError, match="^--mqtt-ca is for brokers with TLS: give --mqtt mqt"):
        Broker.parse("mqtt://broker", str(tmp_path / "none.pem"))


@pytest.mark.parametrize(
    ("text", "broker"),
    [
        ("mqtt://broker", Broker("broker", 1883)),
        ("mqtts://broker", Broker("broker", 8883, is_encrypted=True)),
        ("mqtt://u:p%40@h:1/a/b/", Broker("h", 1, "a/b", "u", "p@")),
        ("broker", None),
        ("http://broker", None),
        ("mqtt://", None),
        ("mqtt://h:x", None),
        ("mqtt://h/%23/#", Broker("h", 1883, "%23")),
        ("mqtt://h/a+", None),
    ],
)
def test_urls_of_brokers(text, broker):
    if broker:
        assert Broker.parse(text) == broker
        return
    with pytest.raises(ArgumentError, match="^--mqtt: give it as mqtt://broker or mqtts://"):
        Broker.parse(text)
