"""One image file, whatever its mode, as RGB pixels; everything unfit is refused with a reason."""

from __future__ import annotations

import stat
import struct
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import ExifTags, Image, UnidentifiedImageError
from torch import Tensor

from bcos_eval.errors import UnreadableImageError

# Pillow opens forty formats, some by starting other programs (EPS starts Ghostscript) and whatever the file's
# name.
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
# The largest camera files of today have 50 million pixels. A file of a few kilobytes can announce as many; reading
# one takes at most `MAX_READING_BYTES` of memory, which a test measures.
MAX_PIXELS = 50_000_000
MAX_READING_BYTES = 900_000_000
# Scaling the shorter side of a 1 × 4000 image to 256 would ask for a million rows.
MAX_ASPECT_RATIO = 50

_REPLACE = "replace the file or remove it from the dataset."
_CONVERT = "save it as an 8-bit image."
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_WHITE = (255, 255, 255, 255)
# Rows that are put on white at once: whole copies of a large picture would fill the memory.
_STRIP = 256
UPRIGHT = 1
# What makes the pixels stored under an EXIF orientation upright.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# Orientations from this one on exchange rows and columns.
_FIRST_TRANSPOSED = 5
_MAX_16_BIT = 65535
_16_BIT_STEP = 257  # 65535 / 255
# What Pillow's decoders raise on damaged files, besides its own errors.
_DECODING_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    KeyError,
    IndexError,
    OverflowError,
    struct.error,
    zlib.error,
)


def to_tensor(image: Image.Image) -> Tensor:
    """Pixels of an 8-bit RGB image, `(3, H, W)` float32 in [0, 1]."""
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous().float().div(255)


@dataclass(frozen=True, slots=True)
class Photograph:
    """A decoded image file.

    Attributes:
        image: 8-bit RGB, upright.
        orientation: EXIF orientation, 1 to 8, of the pixels as they are stored; 1 is upright.
    """

    image: Image.Image
    orientation: int = UPRIGHT

    @property
    def stored_size(self) -> tuple[int, int]:
        """Width and height of the pixels as they are stored."""
        width, height = self.image.size
        return (height, width) if self.orientation >= _FIRST_TRANSPOSED else (width, height)


def turned_upright(image: Image.Image, orientation: int) -> Image.Image:
    """Return what is stored under an EXIF orientation upright."""
    turn = _TURNS.get(orientation)
    return image if turn is None else image.transpose(turn)


def read_image(path: Path) -> Image.Image:
    """An image file as an 8-bit RGB image, upright; see `read_photograph`."""
    return read_photograph(path).image


def read_photograph(path: Path) -> Photograph:
    """An image file as an 8-bit RGB image, upright, with the orientation it was stored in.

    EXIF orientation is applied. Grey, CMYK and palette images become RGB; transparent pixels are shown on
    white, as viewers show them; 16-bit grey is scaled to the full 8-bit range (Pillow would clip it); of an
    animation, the first frame is taken. The name's extension does not matter, the format has to be one of
    `FORMATS`.

    Raises:
        UnreadableImageError: If the file is missing, empty, no image, damaged (PNG checksums count), larger
            than `MAX_PIXELS`, more elongated than `MAX_ASPECT_RATIO`, or of unknown value range. The message
            names the file, the reason and what to do.
    """
    _check_file(path)
    # Pillow warns about large and odd files; what matters of that is an error here.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            _check_png_checksums(path)
            with path.open("rb") as file, Image.open(file, formats=FORMATS) as image:
                _check_shape(path, *image.size)
                orientation = _orientation(image)
                image.load()
                remaining = _orientation(image)  # Pillow turns a TIFF while loading it
                return Photograph(turned_upright(_to_rgb(path, image), remaining), orientation)
        except UnreadableImageError:
            raise
        except PermissionError as error:
            raise _unreadable(path, "it may not be read", "change its permissions.") from error
        except UnidentifiedImageError as error:
            reason = f"it is not an image in one of the formats {', '.join(FORMATS)}"
            raise _unreadable(path, reason, _REPLACE) from error
        except Image.DecompressionBombError as error:
            reason = f"its header announces more than {MAX_PIXELS} pixels"
            raise _unreadable(path, reason, _REPLACE) from error
        except _DECODING_ERRORS as error:
            raise _unreadable(path, f"its data are damaged or cut off ({error})", _REPLACE) from error


def _unreadable(path: Path, reason: str, remedy: str) -> UnreadableImageError:
    return UnreadableImageError(f"cannot read image '{path}': {reason}; {remedy}")


def _check_file(path: Path) -> None:
    try:
        status = path.stat()
    except FileNotFoundError as error:
        if path.is_symlink():
            reason = f"it is a link to '{path.readlink()}', which does not exist"
            raise _unreadable(path, reason, "mend or remove the link.") from error
        raise _unreadable(path, "there is no such file", "check the path.") from error
    except OSError as error:  # a name too long, a loop of links, a folder without permission
        raise _unreadable(path, str(error.strerror or error), "check the path.") from error
    if not stat.S_ISREG(status.st_mode):
        raise _unreadable(path, "it is not a file", "check the path.")
    if status.st_size == 0:
        raise _unreadable(path, "the file is empty", _REPLACE)


def _orientation(image: Image.Image) -> int:
    value = image.getexif().get(ExifTags.Base.Orientation, UPRIGHT)
    return value if value in _TURNS else UPRIGHT


def _check_png_checksums(path: Path) -> None:
    # Pillow decodes pixel data with a wrong checksum without complaint; only verify() looks at it.
    with path.open("rb") as file:
        if file.read(len(_PNG_SIGNATURE)) != _PNG_SIGNATURE:
            return
        file.seek(0)
        with Image.open(file, formats=("PNG",)) as image:
            if image.width * image.height <= MAX_PIXELS:
                image.verify()


def _check_shape(path: Path, width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        reason = f"it has {width}×{height} pixels, more than {MAX_PIXELS}"
        raise _unreadable(path, reason, "scale it down.")
    if max(width, height) > MAX_ASPECT_RATIO * min(width, height):
        reason = f"it has {width}×{height} pixels, one side more than {MAX_ASPECT_RATIO} times the other"
        raise _unreadable(path, reason, "crop it.")


def _to_rgb(path: Path, image: Image.Image) -> Image.Image:
    eight_bit = _to_8_bit(path, image)
    if eight_bit.mode not in ("RGBA", "LA", "PA", "La", "RGBa") and "transparency" not in eight_bit.info:
        return eight_bit.convert("RGB")
    rgb = Image.new("RGB", eight_bit.size)
    for top in range(0, eight_bit.height, _STRIP):
        strip = eight_bit.crop((0, top, eight_bit.width, min(top + _STRIP, eight_bit.height))).convert("RGBA")
        rgb.paste(Image.alpha_composite(Image.new("RGBA", strip.size, _WHITE), strip).convert("RGB"), (0, top))
    return rgb


def _to_8_bit(path: Path, image: Image.Image) -> Image.Image:
    if image.mode == "F":
        raise _unreadable(path, "its floating-point pixels have no known range", _CONVERT)
    if not image.mode.startswith("I"):
        return image
    values = np.asarray(image)
    if values.min() < 0 or values.max() > _MAX_16_BIT:  # older Pillow opens 16-bit PNG as 32-bit "I"
        raise _unreadable(path, "its 32-bit pixels have no known range", _CONVERT)
    grey = Image.new("L", image.size)
    for top in range(0, image.height, _STRIP):
        levels = (values[top : top + _STRIP].astype(np.int32) + _16_BIT_STEP // 2) // _16_BIT_STEP
        grey.paste(Image.fromarray(levels.astype(np.uint8)), (0, top))
    return grey
