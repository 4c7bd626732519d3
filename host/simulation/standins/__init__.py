"""Modules of MicroPython's ESP32 port that a simulated chip imports: espnow, network, machine,
neopixel.

They run on MicroPython's unix port (1.25 or later), found through MICROPYPATH, where they come
before the built-in `machine`. espnow.py runs under CPython too, for unit tests.

A chip's environment:

    FEDERATION_HUB          UDP port of the hub on 127.0.0.1
    FEDERATION_MAC          the chip's address, 12 hexadecimal digits; also its unique_id()
    FEDERATION_MTU          greatest ESP-NOW message, 250 (default) or 1470
    FEDERATION_CHIP         name of the chip, as esptool spells it; esp32c6 has no ESP-NOW rate
    FEDERATION_UART         number of an inherited, non-blocking file descriptor
    FEDERATION_CONSOLE      1 if its serial line is its standard input and output, a terminal
    FEDERATION_RESET_CAUSE  why the chip starts: its last exit code - 70; absent: power-on
"""
