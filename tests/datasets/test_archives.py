"""Archives that mean harm, or are cut short, are refused in one line, and nothing is left of them."""

import io
import tarfile
import zipfile
from hashlib import sha256

import pytest
from dataset_helpers import files, source, zipped

from datasets.prepare import prepare
from utils.errors import DataError


def evil_tar(path, name, kind):
    with tarfile.open(path, "w:xz") as tar:
        member = tarfile.TarInfo(name)
        member.type, member.linkname = kind, "/etc/passwd"
        member.size = 5 if kind == tarfile.REGTYPE else 0
        tar.addfile(member, io.BytesIO(b"hello"))


@pytest.mark.parametrize(
    "name, kind, message",
    [
        ("../evil.png", tarfile.REGTYPE, "outside of its folder"),
        ("train/../../evil.png", tarfile.REGTYPE, "outside of its folder"),
        ("/tmp/evil.png", tarfile.REGTYPE, "outside of its folder"),
        ("train/evil.png", tarfile.SYMTYPE, "a link or a device"),
        ("train/evil.png", tarfile.LNKTYPE, "a link or a device"),
        ("train/evil.png", tarfile.FIFOTYPE, "a link or a device"),
    ],
)
def test_a_tar_that_reaches_outside_is_refused(shards, tmp_path, name, kind, message):
    evil_tar(shards / "train-0.tar.xz", name, kind)
    digest = sha256((shards / "train-0.tar.xz").read_bytes()).hexdigest()
    (shards / "SHA256SUMS").write_text(f"{digest}  train-0.tar.xz\n")
    before = files(tmp_path)
    with pytest.raises(DataError, match=message):
        prepare(source(source=shards), tmp_path / "work" / "out")
    assert files(tmp_path) == before


@pytest.mark.parametrize("name", ["../evil.png", "a/../../evil.png", "/evil.png", "..\\evil.png"])
def test_a_zip_that_reaches_outside_is_refused(tmp_path, name):
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as file:
        file.writestr(name, b"hello")
    with pytest.raises(DataError, match="outside of its folder"):
        prepare(source(source=tmp_path / "evil.zip"), tmp_path / "work" / "out")
    assert set(files(tmp_path)) == {"evil.zip"}


def test_a_zip_with_a_link_is_refused(tmp_path):
    link = zipfile.ZipInfo("a/link.png")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as file:
        file.writestr(link, "/etc/passwd")
    with pytest.raises(DataError, match="a link or a device"):
        prepare(source(source=tmp_path / "evil.zip"), tmp_path / "out")


def test_an_archive_that_grows_without_end_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
        file.writestr("a/big.png", bytes(2**27))
    with pytest.raises(DataError, match="more than 100 times its size"):
        prepare(source(source=tmp_path / "bomb.zip"), tmp_path / "out")


@pytest.mark.parametrize("keep", [0, 10, 300])
def test_a_zip_cut_short_is_one_line(make_folder, tmp_path, keep):
    archive = zipped(make_folder("photos", {"a": 3}), tmp_path / "photos.zip")
    archive.write_bytes(archive.read_bytes()[:keep])
    with pytest.raises(DataError, match="not a whole zip file"):
        source(source=archive)
