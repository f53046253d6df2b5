from __future__ import annotations

import csv
import re
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bcos_eval.data.image_file import MAX_ASPECT_RATIO, MAX_PIXELS, MAX_READING_BYTES, read_image, to_tensor
from bcos_eval.errors import UnreadableImageError

FORMATS = "BMP, GIF, JPEG, PNG, PPM, TIFF, WEBP"
REPLACE = "replace the file or remove it from the dataset."


def refusal(path: Path) -> str:
    with pytest.raises(UnreadableImageError) as caught:
        read_image(path)
    return str(caught.value)


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image).astype(np.int64)


@pytest.fixture
def bad_dir(data_dir):
    return data_dir / "bad"


@pytest.mark.data
def test_every_file_of_the_manifest_loads_or_is_refused_by_name(bad_dir):
    refused_shapes = {"thin_1x4000.png", "thin_4000x1.png"}
    with (bad_dir / "MANIFEST.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["file"] for row in rows} | {"MANIFEST.csv"} == {path.name for path in bad_dir.iterdir()}
    for row in rows:
        path = bad_dir / row["file"]
        if row["kind"] in ("corrupt", "bomb") or row["file"] in refused_shapes:
            message = refusal(path)
            assert message.startswith(f"cannot read image '{path}': ")
            assert "; " in message
            assert message.endswith(".")
        else:
            image = to_tensor(read_image(path))
            assert image.dtype == torch.float32
            assert image.shape[0] == 3
            assert 0 <= image.min() < image.max() <= 1 or row["file"] == "one_pixel.png"


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "rest"),
    [
        ("empty.JPEG", f"the file is empty; {REPLACE}"),
        ("text.JPEG", f"it is not an image in one of the formats {FORMATS}; {REPLACE}"),
        ("zero_width.png", f"it is not an image in one of the formats {FORMATS}; {REPLACE}"),
        ("bomb_50000x50000.png", f"its header announces more than 50000000 pixels; {REPLACE}"),
        ("bomb_12000x12000_valid.png", "it has 12000×12000 pixels, more than 50000000; scale it down."),
        ("thin_1x4000.png", "it has 1×4000 pixels, one side more than 50 times the other; crop it."),
        ("thin_4000x1.png", "it has 4000×1 pixels, one side more than 50 times the other; crop it."),
    ],
)
def test_refusal_says_what_is_wrong_and_what_to_do(bad_dir, name, rest):
    assert refusal(bad_dir / name) == f"cannot read image '{bad_dir / name}': {rest}"


@pytest.mark.data
@pytest.mark.parametrize("name", ["truncated.JPEG", "truncated.png", "header_only.JPEG", "bad_crc.png"])
def test_refusal_of_damaged_data_quotes_pillow(bad_dir, name):
    with pytest.raises(UnreadableImageError) as caught:
        read_image(bad_dir / name)
    cause = caught.value.__cause__
    assert str(caught.value) == (
        f"cannot read image '{bad_dir / name}': its data are damaged or cut off ({cause}); {REPLACE}"
    )


def test_missing_file_is_refused(tmp_path):
    path = tmp_path / "none.png"
    assert refusal(path) == f"cannot read image '{path}': there is no such file; check the path."


def test_directory_is_refused(tmp_path):
    assert refusal(tmp_path) == f"cannot read image '{tmp_path}': it is not a file; check the path."


def test_floating_point_image_is_refused(tmp_path):
    path = tmp_path / "float.tiff"
    Image.fromarray(np.full((4, 4), 0.5, dtype=np.float32)).save(path)
    assert refusal(path) == (
        f"cannot read image '{path}': its floating-point pixels have no known range; save it as an 8-bit image."
    )


def test_32_bit_image_beyond_16_bits_is_refused(tmp_path):
    path = tmp_path / "int.tiff"
    Image.fromarray(np.full((4, 4), 70_000, dtype=np.int32)).save(path)
    assert refusal(path) == (
        f"cannot read image '{path}': its 32-bit pixels have no known range; save it as an 8-bit image."
    )


@pytest.mark.data
def test_exif_orientation_is_applied(bad_dir):
    stored = Image.open(bad_dir / "exif_orientation6.JPEG")
    with stored:
        expected = stored.convert("RGB").transpose(Image.Transpose.ROTATE_270)
    upright = read_image(bad_dir / "exif_orientation6.JPEG")
    assert upright.size == (64, 96)
    assert np.array_equal(pixels(upright), pixels(expected))


@pytest.mark.data
def test_extension_and_name_do_not_matter(bad_dir):
    control = to_tensor(read_image(bad_dir / "control_rgb.JPEG"))
    assert torch.equal(control, to_tensor(read_image(bad_dir / "name with spaces, ünïcode 図 (1).JPEG")))
    assert to_tensor(read_image(bad_dir / "png_named.JPEG")).shape == control.shape


@pytest.mark.data
def test_grey_jpeg_has_three_equal_channels(bad_dir):
    image = to_tensor(read_image(bad_dir / "grey.JPEG"))
    assert torch.equal(image[0], image[1])
    assert torch.equal(image[0], image[2])


@pytest.mark.data
def test_cmyk_and_16_bit_rgb_show_the_control_picture(bad_dir):
    control = to_tensor(read_image(bad_dir / "control_rgb.JPEG"))
    for name in ("cmyk.JPEG", "rgb16.png"):
        # JPEG noise and colour conversion; an inverted or clipped picture is off by more than 0.3.
        assert (to_tensor(read_image(bad_dir / name)) - control).abs().mean() < 0.05, name


def test_transparent_pixels_are_shown_on_white(tmp_path):
    rgba = np.zeros((2, 3, 4), dtype=np.uint8)
    rgba[..., 0] = 100
    rgba[..., 3] = [[0, 128, 255], [255, 128, 0]]
    Image.fromarray(rgba).save(tmp_path / "a.png")
    alpha = rgba[..., 3:] / 255
    expected = alpha * rgba[..., :3] + (1 - alpha) * 255
    assert np.abs(pixels(read_image(tmp_path / "a.png")) - expected).max() <= 1  # integer compositing


def test_grey_with_alpha_is_shown_on_white(tmp_path):
    grey_alpha = Image.new("LA", (3, 2), (40, 0))
    grey_alpha.save(tmp_path / "la.png")
    assert (pixels(read_image(tmp_path / "la.png")) == 255).all()


@pytest.mark.parametrize("mode", ["1", "L", "RGB", "P"])
def test_transparent_colour_is_shown_on_white(tmp_path, mode):
    image = Image.new(mode, (3, 2), 0)
    image.save(tmp_path / "t.png", transparency=(0, 0, 0) if mode == "RGB" else 0)
    assert (pixels(read_image(tmp_path / "t.png")) == 255).all()


def test_16_bit_grey_is_scaled_to_the_whole_range(tmp_path):
    values = np.array([[0, 256, 257], [32768, 65000, 65535]], dtype=np.uint16)
    Image.fromarray(values).save(tmp_path / "16.png")
    loaded = to_tensor(read_image(tmp_path / "16.png"))[0].numpy()
    assert np.abs(loaded - values / 65535).max() <= 0.5 / 255 + 1e-7  # rounded to 8 bits
    assert loaded[0, 0] == 0
    assert loaded[1, 2] == 1


def test_32_bit_container_of_16_bit_values_is_scaled_alike(tmp_path):
    values = np.array([[0, 257], [32768, 65535]])
    Image.fromarray(values.astype(np.uint16)).save(tmp_path / "16.png")
    Image.fromarray(values.astype(np.int32)).save(tmp_path / "32.tiff")
    assert torch.equal(to_tensor(read_image(tmp_path / "16.png")), to_tensor(read_image(tmp_path / "32.tiff")))


def test_aspect_ratio_is_allowed_up_to_the_limit(tmp_path):
    Image.new("RGB", (MAX_ASPECT_RATIO, 1)).save(tmp_path / "wide.png")
    Image.new("RGB", (1, MAX_ASPECT_RATIO + 1)).save(tmp_path / "high.png")
    assert to_tensor(read_image(tmp_path / "wide.png")).shape == (3, 1, MAX_ASPECT_RATIO)
    assert "one side more than 50 times the other" in refusal(tmp_path / "high.png")


def test_png_with_any_flipped_pixel_byte_is_refused(tmp_path):
    path = tmp_path / "flipped.png"
    Image.new("RGB", (8, 8), (10, 20, 30)).save(path)
    content = bytearray(path.read_bytes())
    content[content.index(b"IDAT") + 8] ^= 1
    path.write_bytes(bytes(content))
    assert re.fullmatch(
        rf"cannot read image '{re.escape(str(path))}': its data are damaged or cut off \(.+\); {REPLACE}",
        refusal(path),
    )


def test_png_with_damaged_compressed_stream_is_refused(tmp_path):
    path = tmp_path / "stream.png"
    Image.new("RGB", (8, 8)).save(path)
    content = bytearray(path.read_bytes())
    start = content.index(b"IDAT")
    length = int.from_bytes(content[start - 4 : start], "big")
    content[start + 4 : start + 4 + length] = bytes(length)  # checksum made right again
    checksum = zlib.crc32(bytes(content[start : start + 4 + length]))
    content[start + 4 + length : start + 8 + length] = checksum.to_bytes(4, "big")
    path.write_bytes(bytes(content))
    assert "its data are damaged or cut off" in refusal(path)


def test_a_link_to_nothing_is_refused_with_its_target(tmp_path):
    (tmp_path / "a.png").symlink_to("gone.png")
    assert refusal(tmp_path / "a.png") == (
        f"cannot read image '{tmp_path / 'a.png'}': it is a link to 'gone.png', which does not exist; mend or "
        "remove the link."
    )


def test_a_name_too_long_is_refused(tmp_path):
    path = tmp_path / ("x" * 300 + ".png")
    assert refusal(path) == f"cannot read image '{path}': File name too long; check the path."


@pytest.mark.parametrize("name", ["eps", "pcx", "ico", "tga", "pdf"])
def test_formats_that_are_not_meant_are_refused_whatever_the_name(tmp_path, name):
    path = tmp_path / f"{name}.jpg"
    Image.new("RGB", (8, 8)).save(path, format="TGA" if name == "tga" else name.upper())
    assert refusal(path) == (
        f"cannot read image '{path}': it is not an image in one of the formats {FORMATS}; {REPLACE}"
    )


MEASURE = """
import sys
from pathlib import Path
from bcos_eval.data.image_file import read_image

def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM"))

before = peak()
size = read_image(Path(sys.argv[1])).size
print(peak() - before, size[0] * size[1])
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak memory from /proc")
@pytest.mark.parametrize("suffix", [".webp", ".png", ".tif"])
def test_the_largest_image_takes_no_more_memory_than_stated(tmp_path, suffix):
    path = tmp_path / f"large{suffix}"
    side = int(MAX_PIXELS**0.5)
    options = {"lossless": True} if suffix == ".webp" else {}
    Image.new("RGBA", (side, side), (1, 2, 3, 100)).save(path, **options)
    command = [sys.executable, "-c", MEASURE, str(path)]
    grown, pixels_read = map(
        int, subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    )
    assert pixels_read == side * side
    assert grown <= MAX_READING_BYTES
