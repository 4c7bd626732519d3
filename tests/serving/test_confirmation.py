"""What would unlock a door says that it needs a confirmation, in every interface."""

import asyncio
import json

import pytest

from host.cli.report import make_report
from host.generation.generator import Generation
from host.generation.statistics import GenerationStatistics
from host.model.cache import load_quantized
from host.paths import HOME_MODEL
from host.serving.asking import describe_answer
from host.serving.engine import READY
from host.serving.intents import IntentTable
from host.serving.openai_answers import CHAT, TEXT, AnswerWriter
from host.serving.wyoming_service import WyomingService
from tests.serving.reference_chips import ReferenceChips
from tests.serving.servers import make_service, wait_until


def answer(text, **fields):
    return Generation("", text, [5], GenerationStatistics(), "stop", **fields)


UNLOCKS = answer("lock.attic unlock", confidence=0.98765, needs_confirmation=True)
REFUSED = answer("unknown", confidence=0.6, refused="the model is not sure")


@pytest.mark.parametrize("kind", [CHAT, TEXT])
def test_openais_objects_say_so_whole_and_streamed(kind):
    writer = AnswerWriter(kind, "home", "fp", [], has_grammar=True)
    for written in (writer.whole(UNLOCKS), writer.last_piece(UNLOCKS)):
        assert written["federation"] == {"confidence": 0.9877, "needs_confirmation": True}
    assert writer.whole(REFUSED)["federation"] == {
        "confidence": 0.6, "refused": "the model is not sure",
    }  # fmt: skip
    assert "federation" not in AnswerWriter(kind, "tiny", "fp", []).whole(answer("x"))


def test_so_do_mqtts_answers_and_the_objects_of_a_run():
    assert describe_answer(UNLOCKS) == {"confidence": 0.9877, "needs_confirmation": True}
    report = make_report("", "", [], GenerationStatistics(), [], answer=UNLOCKS)
    assert report["needs_confirmation"] is True and report["confidence"] == 0.9877
    assert "needs_confirmation" not in make_report(
        "", "", [], GenerationStatistics(), [], answer=REFUSED
    )
    json.dumps(report)


def test_so_does_the_context_of_wyomings_intents():
    service, _ = make_service(load_quantized(HOME_MODEL), [[ReferenceChips()]], name="home")
    service.start()
    try:
        wait_until(lambda: service.default.state == READY)
        wyoming = WyomingService(service.default, IntentTable.load(may_unlock=True), {}, 60)
        _, unlock, _ = asyncio.run(wyoming.answer("unlock the garage door", {}))
        _, off, _ = asyncio.run(wyoming.answer("turn off the kitchen lights", {}))
    finally:
        service.stop()
    assert unlock.name == "HassTurnOff" and unlock.context == {"needs_confirmation": True}
    assert off.context is None
