"""Whole clusters whose chips prove native kernels at their first start and run on them.

The machine code is stood in for by what viper's compiler made for this processor.
"""

import pytest

from host.launch import open_cluster, simulated
from tests.simulation.native_standins import standin
from tests.system.federations import settings
from tests.system.reference_runs import assert_equals_reference

STEPS = 24
NOTHING = b"\xb8\x01\x00\x00\x00\xc3"  # mov eax, 1; ret: does nothing


@pytest.mark.parametrize(("link", "reduce"), [("uart", "host"), ("espnow", "chips")])
def test_the_text_is_the_same_whatever_kernels_run(model, runs, monkeypatch, link, reduce):
    files = simulated.chip_files

    def chip_files(model, plan, shard, arch, config, **more):
        of_chip = (standin(), standin(gate=NOTHING), None)[shard.chip]
        return files(model, plan, shard, arch, config, of_chip, **more)

    monkeypatch.setattr(simulated, "chip_files", chip_files)
    with open_cluster(model, settings(3, link, reduce=reduce)) as cluster:
        assert [chip.kernels for chip in cluster.statistics()] == [
            "native",
            "viper (native gate is wrong)",
            "viper (none else for this processor)",
        ]
        assert_equals_reference(cluster.executor, runs[0], STEPS)
        assert cluster.executor.recoveries == 0
