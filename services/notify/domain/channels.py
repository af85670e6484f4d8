"""The channels by which notifications leave the installation."""

from collections.abc import Mapping
from typing import Final

from shared.appraisal.labels import LabelledEnum


class Channel(LabelledEnum):
    """How a notification is delivered outside the inbox."""

    MAIL = "mail", "电子邮件"
    WEBHOOK = "webhook", "接口推送"
    APPRISE = "apprise", "即时通信"


_SCHEMES: Final[Mapping[str, Channel]] = {
    "mailto": Channel.MAIL,
    "http": Channel.WEBHOOK,
    "https": Channel.WEBHOOK,
}


def scheme_of(address: str) -> str:
    """Return the URL scheme of an address: `wecombot` for `wecombot://…`."""
    return address.partition(":")[0].lower()


def channel_of(address: str) -> Channel:
    """Return the channel of `mailto:…` or `https://…`; anything else is an Apprise URL."""
    return _SCHEMES.get(scheme_of(address), Channel.APPRISE)
