"""The catalogue as a table and as rows."""

from provision.documents.check import CatalogueRow, check_list
from provision.report.check_list import render_check_list
from provision.report.style import Style

ROWS = (
    CatalogueRow("pci.gpu_present", "instant", "pci", "An NVIDIA GPU is on the PCI bus."),
    CatalogueRow("driver.uvm", "standard", "driver", "The driver's memory module, nvidia_uvm, is\x1b there for CUDA."),
)


def test_the_table_is_aligned_and_fits():
    assert (
        render_check_list(check_list(ROWS), Style())
        == """\
pci
  pci.gpu_present  instant   An NVIDIA GPU is on the PCI bus.
driver
  driver.uvm       standard  The driver's memory module, nvidia_uvm, is there
                             for CUDA.
2 checks; gpusetup explain ID has the page of each"""
    )


def test_rows_keep_their_order():
    assert check_list(ROWS).checks == ROWS
