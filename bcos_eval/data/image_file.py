"""One image file, whatever its mode, as RGB pixels; everything unfit is refused with a reason."""

from __future__ import annotations

import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from bcos_eval.errors import UnreadableImageError

# Pillow's own warning threshold; at 3 bytes a pixel a decoded image stays below 270 MB.
MAX_PIXELS = 89_478_485
# Scaling the shorter side of a 1 × 4000 image to 256 would ask for a million rows.
MAX_ASPECT_RATIO = 50

_REPLACE = "replace the file or remove it from the dataset."
_CONVERT = "save it as an 8-bit image."
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_WHITE = (255, 255, 255, 255)
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


def read_image(path: Path) -> Image.Image:
    """An image file as an 8-bit RGB image, upright.

    EXIF orientation is applied. Grey, CMYK and palette images become RGB; transparent pixels are shown on
    white, as viewers show them; 16-bit grey is scaled to the full 8-bit range (Pillow would clip it); of an
    animation, the first frame is taken. The name's extension does not matter.

    Raises:
        UnreadableImageError: If the file is missing, empty, no image, damaged (PNG checksums count), larger
            than `MAX_PIXELS`, more elongated than `MAX_ASPECT_RATIO`, or of unknown value range. The message
            names the file, the reason and what to do.
    """
    if not path.is_file():
        raise _unreadable(path, "there is no such file", "check the path.")
    if path.stat().st_size == 0:
        raise _unreadable(path, "the file is empty", _REPLACE)
    # Pillow warns about large and odd files; what matters of that is an error here.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            _check_png_checksums(path)
            with path.open("rb") as file, Image.open(file) as image:
                _check_shape(path, *image.size)
                return _to_rgb(path, ImageOps.exif_transpose(image))
        except UnreadableImageError:
            raise
        except PermissionError as error:
            raise _unreadable(path, "it may not be read", "change its permissions.") from error
        except UnidentifiedImageError as error:
            reason = "it is not an image in a format that Pillow knows"
            raise _unreadable(path, reason, _REPLACE) from error
        except Image.DecompressionBombError as error:
            reason = f"its header announces more than {MAX_PIXELS} pixels"
            raise _unreadable(path, reason, _REPLACE) from error
        except _DECODING_ERRORS as error:
            raise _unreadable(path, f"its data are damaged or cut off ({error})", _REPLACE) from error


def _unreadable(path: Path, reason: str, remedy: str) -> UnreadableImageError:
    return UnreadableImageError(f"cannot read image '{path}': {reason}; {remedy}")


def _check_png_checksums(path: Path) -> None:
    # Pillow decodes pixel data with a wrong checksum without complaint; only verify() looks at it.
    with path.open("rb") as file:
        if file.read(len(_PNG_SIGNATURE)) != _PNG_SIGNATURE:
            return
        file.seek(0)
        with Image.open(file) as image:
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
    if eight_bit.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in eight_bit.info:
        white = Image.new("RGBA", eight_bit.size, _WHITE)
        return Image.alpha_composite(white, eight_bit.convert("RGBA")).convert("RGB")
    return eight_bit.convert("RGB")


def _to_8_bit(path: Path, image: Image.Image) -> Image.Image:
    if image.mode == "F":
        raise _unreadable(path, "its floating-point pixels have no known range", _CONVERT)
    if not image.mode.startswith("I"):
        return image
    values = np.asarray(image).astype(np.int32)  # older Pillow opens 16-bit PNG as 32-bit "I"
    if values.min() < 0 or values.max() > _MAX_16_BIT:
        raise _unreadable(path, "its 32-bit pixels have no known range", _CONVERT)
    return Image.fromarray(((values + _16_BIT_STEP // 2) // _16_BIT_STEP).astype(np.uint8))
