import pytest

from provision.pasted.names import capability_of_beginning
from provision.pasted.paste import cuda_version, driver_version, mebibytes


@pytest.mark.parametrize(
    ("name", "capability"),
    [
        ("NVIDIA A100-SXM...", "8.0"),
        ("Tesla V100-SXM2...", "7.0"),
        ("GeForce RTX 208...", "7.5"),
        ("NVIDIA GeForce RTX 2080 ...", "7.5"),
        ("NVIDIA RTX PRO 6000 Blac...", "12.0"),
        ("NVIDIA H100 80G...", "9.0"),
        ("NVIDIA GeForce RTX 3070 ...", "8.6"),  # Ti or Laptop GPU
        ("NVIDIA GeForce RTX 3050 ...", None),  # most are Ampere, the A Laptop GPU is Ada
        ("GeForce GTX 1050 with M...", "6.1"),
        ("NVIDIA RTX 6000...", None),  # Ada and Blackwell
        ("NVIDIA GeForce ...", None),
        ("NVIDIA GeForce RTX 9999 ...", None),
        ("GeForce GTX TIT...", None),  # Kepler and Maxwell
        ("NVIDIA Graphics...", None),
        ("NVIDIA A100", None),
        ("...", None),
        ("", None),
    ],
)
def test_beginnings(name, capability, matrix):
    found = capability_of_beginning(name, matrix)
    assert (str(found) if found else None) == capability


@pytest.mark.parametrize(
    ("text", "release"),
    [
        ("535.104.05", "535.104.05"),
        (" 610.57.04 [Deprecated; will be removed]", "610.57.04"),
        ('Deprecated, see "KMD version" instead', None),
        ("N/A", None),
        ("535", None),
        ("535.104.05.1.2.3", None),
        (None, None),
    ],
)
def test_releases(text, release):
    found = driver_version(text)
    assert (str(found) if found else None) == release


def test_cuda_and_memory():
    assert str(cuda_version("13.3 [Deprecated]")) == "13.3"
    assert cuda_version("N/A") is None
    assert (mebibytes("46068 MiB"), mebibytes("24576MiB"), mebibytes("N/A"), mebibytes("0 MiB")) == (
        46068 << 20,
        24576 << 20,
        None,
        None,
    )
