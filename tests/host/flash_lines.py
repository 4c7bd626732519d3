"""Command lines of flashing, with a small model, and the line with which they fail."""

from host.flash import main
from host.model.formats import quantized_file
from host.model.quantization.quantize import quantize
from tests.host.model_files import VOCABULARY, config_of, grouped_checkpoint, small_tokenizer


def write_model(path, *dimensions):
    """A quantized model's file; dimensions: config_of's, small ones where none are given."""
    config = config_of(*(dimensions or (8, 2, 2, 24)), VOCABULARY)
    quantized_file.save(quantize(grouped_checkpoint(config, True)), small_tokenizer(), path)
    return path


def command_line(small_model, port, **replaced):
    """A complete command line, in which options, the model's among them, are replaced or, by None,
    left out."""
    options = {
        "board": "esp32s3", "chip_id": 1, "chips": 2, "port": port, "model": small_model,
        "link": "uart", "line": "pins", "reduce": "host",
    }  # fmt: skip
    words = [
        word
        for name, value in (options | replaced).items()
        if value is not None
        for word in ("--" + name.replace("_", "-"), str(value))
    ]
    return ["--update", *words]


def failed_line(capsys, arguments):
    """The one line with which a command line fails."""
    assert main(arguments) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    (line,) = printed.err.splitlines()
    assert line.startswith("error: ")
    return line.removeprefix("error: ")
