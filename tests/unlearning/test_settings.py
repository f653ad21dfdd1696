"""Options of unlearning."""

import pytest
from pydantic import ValidationError

from mmgraph.unlearning import UnlearningConfig


def test_defaults() -> None:
    config = UnlearningConfig()
    assert (config.mix, config.reverse, config.graph, config.patience) == (
        0.01,
        "swap",
        "retain",
        5,
    )


@pytest.mark.parametrize(
    "values",
    [{"mix": 1.5}, {"mix": -0.1}, {"reverse": "flip"}, {"max_epochs": 0}, {"rate": 1}],
    ids=str,
)
def test_wrong_values_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        UnlearningConfig.model_validate(values)
