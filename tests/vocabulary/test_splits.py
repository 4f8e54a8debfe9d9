"""The splits: their order, and who may choose on which."""

import pytest

from grokscope.vocabulary import splits


def test_the_roles_follow_from_the_table():
    assert splits.NAMES == ("train", "id_val", "ood_val", "ood_test")
    assert splits.TRAIN == "train"
    assert splits.HELD_OUT == ("id_val", "ood_val", "ood_test")
    assert (splits.SEEN, splits.UNSEEN) == (("id_val",), ("ood_val", "ood_test"))
    assert splits.REPORTED == ("ood_test",)
    assert splits.SPEAKING == ("ood_val", "ood_test", "id_val")
    assert splits.SELECTING == ("ood_val", "id_val", "train")


def test_no_split_both_selects_and_is_only_reported():
    assert not set(splits.SELECTING) & set(splits.REPORTED)
    assert set(splits.SELECTING) | set(splits.REPORTED) == set(splits.NAMES)
    assert {s.name for s in splits.SPLITS if splits.is_reported(s.name)} == set(splits.REPORTED)


def test_no_name_means_two_splits():
    names = [name for s in splits.SPLITS for name in (s.name, *s.aliases)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    "given", [("site_9", "ood_test", "train", "id_val"), ("train", "id_val", "ood_test", "site_9")]
)
def test_known_splits_come_in_their_order_and_before_others(given):
    assert splits.in_order(given) == ["train", "id_val", "ood_test", "site_9"]


def test_choices_read_as_a_sentence():
    assert splits.choices(splits.HELD_OUT) == "id_val, ood_val or ood_test"
    assert splits.choices(("id_val",)) == "id_val"
