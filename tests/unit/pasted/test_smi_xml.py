import pytest
from paste_texts import XML

from provision.errors import InputError
from provision.records import GpuState
from provision.versions import DriverVersion


def test_a_whole_document(pasted):
    machine = pasted(XML)
    assert [(gpu.name, gpu.pci_device_id) for gpu in machine.gpus] == [("NVIDIA A100-SXM4-80GB", "10de:20b2")]
    assert (machine.driver.driver_version, machine.assumptions) == (DriverVersion("535.54.03"), ())


def test_a_document_that_ends_too_early_gives_what_it_has(pasted):
    machine = pasted(XML[: XML.index("<pci_device_id>") + 20])
    assert [(gpu.name, gpu.pci_device_id) for gpu in machine.gpus] == [("NVIDIA A100-SXM4-80GB", None)]
    assert machine.assumptions == ("The XML ends too early: what its missing part says is not known.",)


def test_a_name_that_is_cut_off_is_no_name(pasted):
    machine = pasted(XML[: XML.index("A100-SXM4") + 3])
    assert [(gpu.name, gpu.in_nvml) for gpu in machine.gpus] == [(None, None)]
    assert machine.gpu_state is GpuState.USABLE
    assert "The paste names no model and no compute capability for GPU 0." in machine.assumptions


def test_a_document_that_ends_before_its_gpus_is_no_cpu_machine(pasted):
    machine = pasted(XML[: XML.index("<gpu id")])
    assert (machine.gpu_state, len(machine.gpus)) == (GpuState.USABLE, 1)


def test_a_whole_document_without_gpu_is_one_that_the_driver_does_not_list(pasted):
    text = XML[: XML.index("<gpu id")].replace(">1<", ">0<") + "</nvidia_smi_log>"
    machine = pasted(text)
    assert (machine.gpu_state, machine.reading("nvml.init").failure) == (
        GpuState.UNUSABLE,
        "nvidia-smi -q -x lists no GPU",
    )


def test_gpus_that_are_counted_and_not_shown(pasted):
    assert pasted(XML.replace("<attached_gpus>1<", "<attached_gpus>8<")).assumptions == (
        "The paste speaks of 8 GPUs and shows 1: the others are taken to be alike.",
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('<?xml version="1.0"?><rss/>', "not an nvidia-smi XML document: its root is <rss>"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><nvidia_smi_log>&b;</nvidia_smi_log>', "declares a document type"),
        ("<nvidia_smi_log><a></b></nvidia_smi_log>", "nvidia-smi XML: mismatched tag"),
        ("<nvidia_smi_log>" + "<a>" * 40, "nested deeper"),
    ],
)
def test_other_xml_is_refused(text, message, pasted):
    with pytest.raises(InputError, match=f"paste: .*{message}"):
        pasted(text)
