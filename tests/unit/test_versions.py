"""Version numbers that are not PEP 440."""

import pytest

from provision.versions import ComputeCapability, CudaVersion, DriverVersion, Glibc, torch_order


def test_driver_version_keeps_its_text_and_compares_its_integers():
    assert str(DriverVersion("535.104.05")) == "535.104.05"
    assert DriverVersion("535.104.05") == DriverVersion("535.104.5")
    assert DriverVersion("535.54.03") < DriverVersion("535.104.05") < DriverVersion("550.54")
    assert DriverVersion("580") == DriverVersion("580.0")
    assert len({DriverVersion("580"), DriverVersion("580.0.0")}) == 1
    assert DriverVersion("535.104.05").branch == 535


@pytest.mark.parametrize("text", ["", "N/A", "535.", "v535", "535.104.05.1.2", "535 104"])
def test_driver_version_refuses_other_text(text):
    with pytest.raises(ValueError, match="not a driver version"):
        DriverVersion(text)


def test_cuda_version_reads_variants_texts_and_nvml_integers():
    assert CudaVersion.parse("cu121") == CudaVersion.parse("12.1.105") == (12, 1)
    assert CudaVersion.parse("12.10") > CudaVersion.parse("12.9")
    assert CudaVersion.from_nvml(12020) == (12, 2)
    assert CudaVersion.from_nvml(13000) == (13, 0)
    assert str(CudaVersion(13, 2)) == "13.2"


def test_compute_capability_reads_both_spellings():
    assert ComputeCapability.parse("sm_120") == ComputeCapability.parse("12.0") == (12, 0)
    assert ComputeCapability.parse("compute_90") == (9, 0)
    with pytest.raises(ValueError, match=r"expected 8\.6"):
        ComputeCapability.parse("8.60")


def test_glibc_is_a_pair():
    assert Glibc.parse("2.28") > Glibc.parse("2.5")


def test_versions_of_torch_are_ordered_as_packaging_does():
    from packaging.version import Version

    texts = ["2.0.1", "2.9.1", "2.10.0", "2.14.0a0+b2c75dd062", "2.14.0", "2.14.1", "2.15.0", "2.1.0a0+41361538"]
    assert sorted(texts, key=torch_order) == sorted(texts, key=Version)
