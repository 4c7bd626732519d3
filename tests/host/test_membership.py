"""The chips of a plan in a session: their shards, silence and restarts, in virtual time."""

import pytest

from host.cluster.membership import Membership
from host.cluster.request import NeedsCache, NeedsHandshake, Request
from host.errors import ClusterError
from protocol.auth import LAST_COUNTER
from protocol.message_types import COMPUTE, STEP
from tests.host.fake_cluster import KEY, REQUEST, FakeCluster

MODEL = bytes(32)
DIGESTS = dict.fromkeys(range(3), bytes(8))


def members_of(clock, digests=DIGESTS, model=MODEL, **options):
    cluster = FakeCluster(clock, **options)
    return cluster, Membership(cluster.coordinator, model, digests)


def test_all_chips_are_taken_into_the_session(clock):
    cluster, membership = members_of(clock)
    ready = []
    assert set(membership.connect(1.0, ready.append)) == set(ready) == {0, 1, 2}
    assert set(cluster.coordinator.boot_ids) == {0, 1, 2}


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"model": b"\xab" * 32}, "^chip 0 holds model 0000000000000000, not abababababababab: "),
        ({"digests": {**DIGESTS, 1: b"another!"}}, "^chip 1 holds 1 heads, .* of another plan: "),
    ],
)
def test_another_model_or_shard_is_refused_whenever_a_chip_is_taken_in(clock, wrong, error):
    _, membership = members_of(clock, **wrong)
    with pytest.raises(ClusterError, match=error):
        membership.connect(1.0)
    with pytest.raises(ClusterError, match=error):
        membership.handshake([0, 1], "position 4")


def ask(answers):
    """What asks; each of `answers` is raised, or returned."""
    asked = []

    def of(payload, chips, where, timing, on_answer):
        asked.append(chips)
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return asked, of


def need(*silent, kind=COMPUTE):
    """A request to chips 1 and 2 which these have not answered."""
    request = Request(kind, REQUEST, [1, 2], "position 4", "timing", 2.5)
    request.answers = {chip: b"" for chip in (1, 2) if chip not in silent}
    return NeedsHandshake(request)


def connected(clock, answers, key=KEY):
    """A cluster in a session, and what is asked; each resumed request gets one of `answers`."""
    cluster, membership = members_of(clock, key=key)
    membership.connect(1.0)
    asked, of = ask(answers)
    resumed = []

    def resume(request):
        resumed.append(request.missing)
        return of(request.payload, request.chips, "", "", None)

    cluster.coordinator.resume = resume
    cluster.transport.sent.clear()
    return cluster, asked, resumed, lambda: membership.ask(of, REQUEST, [1, 2], "position 4", "")


def test_silent_chips_have_a_handshake_and_go_on_with_the_request(clock):
    answers = {1: b"", 2: b""}
    cluster, asked, resumed, run = connected(clock, [need(2), need(1), answers])
    assert run() == answers
    assert asked == [[1, 2]] * 3 and resumed == [[2], [1]]
    assert [to for _, to in cluster.transport.sent] == [2, 1]


def test_in_another_session_the_request_begins_anew(clock):
    answers = {1: b"", 2: b""}
    cluster, asked, resumed, run = connected(clock, [need(2), answers])
    cluster.chips[2].restart()
    assert run() == answers
    assert asked == [[1, 2]] * 2 and resumed == []


@pytest.mark.parametrize("key", [b"", KEY])
def test_chips_in_lockstep_all_have_a_handshake_and_one_that_restarted_lost_its_part(clock, key):
    cluster, _, resumed, run = connected(clock, [need(2, kind=STEP), need(2, kind=STEP)], key)
    resume = cluster.coordinator.resume

    def restarts(request):
        cluster.chips[1].restart()
        return resume(request)

    cluster.coordinator.resume = restarts
    with pytest.raises(NeedsCache) as caught:
        run()
    assert caught.value.chip == 1 and resumed == [[2]]


def test_chips_that_only_have_handshakes_are_given_up(clock):
    _, asked, _, run = connected(clock, [need(2) for _ in range(99)])
    with pytest.raises(ClusterError) as caught:
        run()
    assert str(caught.value) == "chip 2 completes handshakes but answers no request (position 4)"
    assert len(asked) == 8


def test_a_chip_that_restarted_is_verified_anew(clock):
    cluster, membership = members_of(clock)
    membership.connect(1.0)
    answers = {
        chip: bytes(7) + boot_id.to_bytes(2, "little") + b"data"
        for chip, boot_id in cluster.coordinator.boot_ids.items()
    }
    cluster.transport.sent.clear()
    membership.verify_restarted(answers, "position 4")
    assert cluster.transport.sent == []
    cluster.chips[1].restart()
    answers[1] = bytes(7) + cluster.chips[1].boot_id.to_bytes(2, "little")
    membership.verify_restarted(answers, "position 4")
    assert [to for _, to in cluster.transport.sent] == [1]
    assert cluster.coordinator.boot_ids[1] == cluster.chips[1].boot_id


def test_an_answer_of_a_chip_that_was_never_in_the_session_has_it_verified(clock):
    cluster, membership = members_of(clock)
    membership.verify_restarted({0: bytes(9)}, "position 4")
    assert set(cluster.coordinator.boot_ids) == {0}


@pytest.mark.parametrize("source", [None, 2])
def test_a_session_is_replaced_once_half_of_its_counters_are_used(clock, source):
    cluster, membership = members_of(clock, key=KEY)
    membership.connect(1.0)
    session, signer = cluster.signer.announcement(), cluster.signer.session
    half = LAST_COUNTER // 2
    for used in (half, half + 1):
        membership.rekey_if_needed()
        assert cluster.signer.announcement() == session
        if source is None:
            signer._highest[-1] = used
        else:
            signer._highest[source] = used
    membership.rekey_if_needed()
    assert cluster.signer.announcement() != session
    assert cluster.compute() == {chip: REQUEST + bytes([chip]) for chip in range(3)}
