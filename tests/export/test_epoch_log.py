from mmgraph.export import EpochLog, RunFolder


def test_lines_follow_the_restored_ones(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"epoch": 1}\n{"epoch": 2}\n{"epo')
    log = EpochLog(RunFolder(tmp_path), [{"epoch": 1}])
    log.add({"epoch": 2, "valid": None}, epoch_s=3.0, eval_s=None)
    assert (tmp_path / "metrics.jsonl").read_text() == '{"epoch": 1}\n{"epoch": 2, "valid": null}\n'


def test_medians_count_this_process_only(tmp_path):
    log = EpochLog(RunFolder(tmp_path), [{"epoch": 1}])
    assert log.timings() == {"epoch_s_median": None, "eval_s_median": None}
    for seconds in (1.0, 5.0, 2.0):
        log.add({}, epoch_s=seconds, eval_s=seconds / 2)
    assert log.timings() == {"epoch_s_median": 2.0, "eval_s_median": 1.0}
