"""dataset.toml: what is accepted, and what each mistake is answered with."""

from pathlib import Path

import pytest

from mmgraph.data.card import read_card
from mmgraph.errors import DataError

INTERACTIONS = '[interactions]\nfile = "r.csv"\nuser = "u"\nitem = "i"\n'


def write_card(folder: Path, text: str) -> Path:
    (folder / "dataset.toml").write_text(text, encoding="utf-8")
    return folder


def message_of(folder: Path, text: str) -> str:
    with pytest.raises(DataError) as caught:
        read_card(write_card(folder, text))
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"{folder / 'dataset.toml'}: ")
    return message.removeprefix(f"{folder / 'dataset.toml'}: ")


def test_a_full_card_is_read_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = (
        'name = "n"\nlicence = "l"\nsource = "s"\n'
        '[interactions]\nfile = "r.dat"\nseparator = ";"\nuser = "u"\nitem = "i"\nrating = "r"\n'
        'timestamp = "t"\nmin_rating = 4\nk_core = 5\nformat = "csv"\n'
        '[split]\nmethod = "temporal"\nratios = [0.5, 0.25, 0.25]\nseed = 7\n'
        '[items]\nfile = "m.csv"\nid = "i"\ntitle = "t"\nimage = "posters/{i}.jpg"\n'
        '[features.zeta]\nfile = "z.npy"\nids = "z.csv"\nencoder = "e"\n'
        '[features.alpha]\nfile = "a.safetensors"\n'
    )
    card = read_card(write_card(tmp_path, text))
    assert card.name == "n"
    assert card.interactions.min_rating == 4.0
    assert card.split is not None
    assert card.split.ratios == (0.5, 0.25, 0.25)
    assert list(card.features) == ["zeta", "alpha"]
    assert not card.interactions.has_given_split


def test_the_folder_names_the_data_set_when_the_card_does_not(tmp_path: Path) -> None:
    assert read_card(write_card(tmp_path, INTERACTIONS)).name == tmp_path.name


@pytest.mark.parametrize("name", ["../evil", "a/b", "a\\\\b", "a\\nb", ".hidden", "", "n" * 101])
def test_a_name_that_is_no_folder_is_refused(tmp_path: Path, name: str) -> None:
    assert "use 1 to 100 printable characters" in message_of(
        tmp_path, f'name = "{name}"\n{INTERACTIONS}'
    )


def test_a_name_may_be_of_any_script(tmp_path: Path) -> None:
    card = write_card(tmp_path, f'name = "Bücher & 書 (v2)"\n{INTERACTIONS}')
    assert read_card(card).name == "Bücher & 書 (v2)"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("licnce = 'x'\n" + INTERACTIONS, "unknown key 'licnce'; did you mean 'licence'?"),
        (INTERACTIONS + "ratign = 'x'\n", "unknown key 'interactions.ratign'; did you mean 'rat"),
        (
            INTERACTIONS + "[split]\nmetod = 'ratio'\n",
            "unknown key 'split.metod'; did you mean 'method'?",
        ),
        (
            INTERACTIONS + "[items]\nfile = 'm.csv'\ntitel = 't'\n",
            "unknown key 'items.titel'; did you mean 'title'?",
        ),
        (
            INTERACTIONS + "[features.text]\nfile = 't.npy'\nid = 't.csv'\n",
            "unknown key 'features.text.id'; did you mean 'ids'?",
        ),
        (INTERACTIONS + "k_core = 'five'\n", "interactions.k_core: input should be a valid int"),
        (INTERACTIONS + "k_core = 5.0\n", "interactions.k_core: input should be a valid integer"),
        (INTERACTIONS + "k_core = 0\n", "interactions.k_core: input should be greater than or"),
        (INTERACTIONS + "min_rating = true\n", "interactions.min_rating: input should be a valid"),
        (INTERACTIONS + "min_rating = nan\nrating = 'r'\n", "interactions.min_rating: input shou"),
        (INTERACTIONS + "format = 'xml'\n", "interactions.format: input should be 'csv', 'tsv', "),
        (INTERACTIONS + "separator = '::'\n", "interactions.separator: a separator is one ASCII"),
        (INTERACTIONS + "min_rating = 4.0\n", "interactions: min_rating needs rating, the column"),
        ("name = 'n'\n", "key 'interactions' is missing; add it"),
        ("interactions = 'r.csv'\n", "interactions: input should be a valid dictionary or inst"),
        ("[interactions]\nuser = 'u'\n", "interactions: file is missing; name the file that hol"),
        (
            "[interactions]\nformat = 'lightgcn'\ntrain = 'a.txt'\n",
            'interactions: format = "lightgcn" needs the keys train and test, and no key file',
        ),
        (INTERACTIONS + "train = 'a.txt'\n", "interactions: train and test name the two files of"),
        (
            "[interactions]\nformat = 'lattice-json'\nfile = 'x'\nrating = 'r'\n",
            'interactions: rating has no meaning for format = "lattice-json"; remove it',
        ),
        (INTERACTIONS + "[features.text]\n", "key 'features.text.file' is missing; add it"),
        (
            INTERACTIONS + "[features.'my text']\nfile = 't.npy'\n",
            "features.my text: a modality is called by a Python identifier (got 'my text')",
        ),
        (
            INTERACTIONS + "[features.class]\nfile = 't.npy'\n",
            "features.class: a modality is called by a Python identifier (got 'class')",
        ),
        (
            INTERACTIONS + "[features.text]\nfile = 't.pt'\n",
            "features.text.file: features are read from .npy or .safetensors (got 't.pt')",
        ),
        (
            INTERACTIONS + "[split]\nratios = [0.8, 0.1, 0.2]\n",
            "split: ratios must be three positive shares that sum to 1 (got [0.8, 0.1, 0.2], sum 1",
        ),
        (
            INTERACTIONS + "[split]\nratios = [0.8, 0.2]\n",
            "key 'split.ratios.2' is missing; add it",
        ),
        (
            INTERACTIONS + "[split]\nvalid_from_train = 0.1\n",
            'split: valid_from_train works with method = "given" only',
        ),
        ("= 3", "not valid TOML: "),
        ("name = 'a'\nname = 'b'\n", "not valid TOML: "),
    ],
)
def test_a_mistake_is_one_line_with_file_and_key(tmp_path: Path, text: str, expected: str) -> None:
    message = message_of(tmp_path, text)
    assert message.startswith(expected)


@pytest.mark.parametrize("path", ["/etc/passwd", "../r.csv", "a/../../r.csv", "C:\\r.csv", "..\\r"])
def test_files_stay_inside_the_folder(tmp_path: Path, path: str) -> None:
    text = INTERACTIONS.replace('"r.csv"', f"'{path}'")
    message = message_of(tmp_path, text)
    assert message.startswith("interactions.file: files must lie inside the data-set folder (got ")
    assert message_of(tmp_path, INTERACTIONS + f"[features.t]\nfile = '{path}'\n").startswith(
        "features.t.file: files must lie inside"
    )


def test_a_missing_card_and_a_binary_card(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere/dataset\.toml: no such file; a data-set folder"):
        read_card(tmp_path / "nowhere")
    (tmp_path / "dataset.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=r"dataset\.toml: cannot be read .*save it as UTF-8"):
        read_card(tmp_path)


@pytest.mark.parametrize(
    ("extra", "given"), [("", False), ("split = 's'\n", True), ("format = 'csv'\n", False)]
)
def test_a_split_column_makes_the_split_given(tmp_path: Path, extra: str, given: bool) -> None:
    assert (
        read_card(write_card(tmp_path, INTERACTIONS + extra)).interactions.has_given_split is given
    )
