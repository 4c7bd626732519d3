"""Which file of MicroPython is taken, and what is checked of one that was downloaded."""

import hashlib
import http.server
import threading

import pytest

from host.errors import FlashError
from host.flashing.firmware_files import find_image_file
from host.hardware.boards import load

BOARD = load("esp32s3")
NAME = "ESP32_GENERIC_S3-20251209-v1.27.0.bin"
CONTENT = bytes(range(256)) * 1000


@pytest.fixture
def site():
    """A server of images, which counts what is asked of it and can break off."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            server.asked.append(self.path)
            if self.path != f"/firmware/{NAME}":
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(CONTENT)))
            self.end_headers()
            self.wfile.write(CONTENT[: server.cut])

        def log_message(self, *arguments):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.asked, server.cut = [], None
    server.url = f"http://127.0.0.1:{server.server_address[1]}/firmware/"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_an_image_is_downloaded_once_and_checked_ever_after(site, tmp_path):
    steps = []
    path = find_image_file(
        BOARD, None, None, lambda *step: steps.append(step), folder=tmp_path, site=site.url
    )
    assert path.name == NAME and path.read_bytes() == CONTENT
    assert steps[-1] == (len(CONTENT), len(CONTENT))
    digest = hashlib.sha256(CONTENT).hexdigest()
    assert (tmp_path / f"{NAME}.sha256").read_text() == f"{digest}  {NAME}\n"
    assert find_image_file(BOARD, None, digest.upper(), folder=tmp_path, site=site.url) == path
    assert len(site.asked) == 1
    path.write_bytes(CONTENT[:-1] + b"?")
    with pytest.raises(FlashError, match=f"{NAME} has changed since it was downloaded: remove"):
        find_image_file(BOARD, None, folder=tmp_path, site=site.url)
    path.write_bytes(CONTENT)
    with pytest.raises(FlashError, match=f"{NAME} has the SHA-256 {digest}, not 00$"):
        find_image_file(BOARD, None, "00", folder=tmp_path, site=site.url)


def test_a_download_that_breaks_off_leaves_nothing(site, tmp_path):
    site.cut = 1000
    with pytest.raises(FlashError, match="the download was interrupted"):
        find_image_file(BOARD, None, folder=tmp_path, site=site.url)
    assert list(tmp_path.iterdir()) == []
    site.cut = None
    assert find_image_file(BOARD, None, folder=tmp_path, site=site.url).read_bytes() == CONTENT


def test_without_a_network_it_is_said_what_to_download_and_where_to_put_it(site, tmp_path):
    site.shutdown()
    site.server_close()
    with pytest.raises(FlashError) as raised:
        find_image_file(BOARD, None, folder=tmp_path, site=site.url)
    text = str(raised.value)
    assert text.startswith("no MicroPython here for the board (")
    assert text.endswith(
        f": download {site.url}{NAME} and put it into {tmp_path}, or give FIRMWARE="
    )
    assert "\n" not in text


def test_an_image_that_was_put_there_is_taken(tmp_path):
    (tmp_path / NAME).write_bytes(CONTENT)
    assert find_image_file(BOARD, None, folder=tmp_path, site="nowhere://").name == NAME


def test_the_newest_of_a_folder_for_that_board(tmp_path):
    for name in ("ESP32_GENERIC_S3-20251209-v1.9.0.bin", "ESP32_GENERIC_S3-20240101-v1.28.0.bin",
                 "ESP32_GENERIC_S3-SPIRAM_OCT-20251209-v1.29.0.bin", NAME,
                 "ESP32_GENERIC_S3-20260101-v1.29.0.app-bin"):  # fmt: skip
        (tmp_path / name).touch()
    assert find_image_file(BOARD, tmp_path).name == "ESP32_GENERIC_S3-20240101-v1.28.0.bin"
    with pytest.raises(FlashError, match=r"^no ESP32_GENERIC_C3-DATE-vVERSION.bin in "):
        find_image_file(load("esp32c3"), tmp_path)
    assert find_image_file(BOARD, tmp_path / NAME) == tmp_path / NAME


def test_a_folder_in_which_nothing_can_be_kept(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(FlashError, match=r"^cannot use .*/file/kept: Not a directory$"):
        find_image_file(BOARD, None, folder=tmp_path / "file" / "kept")
    (tmp_path / NAME).write_bytes(CONTENT)
    (tmp_path / f"{NAME}.sha256").mkdir()
    with pytest.raises(FlashError, match=r"^cannot use .*\.sha256: Is a directory$"):
        find_image_file(BOARD, None, folder=tmp_path)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FlashError, match="cannot read .*: No such file or directory"):
        find_image_file(BOARD, tmp_path / "none.bin", "00")
