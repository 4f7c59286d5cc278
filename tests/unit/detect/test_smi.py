from __future__ import annotations

import pytest

from provision.detect.smi import parse_capabilities, parse_smi_xml
from provision.errors import InputError
from provision.versions import ComputeCapability, CudaVersion, DriverVersion

GPU = """
	<gpu id="00000000:01:00.0">
		<product_name>NVIDIA A100-SXM4-80GB</product_name>
		<mig_mode>
			<current_mig>Enabled</current_mig>
			<pending_mig>Enabled</pending_mig>
		</mig_mode>
		<uuid>GPU-513536b6-7d19-9063-b049-1e69664bb298</uuid>
		<pci>
			<pci_device_id>20B210DE</pci_device_id>
			<pci_bus_id>00000000:01:00.0</pci_bus_id>
		</pci>
		<fb_memory_usage>
			<total>81920 MiB</total>
		</fb_memory_usage>
	</gpu>"""


def document(
    body=GPU,
    *,
    head='<!DOCTYPE nvidia_smi_log SYSTEM "nvsmi_device_v12.dtd">',
    driver="driver_version",
    cuda="cuda_version",
):
    return (
        f'<?xml version="1.0" ?>\n{head}\n<nvidia_smi_log>\n<{driver}>535.54.03</{driver}>\n<{cuda}>12.2</{cuda}>'
        f"{body}\n</nvidia_smi_log>\n"
    )


def test_a_document_of_r535():
    facts = parse_smi_xml(document())
    assert (facts.driver_version, facts.cuda_version) == (DriverVersion("535.54.03"), CudaVersion(12, 2))
    (gpu,) = facts.devices
    assert (gpu.name, gpu.bus_id, gpu.device_id) == ("NVIDIA A100-SXM4-80GB", "0000:01:00.0", "10de:20b2")
    assert (gpu.memory_bytes, gpu.mig_mode, gpu.failure) == (85899345920, "enabled", None)


def test_the_names_of_r610():
    facts = parse_smi_xml(document(driver="kmd_version", cuda="cuda_umd_version"))
    assert (facts.driver_version, facts.cuda_version) == (DriverVersion("535.54.03"), CudaVersion(12, 2))


def test_deprecation_sentence_is_no_version():
    text = document().replace("535.54.03", 'Deprecated, see "KMD version" instead')
    assert parse_smi_xml(text).driver_version is None


def test_a_note_of_deprecation_behind_a_release_is_left_out():
    text = (
        document().replace("535.54.03", "535.54.03 [Deprecated; use KMD Version instead]").replace("12.2<", "12.2 [x]<")
    )
    facts = parse_smi_xml(text)
    assert (facts.driver_version, facts.cuda_version) == (DriverVersion("535.54.03"), CudaVersion(12, 2))


def test_warnings_around_the_document_are_left_out():
    text = "WARNING: infoROM is corrupted at gpu 0000:01:00.0\n" + document() + "WARNING: infoROM is corrupted\n"
    assert len(parse_smi_xml(text).devices) == 1


def test_what_is_not_available_is_unknown_with_a_reason():
    facts = parse_smi_xml(document(GPU.replace("81920 MiB", "N/A").replace("Enabled", "[N/A]")))
    assert (facts.devices[0].memory_bytes, facts.devices[0].mig_mode) == (None, None)
    assert next(one.failure for one in facts.readings if one.name == "gpu.0.memory_bytes") == "the XML gives no value"


def test_lost_gpu_is_listed_as_unusable():
    body = '<gpu id="00000000:01:00.0"><product_name>GPU is lost</product_name><uuid>GPU is lost</uuid></gpu>'
    (gpu,) = parse_smi_xml(document(body)).devices
    assert gpu.bus_id == "0000:01:00.0"
    assert gpu.failure is not None


BOMB = '<!DOCTYPE nvidia_smi_log [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>'
OUTSIDE = '<!DOCTYPE nvidia_smi_log [<!ENTITY a SYSTEM "file:///etc/passwd">]>'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (document("<gpu>&b;</gpu>", head=BOMB), "declares a document type"),
        (document("<gpu>&a;</gpu>", head=OUTSIDE), "declares a document type"),
        (document("<gpu>&a;</gpu>"), "undefined entity"),
        (document(GPU + "<!DOCTYPE x>"), "declares a document type"),
        (document("<a>" * 50 + "</a>" * 50), "nested deeper"),
        ("<other/>", "not an nvidia-smi XML document"),
        (document()[:300], "nvidia-smi XML"),
        ("", "nvidia-smi XML"),
        ("NVIDIA-SMI has failed because it couldn't communicate", "nvidia-smi XML"),
    ],
)
def test_hostile_and_broken_documents_are_refused_with_a_sentence(text, said):
    with pytest.raises(InputError) as caught:
        parse_smi_xml(text)
    assert said in caught.value.happened


def test_names_with_forbidden_characters_do_not_lose_the_document():
    (gpu,) = parse_smi_xml(document(GPU.replace("NVIDIA A100", "NV\x00\x1bIDIA\u202e A100"))).devices
    assert gpu.name == "NV IDIA A100-SXM4-80GB"


def test_capabilities_by_uuid():
    text = "GPU-513536b6-7d19-9063, 8.0\nGPU-213536b6-7d19-9063, [N/A]\nnoise\n"
    assert parse_capabilities(text) == {"GPU-513536b6-7d19-9063": ComputeCapability(8, 0)}
