"""Uploaded files: recognise their type by content and strip metadata from pictures."""

from io import BytesIO
from typing import Final

from PIL import Image, ImageOps, UnidentifiedImageError

from shared.appraisal.errors import Rejected

FORMATS: Final = ("JPEG", "PNG", "WEBP")
PIXELS_MAX: Final = 50_000_000
SIDE_MAX: Final = 1600
QUALITY: Final = 82
PDF: Final = "application/pdf"
WEBP: Final = "image/webp"
_SIGNATURES: Final = {
    b"\xff\xd8\xff": "image/jpeg",
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"RIFF": WEBP,
    b"%PDF-": PDF,
}
_TOO_MANY_PIXELS: Final = f"图片像素超过 {PIXELS_MAX // 10_000} 万，请缩小后再传"


def media_type_of(body: bytes) -> str:
    """Return the media type that the first bytes show, or "" for a type that is not accepted.

    File names and request headers are ignored.
    """
    found = next((kind for magic, kind in _SIGNATURES.items() if body.startswith(magic)), "")
    is_other_riff = found == WEBP and body[8:12] != b"WEBP"
    return "" if is_other_riff else found


def without_metadata(body: bytes) -> bytes:
    """Return the picture redrawn as JPEG: upright, at most SIDE_MAX wide and high, pixels only.

    Raises Rejected (422) for a picture that is damaged or too large.
    """
    try:
        drawn = _redraw(body)
    except Image.DecompressionBombError as error:
        raise Rejected(_TOO_MANY_PIXELS, status=422) from error
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise Rejected("图片已损坏，无法读取，请重新拍摄或选择", status=422) from error
    drawn.thumbnail((SIDE_MAX, SIDE_MAX))
    return _as_jpeg(drawn)


def _as_jpeg(picture: Image.Image) -> bytes:
    written = BytesIO()
    picture.save(written, "JPEG", quality=QUALITY, optimize=True)
    return written.getvalue()


def _redraw(body: bytes) -> Image.Image:
    """Return the pixels of a picture, upright and on a white background."""
    with Image.open(BytesIO(body), formats=FORMATS) as picture:
        if picture.width * picture.height > PIXELS_MAX:
            raise Rejected(_TOO_MANY_PIXELS, status=422)
        picture.draft("RGB", (2 * SIDE_MAX, 2 * SIDE_MAX))
        upright = ImageOps.exif_transpose(picture)
        return _on_white(upright)


def _on_white(picture: Image.Image) -> Image.Image:
    drawn = Image.new("RGB", picture.size, "white")
    rgba = picture.convert("RGBA")
    drawn.paste(rgba, mask=rgba.getchannel("A"))
    return drawn
