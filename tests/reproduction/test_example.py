"""The store that comes with the package."""

import numpy as np
import pytest

import ser_store as ss
from ser_store_h5.errors import StoreError
from ser_store_h5.integrity.verify import verify_store


def test_it_holds_what_the_table_beside_it_says(paper_store):
    example, imported = ss.open_example(), ss.Store(paper_store)
    names = imported.member_names()
    assert example.member_names() == names
    assert example.corpus.digest == imported.corpus.digest
    np.testing.assert_array_equal(example.predictions(names), imported.predictions(names))


def test_it_is_whole_and_stays_as_it_is():
    example = ss.open_example()
    assert verify_store(example.path).ok
    with pytest.raises(StoreError, match="packed store, which is never changed"):
        example.remove("xlsr53")
