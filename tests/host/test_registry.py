"""What flashing makes of federation.toml: the key, and who is to be flashed again."""

from dataclasses import replace

import pytest

from host.cluster import cluster_file
from host.cluster.cluster_fields import FlashedChip
from host.cluster.place import Place
from host.cluster.registry import agree_on_key, check_permission, make_cluster, record
from host.errors import BoardError, ClusterError, FlashError
from host.hardware.boards import load
from host.model.quantization.quantize import quantize
from host.parallel.parallelism import ALL_REDUCE, Link, pipeline
from tests.host.tiny import random_checkpoint

PLACE = Place(load("esp32s3"), "/dev/ttyACM0", 1, 2, Link("uart"))
CHIPS = tuple(
    FlashedChip(chip, "esp32s3", f"24:0a:c4:00:00:0{chip}", f"/dev/ttyACM{chip}")
    for chip in range(2)
)


@pytest.fixture(scope="module")
def model():
    return quantize(random_checkpoint())


@pytest.fixture
def file(tmp_path):
    return tmp_path / "federation.toml"


@pytest.fixture
def flashed(model, file):
    """Flashes chip 0, then 1, each with changes of the place: who is to be flashed again."""

    def both(signed=(None, None), **second):
        places = (PLACE, replace(PLACE, **second))
        for chip, place, key in zip(CHIPS, places, signed, strict=True):
            before = cluster_file.read(file)
            cluster = make_cluster(model, "m.bin", replace(place, chip=chip.id), before, key)
            key, others = agree_on_key(cluster, chip.id, file)
            stale = [*others, *record(replace(cluster, key=key), chip, file)]
        return stale

    return both


def test_a_new_cluster_has_a_key_which_stays(flashed, model, file):
    assert flashed() == []
    cluster = cluster_file.read(file)
    assert len(cluster.key) == 32 and cluster.flashed == CHIPS
    assert make_cluster(model, "m.bin", PLACE, cluster).key == cluster.key
    assert make_cluster(model, "m.bin", PLACE, cluster, True).key == cluster.key


def test_two_first_flashes_at_once_come_to_one_key(model, file):
    first, second = (make_cluster(model, "m.bin", PLACE, None) for _ in range(2))
    assert first.key != second.key
    assert agree_on_key(first, 0, file) == agree_on_key(second, 1, file) == (first.key, [])
    assert cluster_file.read(file).key == first.key


def test_a_key_for_a_cluster_without_one_is_one_key_too(flashed, model, file):
    """Of two flashes at once with --key, both of which have read that there is none."""
    flashed((False, None))
    first, second = (
        make_cluster(model, "m.bin", PLACE, cluster_file.read(file), True) for _ in range(2)
    )
    assert first.key != second.key
    assert agree_on_key(first, 0, file) == (first.key, [1])  # 1 is yet to be flashed with it
    assert agree_on_key(second, 1, file) == (first.key, [])
    for cluster, chip in zip((first, second), CHIPS, strict=True):
        assert record(replace(cluster, key=first.key), chip, file) == []


def test_a_cluster_without_a_key_stays_without_one(flashed, file):
    assert flashed((False, None)) == []
    assert cluster_file.read(file).key == b""


@pytest.mark.parametrize("signed", [(None, False), (False, True)])
def test_a_key_that_comes_or_goes_is_for_all_chips(flashed, file, signed):
    assert flashed(signed) == [0]
    assert bool(cluster_file.read(file).key) == signed[1]


@pytest.mark.parametrize(
    "change",
    [
        {"boards": ("esp32s3", "esp32s3")},
        {"link": Link("uart", "pins", signed=True)},
        {"link": Link("uart", "pins", signed=True), "parallelism": ALL_REDUCE},
        {"link": Link("uart", "pins", signed=True), "parallelism": pipeline(2)},
        {"link": Link("espnow", mtu=250, signed=True)},
        {"context": 8},
    ],
)
def test_what_all_chips_have_in_common_is_changed_for_all(flashed, file, change):
    place = {**change, "boards": tuple(map(load, change.get("boards", ())))}
    assert flashed(**place) == [0]
    cluster = cluster_file.read(file)
    assert {name: getattr(cluster, name) for name in change} == change


def test_a_model_that_lies_elsewhere_changes_no_chip(model, file):
    for path, chip in zip(("m.bin", "n.bin"), CHIPS, strict=True):
        before = cluster_file.read(file)
        cluster = make_cluster(model, path, replace(PLACE, chip=chip.id), before, False)
        assert record(cluster, chip, file) == []
    assert cluster_file.read(file).model == "n.bin"


OTHER = "24:0a:c4:00:00:09"
REPLACED = (
    f"chip 0 is another board (esp32s3, {CHIPS[0].mac}): replace it by this one ({OTHER})? [y/N] "
)
MOVED = f"this board ({CHIPS[1].mac}) is chip 1 of the cluster: make it chip 0? [y/N] "


@pytest.mark.parametrize(("mac", "question"), [(OTHER, REPLACED), (CHIPS[1].mac, MOVED)])
def test_a_chip_changes_places_if_the_user_says_yes(flashed, file, mac, question):
    flashed()
    cluster, asked = cluster_file.read(file), []
    for answer in ("y", " YES\n"):
        check_permission(cluster, 0, mac, lambda text, a=answer: asked.append(text) or a, False)
    for answer in ("", "n", "yesterday"):
        with pytest.raises(FlashError, match="^nothing was changed$"):
            check_permission(cluster, 0, mac, lambda text, a=answer: a, False)
    assert asked == [question] * 2
    with pytest.raises(FlashError, match=" only with --yes$"):
        check_permission(cluster, 0, mac, None, False)
    check_permission(cluster, 0, mac, None, True)


def test_nobody_is_asked_about_a_board_that_stays_what_it_was(flashed, file):
    flashed()
    check_permission(cluster_file.read(file), 0, CHIPS[0].mac, pytest.fail, False)


def test_chips_do_not_combine_where_they_do_not_reach_each_other():
    for changes in (
        {"link": Link("uart", "pins")}, {"link": Link("espnow")}, {"chips": 1, "chip": 0},
    ):  # fmt: skip
        replace(PLACE, parallelism=ALL_REDUCE, **changes).check()
    with pytest.raises(
        ClusterError, match="^chips cannot exchange partial sums over their REPL ports"
    ):
        replace(PLACE, parallelism=ALL_REDUCE).check()


def test_the_link_is_what_all_boards_have():
    assert replace(PLACE, link=Link("espnow"), key=bytes(32)).link == Link(
        "espnow", mtu=250, signed=True
    )
    with pytest.raises(BoardError, match="^esp32h2 has no ESP-NOW: give --link uart$"):
        replace(PLACE, link=Link("espnow"), boards=(load("esp32s3"), load("esp32h2")))
