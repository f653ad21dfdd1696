"""load_dataset: the whole way from a folder to numbered, divided, described data."""

import json
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from mmgraph.data import SplitConfig, bundled_datasets, describe, load_dataset
from mmgraph.data.dataset import MultimodalDataset
from mmgraph.errors import DataError

CARD = '[interactions]\nfile = "r.csv"\nuser = "u"\nitem = "i"\n'
GIVEN = CARD + 'split = "s"\n'


def write(folder: Path, card: str, files: Mapping[str, str]) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "dataset.toml").write_text(card, encoding="utf-8")
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def pairs(dataset: MultimodalDataset, part: str) -> list[tuple[str, str]]:
    rows = getattr(dataset, part)
    indices = zip(rows.user.tolist(), rows.item.tolist(), strict=True)
    return [(dataset.users[user], dataset.items[item]) for user, item in indices]


def dense(num_users: int, num_items: int) -> str:
    rows = [f"{user},{item}\n" for user in range(num_users) for item in range(num_items)]
    return "u,i\n" + "".join(rows)


def test_a_folder_by_hand(tmp_path: Path) -> None:
    card = (
        'name = "tiny"\n'
        + GIVEN
        + 'rating = "r"\ntimestamp = "t"\nmin_rating = 3.0\n'
        + '[items]\nfile = "m.csv"\nid = "id"\ntitle = "title"\n'
        + '[features.text]\nfile = "x.npy"\nids = "x.csv"\n'
    )
    rows = [
        "u,i,r,t,s",
        "9,a,3,5,0",
        "9,a,4,2,0",  # the same pair earlier: this one stays
        "10,a,5,1,2",
        "10,a,5,9,0",  # the same pair in train: this one stays
        "10,b,5,3,test",
        "9,c,5,4,1",
        "9,d,2.9,4,0",  # below min_rating, and with it the item d
        "7,e,5,4,2",  # a user without a training row, and with it the item e
    ]
    folder = write(
        tmp_path,
        card,
        {
            "r.csv": "\n".join(rows) + "\n",
            "m.csv": "id,title\nc,Sea\na,\nz,Zoo\n",
            "x.csv": "id\nb\nz\na\n",
        },
    )
    np.save(folder / "x.npy", np.array([[1, 2], [3, 4], [0, 0]], dtype=np.float16))
    dataset = load_dataset(folder)
    assert dataset.name == "tiny"
    assert dataset.source == str(folder)
    assert dataset.users.ids == ("9", "10")
    assert dataset.items.ids == ("a", "b", "c")
    assert pairs(dataset, "train") == [("9", "a"), ("10", "a")]
    assert dataset.train.timestamp is not None
    assert dataset.train.timestamp.tolist() == [2, 9]
    assert pairs(dataset, "valid") == [("9", "c")]
    assert pairs(dataset, "test") == [("10", "b")]
    assert dataset.titles == ("", "", "Sea")
    assert dataset.modalities == ("text",)
    assert dataset.features["text"].x.tolist() == [[0, 0], [1, 2], [0, 0]]
    assert dataset.features["text"].present.tolist() == [False, True, False]
    assert dict(dataset.counts) == {
        "rows_read": 8,
        "below_min_rating": 1,
        "duplicates_dropped": 2,
        "pairs_in_several_splits": 1,
        "dropped_by_k_core": 0,
        "valid_users_without_train": 0,
        "test_users_without_train": 1,
        "rows_of_users_without_train": 1,
        "items_without_train": 2,
        "train_rows": 2,
        "valid_rows": 1,
        "test_rows": 1,
    }
    assert dataset.notes == (
        "Leakage: the split came with the data; whether training rows are later than test rows is "
        "not checked.",
        "2 repeated user-item rows were dropped; the earliest of each pair stays.",
        "1 pairs stood in several parts and stay in the first of train, valid, test.",
        "1 test users and 0 validation users have no training row; their 1 rows were dropped.",
        "2 items have no training row; they stay candidates.",
        "text: 2 of 3 items have no vector (33.3% have one).",
        "text: 1 all-zero rows count as missing.",
    )
    assert dataset.split_config.method == "given"


def test_the_order_of_the_file_makes_no_difference(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    lines = [f"{u},{i},{(u * i) % 7}" for u in range(30) for i in rng.permutation(40)[:12]]
    card = CARD + 'timestamp = "t"\n'
    for method in ("ratio", "leave_one_out", "temporal", "cold_start"):
        config = SplitConfig.model_validate({"method": method})
        hashes = set()
        for name in ("a", "b"):
            text = "u,i,t\n" + "\n".join(lines) + "\n"
            dataset = load_dataset(write(tmp_path / name, card, {"r.csv": text}), split=config)
            hashes.add((dataset.split_hash, dataset.content_hash))
            lines = [lines[place] for place in rng.permutation(len(lines))]
        assert len(hashes) == 1


def test_content_hash_sees_features_and_rows(tmp_path: Path) -> None:
    card = CARD + '[features.text]\nfile = "x.npy"\n'
    folder = write(tmp_path, card, {"r.csv": dense(3, 4)})
    x = np.ones((4, 2), dtype=np.float32)
    np.save(folder / "x.npy", x)
    first = load_dataset(folder)
    without = load_dataset(folder, modalities=[])
    x[2, 1] = 2.0
    np.save(folder / "x.npy", x)
    second = load_dataset(folder)
    assert len({data.content_hash for data in (first, second, without)}) == 3
    assert len({data.split_hash for data in (first, second, without)}) == 1


def test_k_core_comes_before_the_split_and_renumbers(tmp_path: Path) -> None:
    text = dense(4, 4) + "99,0\n0,77\nx,y\n"
    folder = write(tmp_path, CARD + "k_core = 3\n", {"r.csv": text})
    dataset = load_dataset(folder)
    assert dataset.counts["dropped_by_k_core"] == 3
    assert dataset.users.ids == dataset.items.ids == ("0", "1", "2", "3")


@pytest.mark.parametrize(
    ("card", "override", "method"),
    [
        (CARD, None, "ratio"),
        (CARD + '[split]\nmethod = "cold_start"\n', None, "cold_start"),
        (CARD + '[split]\nmethod = "cold_start"\n', SplitConfig(), "ratio"),
        (GIVEN, None, "given"),
        (GIVEN + "[split]\nseed = 3\n", None, "given"),
        (GIVEN + '[split]\nmethod = "ratio"\n', None, "ratio"),
        (GIVEN, SplitConfig(method="leave_one_out"), "leave_one_out"),
    ],
)
def test_which_split_wins(
    tmp_path: Path, card: str, override: SplitConfig | None, method: str
) -> None:
    lines = dense(6, 8).splitlines()
    rows = [f"{line},{place % 3}" for place, line in enumerate(lines[1:])]
    folder = write(tmp_path, card, {"r.csv": "\n".join(["u,i,s", *rows]) + "\n"})
    assert load_dataset(folder, split=override).split_config.method == method


def test_modalities_are_a_choice_in_the_order_of_the_card() -> None:
    assert load_dataset("movielens-small", modalities=["image", "text"]).modalities == (
        "text",
        "image",
    )
    assert load_dataset("movielens-small", modalities=[]).modalities == ()
    with pytest.raises(
        DataError, match=re.escape("movielens-small: no modality 'txt'; did you mean 'text'?")
    ):
        load_dataset("movielens-small", modalities=["txt"])


def test_where_a_data_set_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert list(bundled_datasets()) == ["movielens-small"]
    # A folder of that name without a card, say of results, does not hide the bundled data set.
    (tmp_path / "movielens-small").mkdir()
    assert load_dataset("movielens-small", modalities=[]).source == "movielens-small"
    write(tmp_path / "movielens-small", CARD, {"r.csv": dense(3, 4)})
    own = load_dataset("movielens-small")
    assert (own.num_users, own.source) == (3, str(tmp_path / "movielens-small"))
    with pytest.raises(
        DataError,
        match=r"^movilens: no such folder and no bundled .* of that name; bundled: movielens-small$",
    ):
        load_dataset("movilens")
    with pytest.raises(DataError, match=r"r\.csv: is a file; give the folder that holds dataset"):
        load_dataset(tmp_path / "movielens-small" / "r.csv")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"empty/dataset\.toml: no such file"):
        load_dataset("empty")


@pytest.mark.parametrize(
    ("card", "text", "expected"),
    [
        (CARD, "u,i\n", "at least one interaction must be left (read 0, below min_rating 0, outs"),
        (CARD + "k_core = 9\n", dense(3, 4), "at least one interaction must be left (read 12, "),
        (
            CARD + 'rating = "r"\nmin_rating = 5.0\n',
            "u,i,r\n1,1,4\n1,2,4\n",
            "at least one interaction must be left (read 2, below min_rating 2, outside the k-core",
        ),
        (CARD, "u,i\n1,1\n1,2\n", "split: the valid part must not be empty (method 'ratio' gives"),
        (
            GIVEN,
            "u,i,s\n1,1,0\n1,2,1\n2,2,2\n",
            "split: the test part must not be empty (method 'given' gives train 1, valid 1, test 0; "
            "1 rows of users without a train row dropped); change split.method or its shares",
        ),
        (GIVEN, "u,i,s\n1,1,2\n", "split: the train part must not be empty (method 'given' gives"),
        (CARD + '[split]\nmethod = "given"\n', dense(3, 4), 'split.method "given" needs the part'),
        (CARD + '[split]\nmethod = "temporal"\n', dense(3, 4), 'split.method "temporal" needs th'),
        (
            GIVEN + '[split]\nmethod = "given"\nvalid_from_train = 0.1\n',
            "u,i,s\n1,1,0\n1,2,2\n",
            "split: the valid part must not be empty (method 'given' gives train 1, valid 0, test 1",
        ),
    ],
)
def test_nothing_left_is_an_error(tmp_path: Path, card: str, text: str, expected: str) -> None:
    folder = write(tmp_path, 'name = "tiny"\n' + card, {"r.csv": text})
    with pytest.raises(DataError, match=re.escape(expected)) as caught:
        load_dataset(folder)
    assert "\n" not in str(caught.value)


def test_a_given_split_may_lack_validation_rows(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("0 1 2 3 4 5 6 7 8 9 10\n1 1 2\n")
    (tmp_path / "test.txt").write_text("0 11\n1 3\n")
    card = '[interactions]\nformat = "lightgcn"\ntrain = "train.txt"\ntest = "test.txt"\n'
    folder = write(tmp_path, card, {})
    dataset = load_dataset(folder)
    assert (len(dataset.train), len(dataset.valid), len(dataset.test)) == (12, 0, 2)
    assert any("training cannot stop early" in note for note in dataset.notes)
    moved = load_dataset(folder, split=SplitConfig(method="given", valid_from_train=0.2))
    assert (len(moved.train), len(moved.valid), len(moved.test)) == (10, 2, 2)
    assert moved.split_hash != dataset.split_hash


def test_cold_items_are_never_trained_on(tmp_path: Path) -> None:
    folder = write(tmp_path, CARD, {"r.csv": dense(5, 20)})
    dataset = load_dataset(folder, split=SplitConfig(method="cold_start"))
    train, valid, test = (
        set(part.item.tolist()) for part in (dataset.train, dataset.valid, dataset.test)
    )
    assert not train & valid
    assert not train & test
    assert (len(train), len(valid), len(test)) == (16, 2, 2)
    assert dataset.counts["items_without_train"] == 4


def test_the_bundled_data_set() -> None:
    dataset = load_dataset("movielens-small")
    assert (dataset.num_users, dataset.num_items) == (659, 2078)
    assert len(dataset.train) + len(dataset.valid) + len(dataset.test) == 44_413
    assert (dataset.features["text"].dim, dataset.features["image"].dim) == (384, 1280)
    assert int(dataset.features["image"].present.sum()) == 1396
    assert dataset.titles is not None
    assert dataset.titles[dataset.items.index("1")] == "Toy Story (1995)"
    assert "" not in dataset.titles
    # Known answers: a change of any of these changes every published number.
    assert dataset.split_hash.startswith("06fc56083f4eb9c4")
    seen: set[tuple[int, int]] = set()
    for part in (dataset.train, dataset.valid, dataset.test):
        rows = set(zip(part.user.tolist(), part.item.tolist(), strict=True))
        assert len(rows) == len(part)
        assert not seen & rows
        seen |= rows


def test_the_bundled_folder_holds_what_its_licence_asks_for() -> None:
    folder = bundled_datasets()["movielens-small"]
    assert "GroupLens" in (folder / "LICENSE-GroupLens.txt").read_text(encoding="utf-8")
    assert sorted(path.suffix for path in folder.iterdir()) == [
        *[".csv"] * 5,
        *[".safetensors"] * 2,
        ".toml",
        ".txt",
    ]


def test_describe_is_ready_for_json(tmp_path: Path) -> None:
    card = GIVEN + '[features.text]\nfile = "x.npy"\nids = "x.csv"\n'
    rows = "u,i,s\n1,a,0\n1,b,1\n1,c,2\n2,a,0\n2,a,0\n2,b,2\n"
    folder = write(tmp_path, card, {"r.csv": rows, "x.csv": "id\na\n"})
    np.save(folder / "x.npy", np.ones((1, 2)))
    summary = json.loads(json.dumps(describe(load_dataset(folder))))
    assert (summary["num_users"], summary["num_items"], summary["num_interactions"]) == (2, 3, 5)
    assert summary["sparsity"] == pytest.approx(1 / 6)
    assert summary["degree_quantiles"]["items"] == {
        "min": 1.0,
        "q25": 1.5,
        "q50": 2.0,
        "q75": 2.0,
        "max": 2.0,
    }
    assert summary["degree_quantiles"]["users"]["max"] == 3.0
    assert summary["modalities"]["text"]["items"] == 1
    assert summary["modalities"]["text"]["interaction_coverage"] == pytest.approx(0.4)
    assert summary["duplicates_dropped"] == 1
    assert summary["split"]["rows"] == {"train": 2, "valid": 1, "test": 2}
    assert summary["split"]["users"] == {"train": 2, "valid": 1, "test": 2}
    assert summary["titles"] == 0


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "users", "items", "rows", "modalities"),
    [
        ("movielens-small", 659, 2078, (35_252, 4_411, 4_750), {"text": 2078, "image": 1396}),
        (
            "lastfm-2k",
            1_858,
            1_425,
            (44_327, 4_799, 7_219),
            {"text": 1425, "vggish": 1425, "whisper": 1425},
        ),
        ("amazon-baby", 19_445, 7_050, (118_551, 20_559, 21_682), {"text": 2987}),
        ("amazon-beauty", 22_363, 12_101, (153_776, 22_363, 22_363), {"text": 12_101}),
        ("amazon-sports", 35_598, 18_357, (218_409, 40_029, 37_899), {}),
        ("gowalla", 29_858, 40_981, (810_128, 0, 217_242), {}),
    ],
)
def test_real_data_sets(
    data_folder: Path,
    name: str,
    users: int,
    items: int,
    rows: tuple[int, int, int],
    modalities: dict[str, int],
) -> None:
    dataset = load_dataset(data_folder / name)
    assert (dataset.num_users, dataset.num_items) == (users, items)
    assert (len(dataset.train), len(dataset.valid), len(dataset.test)) == rows
    found = {key: int(value.present.sum()) for key, value in dataset.features.items()}
    assert found == modalities
    assert dataset.counts["rows_read"] >= sum(rows)
    assert dataset.counts["test_users_without_train"] == 0


@pytest.mark.data
def test_movielens_1m(data_folder: Path) -> None:
    dataset = load_dataset(data_folder / "movielens-1m")
    assert dataset.counts["rows_read"] == 1_000_209
    # 575,281 ratings of 4 and 5.
    assert dataset.counts["below_min_rating"] == 1_000_209 - 575_281
    kept = 575_281 - dataset.counts["dropped_by_k_core"]
    assert len(dataset.train) + len(dataset.valid) + len(dataset.test) == kept
    assert dataset.titles is not None
    assert dataset.titles[dataset.items.index("1")] == "Toy Story (1995)"


@pytest.mark.data
def test_the_bundled_copy_equals_the_original(data_folder: Path) -> None:
    original = load_dataset(data_folder / "movielens-small")
    bundled = load_dataset("movielens-small")
    assert bundled.content_hash == original.content_hash
    assert bundled.titles == original.titles
