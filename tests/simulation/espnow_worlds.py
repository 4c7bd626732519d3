"""Where the cases of the stand-in `espnow` take place, under both Pythons.

Each case builds a world with `new_world()`, which whoever runs the cases has set: stations on
a fake radio in the same process under CPython, on the hub's under MicroPython.
"""

from tests.dual import raises

BROADCAST = b"\xff" * 6
NOBODY = b"\x02\x00\x00\x00\x00\xee"
KEY = b"0123456789abcdef"

NOT_INIT, ARG, FULL, NOT_FOUND, EXIST, IF, CHAN = (
    (-12389, "ESP_ERR_ESPNOW_NOT_INIT"),
    (-12390, "ESP_ERR_ESPNOW_ARG"),
    (-12392, "ESP_ERR_ESPNOW_FULL"),
    (-12393, "ESP_ERR_ESPNOW_NOT_FOUND"),
    (-12395, "ESP_ERR_ESPNOW_EXIST"),
    (-12396, "ESP_ERR_ESPNOW_IF"),
    (-12397, "ESP_ERR_ESPNOW_CHAN"),
)

new_world = None


def fails(error, function, *arguments):
    raised = raises(OSError, function, *arguments)
    assert raised.args == error, raised.args


def numbered(number):
    return bytes([2, 1, 0, 0, 0, number])


def pair(world):
    """Two active stations that know each other and everyone."""
    a, b = world.station(), world.station()
    for esp, other in ((a, b), (b, a)):
        esp.add_peer(world.mac(other))
        esp.add_peer(BROADCAST)
    return a, b
