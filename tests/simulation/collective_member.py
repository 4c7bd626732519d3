"""One member of a group that computes collectives: a MicroPython process on the simulated radio.

It prints what it found, and then goes on answering those who still miss something.
"""

import json
import time
from array import array

import espnow
import machine
import network

from firmware.links.espnow import RadioLink
from protocol.collective import MissingMember
from protocol.frame import (
    BROADCAST,
    DST,
    ProtocolError,
    append_trailer,
    verify_frame,
    write_header,
)
from protocol.gather_scatter import GatherScatter

CAPACITY, BITS, ROUNDS = 180, 27, 4  # which go in two to three frames
MTU, OVERHEAD = 250, 12
TIMEOUT = 5_000


def values_of(member, number, count):
    """What a member contributes: of all widths up to 20 bits."""
    limit = 1 << (member + 5 * number) % 20
    return [(member * 7919 + number * 104729 + i * 31) % limit - limit // 2 for i in range(count)]


class Member:
    """A member of a group with the ids 0 to world - 1."""

    def __init__(self, me, world):
        station = network.WLAN(network.STA_IF)
        station.active(True)
        station.config(channel=1, pm=network.WLAN.PM_NONE)
        esp = espnow.ESPNow()
        esp.config(rxbuf=20_000)
        esp.active(True)
        self.me, self.world = me, world
        self.link = RadioLink(esp, MTU)
        self.exchange = GatherScatter(
            me, range(world), CAPACITY, BITS, MTU - OVERHEAD, self._send, TIMEOUT
        )
        self.exchange.start(1, 65530)  # so that numbers wrap
        self.ticked = time.ticks_ms()

    def _send(self, frame, kind, dst, number, length):
        write_header(frame, 2, kind, self.me, dst, number, length)
        self.link.broadcast(frame, append_trailer(frame, length))

    def turn(self):
        """Takes one frame in, or lets time pass."""
        length = self.link.receive()
        if not length:
            now = time.ticks_ms()
            self.exchange.tick(time.ticks_diff(now, self.ticked))
            self.ticked = now
            machine.idle()
            return
        frame = self.link.frame
        try:
            if frame[DST] in (self.me, BROADCAST):
                self.exchange.take(frame, verify_frame(frame, length))
        except ProtocolError:
            pass

    def result(self, count):
        """Of the collective begun last."""
        while not self.exchange.done:
            self.turn()
        return list(self.exchange.result[:count])

    def found(self):
        """The results of all kinds of collectives, in rounds, by name."""
        exchange, me, world = self.exchange, self.me, self.world
        results = []
        for number in range(ROUNDS):
            root = number % world
            exchange.all_reduce(array("i", values_of(me, number, CAPACITY)), CAPACITY)
            of_round = {"all_reduce": self.result(CAPACITY)}
            exchange.all_gather(array("i", values_of(me, number, 7)), 7)
            of_round["all_gather"] = self.result(7 * world)
            exchange.broadcast(array("i", values_of(me, number, 90)), 90, root)
            of_round["broadcast"] = self.result(90)
            exchange.scatter(array("i", values_of(me, number, 9 * world)), 9, root)
            at = exchange.slice_start(9)
            of_round["scatter"] = self.result(9 * world)[at : at + 9]
            exchange.barrier()
            of_round["barrier"] = self.result(0)
            results.append(of_round)
        return results


def run(me, world):
    """Prints what member `me` of so many found, and serves the others until it is ended."""
    member = Member(me, world)
    try:
        print(json.dumps(member.found()))
    except MissingMember as missing:
        print("missing", list(missing.args))
    while True:
        try:
            member.turn()
        except MissingMember:  # as every few seconds from now on
            continue
