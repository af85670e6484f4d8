"""Strength of new passwords, estimated with zxcvbn. See docs/decisions/password-strength.md."""

from collections.abc import Iterable
from typing import Final, cast

from zxcvbn import zxcvbn

CHARS_MAX: Final = 40
"""zxcvbn needs more than linear time (0.05 s for 40 characters); the beginning decides."""
GUESSES_LOG10_MIN: Final = 6.0
"""zxcvbn's limit for guessing against a service that throttles sign-in attempts."""
LOCAL_WORDS: Final = (
    "woaini",
    "woaini1314",
    "5201314",
    "1314520",
    "fengping",
    "admin",
    "admin@123",
    "admin@12345",
    "changeme",
    "taobao",
    "alipay",
    "weixin",
    "wechat",
    "zhengfu",
    "pingyi",
    "1qaz@wsx",
    "!qaz2wsx",
    "1qaz@wsx3edc",
)
"""Frequent in passwords here and absent from zxcvbn's lists."""


def is_guessable(password: str, *, related_words: Iterable[str] = ()) -> bool:
    """Return whether an attacker guesses `password` in fewer than a million attempts.

    `related_words` are the first that an attacker tries, such as the name of the account.
    """
    words = [word.casefold() for word in (*LOCAL_WORDS, *related_words)]
    estimate = zxcvbn(password[:CHARS_MAX], user_inputs=words)
    return cast(float, estimate["guesses_log10"]) < GUESSES_LOG10_MIN
