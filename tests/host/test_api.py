"""`import host`: its cost, what it refuses, and what a cluster does beside the page's examples."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest

import host
from host.setup.micropython import find
from tests.simulation.launch import REPOSITORY


@pytest.fixture(scope="module")
def home():
    return host.load_model("home")


def test_the_import_is_cheap_until_a_name_is_used():
    program = (
        "import json, sys, host\n"
        "before = sorted({'numpy', 'rich', 'serial', 'host.api'} & set(sys.modules))\n"
        "errors = host.FederationError, host.ClusterError\n"
        "still = 'numpy' in sys.modules\n"
        "host.simulate\n"
        "print(json.dumps([before, still, 'numpy' in sys.modules, 'simulate' in dir(host)]))\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert json.loads(ended.stdout) == [[], False, True, True]


def test_micropython_imports_the_package_too(micropython):
    program = "import host; print('simulate' in host.__all__, hasattr(host, 'none'))"
    environment = {"MICROPYPATH": f"{REPOSITORY}:.frozen"}
    ended = subprocess.run(
        [find(), "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert ended.stdout == "True False\n"


def test_a_name_that_is_not_there():
    with pytest.raises(AttributeError, match="^module 'host' has no attribute 'simulation_of'$"):
        host.simulation_of  # noqa: B018
    assert set(host.__all__) <= set(dir(host))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"chips": 0}, "ArgumentError", "chips must be a whole number from 1 to 254, got 0"),
        ({"chips": "3"}, "ArgumentError", "chips must be a whole number from 1 to 254, got '3'"),
        ({"link": "wifi"}, "ArgumentError", "link must be uart or espnow or ring, got 'wifi'"),
        ({"chips": True}, "ArgumentError", "chips must be a whole number from 1 to 254, got True"),
        ({"loss": "0.1"}, "ArgumentError", "loss must be in [0, 1), got '0.1'"),
        ({"board": None}, "ArgumentError", "board must be a str, got NoneType"),
        ({"secure": "no"}, "ArgumentError", "secure must be True or False, got 'no'"),
        ({"slots": -1}, "ArgumentError", "slots must be a whole number from 0 to 64, got -1"),
        ({"drafts": "2"}, "ArgumentError", "drafts must be a whole number from 0 to "),
        ({"context": "8"}, "ArgumentError", "context must be a whole number from 1, got '8'"),
        ({"model": None}, "ArgumentError", 'model must be a path, "home" or what load_model gave'),
        ({"model": b"home"}, "ArgumentError", 'model must be a path, "home" or what load_model'),
        ({"model": "ho\0me"}, "ArgumentError", "model must be a path, got 'ho\\x00me'"),
        ({"model": "\ud800"}, "ArgumentError", "model must be a path, got '\\ud800'"),
        ({"parallelism": 3}, "ArgumentError", "parallelism must be tensor or pipeline or hybrid"),
        (
            {"parallelism": host.Parallelism("x")},
            "ArgumentError",
            "parallelism.strategy must be tensor or pipeline or hybrid, got 'x'",
        ),
        (
            {"parallelism": host.Parallelism(stages=0)},
            "ArgumentError",
            "parallelism.stages must be a whole number from 1, got 0",
        ),
        ({"loss": 1}, "ArgumentError", "loss must be in [0, 1), got 1"),
        ({"seed": -1}, "ArgumentError", "seed must be a whole number from 0, got -1"),
        (
            {"parallelism": host.Parallelism(stages=2)},
            "ArgumentError",
            'parallelism.stages must be 1 with strategy "tensor", got 2',
        ),
        (
            {"parallelism": host.Parallelism("pipeline", 2)},
            "ArgumentError",
            """parallelism.reduce must be "chips" with strategy "pipeline", got 'host'""",
        ),
        (
            {"radio_mtu": 1470, "link": "uart"},
            "ArgumentError",
            """radio_mtu is for link "espnow", got link 'uart'""",
        ),
        (
            {"parallelism": "data"},
            "ArgumentError",
            "parallelism must be tensor or pipeline or hybrid or auto, got 'data'",
        ),
        (
            {"parallelism": "hybrid", "chips": 1},
            "ModelError",
            "stages must be 1 to 1 for 6 layers on 1 chip, got 2",
        ),
        ({"board": "esp"}, "BoardError", "no board is called 'esp', did you mean esp32? "),
        ({"context": 200}, "ModelError", "context must be 1 to 128, got 200"),
        ({"model": "none.bin"}, "ModelError", "none.bin: cannot read the model: No such file"),
        ({"chips": 1, "board": "esp32c3"}, "ModelError", "1 chip with "),
    ],
)
def test_what_cannot_be_simulated(home, monkeypatch, arguments, error, message):
    monkeypatch.setattr("host.launch.simulated.SimulatedCluster", None)
    given = {"model": home, **arguments}
    with pytest.raises(getattr(host, error)) as caught, host.simulate(**given):
        pass
    assert str(caught.value).startswith(message)
    assert isinstance(caught.value, host.FederationError)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({}, "ClusterError", "no federation.toml here, by which --ports auto finds the boards"),
        ({"ports": []}, "ArgumentError", 'ports must name a port, or be "auto"'),
        ({"ports": 3}, "ArgumentError", "ports must be a list of str, got 3"),
        ({"ports": [3]}, "ArgumentError", "ports[0] must be a str, got int"),
        ({"ports": "a", "chips": 0}, "ArgumentError", "chips must be a whole number from 1 to 25"),
        ({"ports": ","}, "ArgumentError", 'ports must name a port, or be "auto"'),
        ({"ports": ["a", "a"]}, "ClusterError", "a is given twice: each chip has a port of its"),
        ({"ports": "a", "link": "can"}, "ArgumentError",
         "link must be uart or espnow or ring, got 'can'"),
        ({"ports": "/dev/none"}, "ClusterError", "there is no port /dev/none: plug the board in"),
    ],
)
def test_boards_that_cannot_be_connected(home, tmp_path, monkeypatch, arguments, error, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(getattr(host, error)) as caught, host.connect(model=home, **arguments):
        pass
    assert str(caught.value).startswith(message)


@pytest.fixture(scope="module")
def cluster(micropython, home):
    """Two stages, so that several sequences run at a time."""
    with host.simulate(home, chips=2, link="uart", parallelism="pipeline") as opened:
        yield opened


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"prompt": b"on"}, "ArgumentError", "prompt must be a str, got bytes"),
        ({"max_tokens": 0}, "ArgumentError", "max_tokens must be a whole number from 1, got 0"),
        ({"max_tokens": "3"}, "ArgumentError", "max_tokens must be a whole number from 1, got "),
        ({"max_tokens": 1.5}, "ArgumentError", "max_tokens must be a whole number from 1, got 1"),
        ({"temperature": "1"}, "ArgumentError", "temperature must be a number from 0, got '1'"),
        ({"top_p": None}, "ArgumentError", "top_p must be in (0, 1], got None"),
        ({"seed": 1.5}, "ArgumentError", "seed must be a whole number from 0, got 1.5"),
        ({"stop": 3}, "ArgumentError", "stop must be a str, a list of str or None, got 3"),
        ({"stop": ["x", 3]}, "ArgumentError", "stop[1] must be a str, got int"),
        ({"temperature": -1}, "ArgumentError", "temperature must be 0 or more, got -1"),
        ({"top_p": 1.5}, "ArgumentError", "top-p must be in (0, 1], got 1.5"),
        ({"seed": -1}, "ArgumentError", "seed must be a whole number from 0, got -1"),
        ({"stop": ["x", ""]}, "ArgumentError", "a stop string must not be empty"),
        ({"prompt": "dim the light " * 60}, "ModelError", "the prompt has "),
        ({"prompt": "dim \udcff"}, "ModelError", "byte 0xff is not text: give UTF-8"),
    ],
)
def test_what_cannot_be_generated(cluster, arguments, error, message):
    given = {"prompt": "turn on the fan", **arguments}
    with pytest.raises(getattr(host, error)) as caught:
        cluster.generate(**given)
    assert str(caught.value).startswith(message)


def test_a_batch_gives_what_each_prompt_gives_alone(cluster):
    both = "turn off the kitchen lights and set an alarm for seven"
    prompts = ["order a pizza", both, "wake me at seven"]
    found = cluster.generate_batch(prompts, stop=";")
    alone = [cluster.generate(prompt, stop=";") for prompt in prompts]
    assert [each.text for each in found] == [each.text for each in alone]
    assert [each.text for each in found] == ["unknown", "light.kitchen off", "alarm at=07:00"]
    assert [each.prompt for each in found] == prompts
    with pytest.raises(host.ArgumentError, match="^prompts must be a list of str, got one str$"):
        cluster.generate_batch("order a pizza")
    with pytest.raises(host.ArgumentError, match="^prompts must be a list of str, got None$"):
        cluster.generate_batch(None)


def test_a_generation_of_so_many_tokens(cluster):
    generation = cluster.generate("turn off the kitchen lights", max_tokens=1)
    assert (len(generation.tokens), generation.finish_reason) == (1, "length")
    assert (generation.text, generation.refused) == ("unknown", "it is cut off")


def test_a_prompt_is_what_is_seen_of_it(cluster):
    hidden = "\ufeffIS the \u200blight in the\xa0attic ON?"
    assert cluster.generate(hidden).text == "light.attic state?"


def test_a_stream_that_is_closed_lets_the_next_generation_run(micropython, home):
    free = replace(home, prompt_format=replace(home.prompt_format, grammar=None, names=""))
    with host.simulate(free, chips=1, link="uart") as cluster:
        stream = cluster.stream("turn off the kitchen lights")
        first = next(stream)
        with pytest.raises(host.ClusterError, match="^another generation is running"):
            cluster.generate("order a pizza")
        stream.close()
        assert (stream.generation.text, stream.generation.finish_reason) == (first, "cancelled")
        assert cluster.generate("order a pizza").text == "unknown"


def test_a_cluster_says_what_it_is(cluster):
    assert (cluster.chips, cluster.context, cluster.is_simulated) == (2, 128, True)
    assert cluster.parallelism == host.Parallelism("pipeline", 2, "chips")
    assert cluster.choice == "parallelism: pipeline in 2 stages (as given)"
    assert [each.chip for each in cluster.statistics()] == [0, 1]


def test_a_cluster_that_is_closed_says_so(micropython, home):
    with host.simulate(home, chips=1, link="uart") as opened:
        pass
    for use in (lambda: opened.generate("order a pizza"), opened.statistics):
        with pytest.raises(host.ClusterError, match="^the cluster is closed: use it inside its"):
            use()
