"""QR codes as images inside a page: no request leads to them, so no log contains their content."""

import segno


def qr_data_uri(content: str) -> str:
    """Return an SVG of the QR code as a data URI, for `<img src>`."""
    code = segno.make(content, error="m")
    uri: str = code.svg_data_uri(scale=5, border=4, dark="#000", light="#fff")
    return uri
