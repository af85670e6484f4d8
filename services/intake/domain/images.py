"""Uploaded files: recognise their type by content and strip metadata from pictures."""

from io import BytesIO
from typing import Final

from PIL import Image, ImageOps, UnidentifiedImageError

from shared.appraisal.errors import Rejected

FORMATS: Final = ("JPEG", "PNG", "WEBP")
PIXELS_MAX: Final = {"JPEG": 50_000_000, "PNG": 25_000_000, "WEBP": 25_000_000}
"""A JPEG is decoded at a fraction of its size; other formats need four bytes for every pixel."""
SIDE_MAX: Final = 1600
QUALITY: Final = 82
SCALABLE_MODES: Final = frozenset({"L", "RGB", "RGBA", "CMYK", "YCbCr"})
"""Modes in which a picture can be made smaller as it is; a palette has to be resolved first."""
PDF: Final = "application/pdf"
WEBP: Final = "image/webp"
_SIGNATURES: Final = {
    b"\xff\xd8\xff": "image/jpeg",
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"RIFF": WEBP,
    b"%PDF-": PDF,
}
DAMAGED: Final = "图片已损坏，无法读取，请重新拍摄或选择"


def media_type_of(body: bytes) -> str:
    """Return the media type that the first bytes show, or "" for a type that is not accepted.

    File names and request headers are ignored.
    """
    found = next((kind for magic, kind in _SIGNATURES.items() if body.startswith(magic)), "")
    is_other_riff = found == WEBP and body[8:12] != b"WEBP"
    return "" if is_other_riff else found


def without_metadata(body: bytes) -> bytes:
    """Return the picture redrawn as JPEG: upright, at most SIDE_MAX wide and high, pixels only.

    Raises Rejected (422) for a picture that is damaged or too large. Call it in a process with
    limits: only the header is known before the decoder allocates.
    """
    try:
        drawn = _redraw(body)
    except Image.DecompressionBombError as error:
        raise too_many_pixels("PNG") from error
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise Rejected(DAMAGED, status=422) from error
    return _as_jpeg(drawn)


def too_many_pixels(picture_format: str) -> Rejected:
    """Return the rejection of a picture that is too large for its format."""
    pixels = PIXELS_MAX[picture_format] // 10_000
    return Rejected(f"图片像素超过 {pixels} 万，请缩小后再传", status=422)


def _as_jpeg(picture: Image.Image) -> bytes:
    written = BytesIO()
    picture.save(written, "JPEG", quality=QUALITY, optimize=True)
    return written.getvalue()


def _redraw(body: bytes) -> Image.Image:
    """Return the pixels of a picture, small, upright and on a white background."""
    with Image.open(BytesIO(body), formats=FORMATS) as picture:
        _check_pixels(picture)
        picture.draft("RGB", (2 * SIDE_MAX, 2 * SIDE_MAX))
        # Made small first: every later step needs memory for each pixel.
        small = picture if picture.mode in SCALABLE_MODES else picture.convert("RGBA")
        small.thumbnail((SIDE_MAX, SIDE_MAX))
        upright = ImageOps.exif_transpose(small)
        return _on_white(upright)


def _check_pixels(picture: Image.Image) -> None:
    picture_format = picture.format or "PNG"
    if picture.width * picture.height > PIXELS_MAX[picture_format]:
        raise too_many_pixels(picture_format)


def _on_white(picture: Image.Image) -> Image.Image:
    drawn = Image.new("RGB", picture.size, "white")
    rgba = picture.convert("RGBA")
    drawn.paste(rgba, mask=rgba.getchannel("A"))
    return drawn
