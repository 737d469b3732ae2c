"""Gzip files by every library that may be installed, against the standard library."""

from __future__ import annotations

import gzip
import sys
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpucube import gzipped
from gpucube.gzipped import compress, decompress

# Long runs and noise, and what compresses in several ways.
contents = st.binary() | st.builds(lambda part, n: part * n, st.binary(max_size=50), st.integers(0, 3000))


@pytest.fixture(scope="module", params=["isal", None], autouse=True)
def library(request: pytest.FixtureRequest) -> object:
    """One after the other, whatever is installed."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param:
            pytest.importorskip(request.param)
        else:
            patch.setitem(sys.modules, "isal.isal_zlib", None)
        patch.setattr(gzipped, "_zlib", gzipped._fastest_zlib())
        assert (gzipped._zlib is zlib) == (request.param is None)
        yield request.param


@given(content=contents)
def test_what_is_compressed_comes_back(content: bytes) -> None:
    packed = compress(content)
    assert gzip.decompress(packed) == content
    assert decompress(packed) == content
    assert packed == compress(content)
    assert packed[4:8] == bytes(4)  # no time stamp


@given(content=contents, level=st.integers(0, 9), n_parts=st.integers(1, 3))
def test_files_of_others_are_read(content: bytes, level: int, n_parts: int) -> None:
    assert decompress(gzip.compress(content, level) * n_parts) == content * n_parts


@given(content=contents, data=st.data())
def test_damage_is_what_it_is_to_gzip(content: bytes, data: st.DataObject) -> None:
    """The same content, or the same kind of error."""
    good = gzip.compress(content)
    place = data.draw(st.integers(0, len(good) - 1))
    damaged = good[:place] + data.draw(st.binary(max_size=9)) + data.draw(st.sampled_from([b"", good[place:]]))
    try:
        expected = gzip.decompress(damaged)
    except (OSError, EOFError, zlib.error) as error:
        with pytest.raises(type(error)):
            decompress(damaged)
    else:
        assert decompress(damaged) == expected
