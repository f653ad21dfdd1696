import pytest

from mmgraph.errors import ConfigError
from mmgraph.sizes import format_size, parse_size


@pytest.mark.parametrize(
    ("text", "size"),
    [("500MB", 5 * 10**8), ("4 GB", 4 * 10**9), (" 1.5TB ", 15 * 10**11), ("0.001MB", 1000)],
)
def test_sizes_are_read(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "4", "0GB", "-1GB", "4GiB", "4 gb", "1e3MB", "0.0000001MB"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(ConfigError, match=r"must be a size in MB, GB or TB.*got "):
        parse_size(text)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 MB"),
        (1, "0.00 MB"),
        (9_994_000, "9.99 MB"),
        (9_996_000, "10.0 MB"),
        (99_960_000, "100 MB"),
        (999_400_000, "999 MB"),
        (999_600_000, "1.00 GB"),
        (2_500 * 10**12, "2,500 TB"),
    ],
)
def test_sizes_are_shown_with_three_digits(size, text):
    assert format_size(size) == text
