"""Models how long the chips of a group on the radio wait for their turns, which keep their frames
at the end of a phase from colliding (firmware/roles/turns.py)."""

from __future__ import annotations

from host.parallel.cost.radio import RadioRate
from host.parallel.cost.traffic import frame_sizes, widest_sums
from host.parallel.parallelism import FEWEST_IN_TURN
from host.parallel.plan import Plan
from protocol.message_types import CONTRIBUTION


def takes_turns(plan: Plan) -> bool:
    """Returns whether chips send in turn: in groups of several on the radio."""
    return plan.link.has_radio and max(len(stage.chips) for stage in plan.stages) >= FEWEST_IN_TURN


def slot_seconds(plan: Plan, rate: RadioRate) -> float:
    """Returns the mean seconds that a contribution of the widest numbers takes on the air; 0 if
    there are no turns. So long a chip waits for each chip before it that has not sent."""
    if not takes_turns(plan):
        return 0.0
    token = plan.strategy.synchronizations(plan, True, widest_sums(plan))
    seconds, sent = 0.0, 0
    for each in token:
        parts = [message for message in each.answers if message.kind == CONTRIBUTION]
        sent += len({message.source for message in parts})
        for message in parts:
            for size in frame_sizes(plan, message.payload):
                seconds += rate.airtime(size, is_broadcast=True)
    return seconds / sent if sent else 0.0


def describe_turns(plan: Plan, rate: RadioRate) -> list[str]:
    """Returns lines of text that say when chips send what they exchange; none if they do not share
    the air."""
    together = max(len(stage.chips) for stage in plan.stages)
    if not plan.link.has_radio or together == 1:
        return []
    if plan.strategy.reduce == "host":
        return ["answers to the gateway: whoever finds the air free; what collides the radio sends"
                " again, for which no time is counted"]  # fmt: skip
    if slot := slot_seconds(plan, rate):
        return [
            f"contributions: in turn, by rank: a chip waits {slot * 1e3:.2f} ms, as long as one"
            " takes, for each chip before it whose has not come, so that hardly any collide"
        ]
    return ["contributions: whoever finds the air free, for two hardly ever collide"]
