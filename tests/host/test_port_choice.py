"""Which port is meant, where none was given."""

import pytest

from host.cluster.cluster_fields import FlashedChip
from host.cluster.port_choice import choose_port
from host.errors import FlashError
from host.links.discovery import Candidate
from tests.clusters import cluster_file

MACS = [f"24:0a:c4:00:00:0{digit}" for digit in range(4)]
USB = [Candidate(f"/dev/ttyACM{number}", mac) for number, mac in enumerate(MACS)]
BRIDGE = Candidate("/dev/ttyUSB0")
CHIPS = (FlashedChip(0, "esp32s3", MACS[0], "a"), FlashedChip(1, "esp32s3", MACS[1], "b"))
CLUSTER = cluster_file(5, key=bytes(32), flashed=CHIPS)


@pytest.mark.parametrize(
    ("present", "cluster", "chip", "port"),
    [
        ([BRIDGE], None, 0, BRIDGE.url),
        ([USB[2]], CLUSTER, 2, USB[2].url),
        (USB[:3], CLUSTER, 2, USB[2].url),  # the others are chips 0 and 1
        (USB, CLUSTER, 1, USB[1].url),  # flashed before
        ([USB[0]], CLUSTER, 3, USB[0].url),  # another chip: whether it may be is asked later
    ],
)
def test_the_one_that_can_be_meant(present, cluster, chip, port):
    assert choose_port(present, cluster, chip, None) == port


@pytest.mark.parametrize("answer", ["2", " 2\n", USB[3].url])
def test_the_one_that_the_user_names(answer):
    asked = []

    def ask(question):
        asked.append(question)
        return answer

    assert choose_port(USB, CLUSTER, 2, ask) == USB[3].url
    assert "1  /dev/ttyACM2  24:0a:c4:00:00:02\n" in asked[0]


@pytest.mark.parametrize("answer", ["", "0", "3", "/dev/ttyACM0"])
def test_an_answer_that_names_none(answer):
    with pytest.raises(FlashError, match="is none of them: give PORT= as one of /dev/ttyACM2, "):
        choose_port(USB, CLUSTER, 2, lambda question: answer)


def test_nobody_to_ask_and_nothing_there():
    with pytest.raises(FlashError, match="several boards are plugged in: give PORT= as one of"):
        choose_port(USB, None, 2, None)
    with pytest.raises(FlashError, match="no board is plugged in"):
        choose_port([], None, 0, None)
