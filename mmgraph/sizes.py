"""Amounts of memory as people write them."""

import re

from mmgraph.errors import ConfigError

_BYTES = {"MB": 10**6, "GB": 10**9, "TB": 10**12}
_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?(MB|GB|TB)")


def parse_size(text: str) -> int:
    """Return a size such as "500MB" in bytes; a GB has 10^9 of them.

    Raises:
        ConfigError: it is no number with MB, GB or TB after it, or less than a byte.

    Example:
        >>> parse_size("1.5 GB")
        1500000000
    """
    match = _SIZE.fullmatch(text.strip())
    size = int(float(match[1]) * _BYTES[match[2]]) if match else 0
    if size < 1:
        raise ConfigError(
            f'must be a size in MB, GB or TB, such as "500MB" or "4GB" (got {text!r})'
        )
    return size


def format_size(size: float) -> str:
    """Return a number of bytes for people, with three digits.

    Example:
        >>> [format_size(size) for size in (0, 5_130_000, 812_400_000, 12_000_000_000)]
        ['0 MB', '5.13 MB', '812 MB', '12.0 GB']
    """
    unit = next((unit for unit in ("TB", "GB") if size >= 0.9995 * _BYTES[unit]), "MB")
    number = size / _BYTES[unit]
    if number == 0:
        return "0 MB"
    digits = 2 if number < 9.995 else 1 if number < 99.95 else 0
    return f"{number:,.{digits}f} {unit}"
