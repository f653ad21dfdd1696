from mmgraph.training import EarlyStopping


def run(values, patience):
    stop = EarlyStopping(patience)
    for epoch, value in enumerate(values, start=1):
        stop.update(value, epoch)
        if stop.should_stop:
            return epoch, stop.best_epoch
    return None, stop.best_epoch


def test_patience_counts_evaluations_in_a_row():
    assert run([0.1, 0.2, 0.1, 0.1, 0.3, 0.0, 0.0, 0.0], patience=3) == (8, 5)


def test_an_equal_value_is_no_improvement():
    assert run([0.2, 0.2, 0.2], patience=2) == (3, 1)


def test_an_improvement_in_the_last_bit_counts():
    assert run([0.1, 0.1 + 2**-56, 0.1], patience=2)[1] == 2


def test_negative_values_can_be_best():
    assert run([-3.0, -2.0], patience=5) == (None, 2)
